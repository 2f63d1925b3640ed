/** How quantization treats one kind of operation. */
import type { Op, Value } from "../../../../ir/core.js";
import type { FixedValues } from "../fixed-values.js";

export interface QuantizeRule {
  /** The operation in fixed point; returns the exact counterpart of its result. */
  readonly convert: (op: Op, f: FixedValues) => Value;
  /** The same where it computes with the integers of a quantized model; by default every bit is kept. */
  readonly exactly?: (op: Op, f: FixedValues) => Value;
  /** Whether it makes whole numbers of whole numbers, of which every bit counts. */
  readonly countsWholes?: boolean;
  /** Whether its result is in a final format where its operand is. */
  readonly keepsFormat?: (op: Op) => boolean;
}
