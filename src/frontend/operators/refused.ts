/** Operators of ONNX Runtime that no fixed hardware can stand for, or that are not built; each with the reason that is true for it. */
import type { OperatorImporter } from "../context.js";

const DYNAMIC = ["it computes scales from each sample, which fixed hardware cannot", "quantize statically, with calibration data, or give the float model to onnx-hls"] as const;
const PACKED = ["its sequences are packed without padding, so that shapes depend on the data", "export with sequences of one fixed length"] as const;
const SEARCH = ["it searches for sequences step by step, a loop whose length depends on the data", "give the network of one step to onnx-hls, and search on the host"] as const;
const SHAPE = ["the shape of its result depends on the data", "leave it to the host"] as const;
const TRANSFORM = ["a Fourier transformation is not built", "leave it to the host, or write it as a product with constant matrices"] as const;
const EXPERTS = ["which weights it uses depends on the data", "compile the experts as networks of their own"] as const;
const ORDERED = ["its weights are in the order of one kind of GPU", "save the model before that optimization"] as const;
const BLOCKED = ["its tensors are in blocks of channels as one processor likes them, and the file does not say of how many", "save the model with ORT_ENABLE_EXTENDED instead of ORT_ENABLE_ALL"] as const;
const CACHE = ["it decodes one step at a time from a buffer of past keys and values that grows", "export the network for whole sequences, without a past"] as const;
const STATE = ["it carries a state from sample to sample", "export with the state as an input and an output"] as const;

const REFUSED: Readonly<Record<string, readonly [what: string, hint: string]>> = {
  DynamicQuantizeMatMul: DYNAMIC,
  DynamicQuantizeLSTM: DYNAMIC,
  PackedAttention: PACKED,
  PackedMultiHeadAttention: PACKED,
  RemovePadding: PACKED,
  RestorePadding: PACKED,
  BeamSearch: SEARCH,
  GreedySearch: SEARCH,
  Sampling: SEARCH,
  WhisperBeamSearch: SEARCH,
  Unique: SHAPE,
  MurmurHash3: ["a hash function is no arithmetic on real numbers", "compute it on the host"],
  Rfft: TRANSFORM,
  Irfft: TRANSFORM,
  Inverse: ["the inverse of a computed matrix is not built", "compute it on the host, or at export where it is constant"],
  ConvTransposeWithDynamicPads: ["its pads are computed by the network, so that its shape depends on the data", "export ConvTranspose with constant pads"],
  CropAndResize: ["the region that it cuts out depends on the data", "cut regions out on the host"],
  MoE: EXPERTS,
  QMoE: EXPERTS,
  QOrderedAttention: ORDERED,
  QOrderedGelu: ORDERED,
  QOrderedLayerNormalization: ORDERED,
  QOrderedLongformerAttention: ORDERED,
  QOrderedMatMul: ORDERED,
  QuantizeWithOrder: ORDERED,
  DequantizeWithOrder: ORDERED,
  MatMulFpQ4: ["its weights are packed for one processor", "save the model before that optimization"],
  DecoderMaskedMultiHeadAttention: CACHE,
  DecoderMaskedSelfAttention: CACHE,
  DecoderAttention: CACHE,
  PagedAttention: CACHE,
  SparseAttention: CACHE,
  CausalConvWithState: STATE,
  EPContext: ["it is a binary for one processor", "give the model from before that compilation"],
  Snpe: ["it is a binary for one processor", "give the model from before that compilation"],
};
/** ONNX Runtime's layout in blocks of channels, which it writes at its highest level. */
const IN_BLOCKS = ["Conv", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool", "ReorderInput", "ReorderOutput", "Upsample"];

function refused(opType: string, [what, hint]: readonly [string, string]): OperatorImporter {
  return {
    opType,
    limits: `refused: ${what}`,
    import: (ctx) => {
      throw ctx.error(what, hint);
    },
  };
}

export const refusedOperators: readonly OperatorImporter[] = [
  ...Object.entries(REFUSED).map(([name, why]) => refused(`com.microsoft::${name}`, why)),
  ...IN_BLOCKS.map((name) => refused(`com.microsoft.nchwc::${name}`, BLOCKED)),
];
