/** All dialects of the compiler, as an explicit list; importing this file registers their operations. */
import { builtinDialect } from "./builtin.js";
import { lookupOp, registerOp, type Dialect } from "./define-op.js";
import { flowDialect } from "./flow/index.js";
import { fxDialect } from "./fx/index.js";
import { nnDialect } from "./nn/index.js";
import { rtlDialect } from "./rtl/index.js";

export const dialects: readonly Dialect[] = [builtinDialect, nnDialect, flowDialect, fxDialect, rtlDialect];
for (const dialect of dialects) {
  // A test may have registered a single dialect before.
  for (const op of dialect.ops) if (lookupOp(op.name) !== op) registerOp(op);
}
