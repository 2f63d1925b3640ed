/** Makes the passes of the backend known to pipelines; importing this file is enough. */
import { passRegistry } from "../passes/registry.js";
import { backendPasses } from "../backend-hls/passes.js";

for (const pass of backendPasses) passRegistry.register(pass);

/** Float network to operations that all have a fixed-point form. */
export const PREPARE_PIPELINE = "integerize,fold-constants,canonicalize,cse,dce,fold-scales,lower-average,decompose-softmax,fold-constants,canonicalize,cse,dce";
/** Such a network to fixed point. */
export const TO_FIXED_PIPELINE = "quantize,canonicalize,dce";
/** Float network to fixed point. */
export const QUANTIZE_PIPELINE = `${PREPARE_PIPELINE},${TO_FIXED_PIPELINE}`;
/** Fixed-point network to fused kernels. */
export const LOWER_PIPELINE = "lower,fuse,fold-rounding,dce";
