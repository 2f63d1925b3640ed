/** All dialects of the compiler, as an explicit list; importing this file registers their operations. */
import { builtinDialect } from "./builtin.js";
import { registerDialect, type Dialect } from "./define-op.js";
import { flowDialect } from "./flow/index.js";
import { fxDialect } from "./fx/index.js";
import { rtlDialect } from "./rtl/index.js";

export const dialects: readonly Dialect[] = [builtinDialect, flowDialect, fxDialect, rtlDialect];
for (const dialect of dialects) registerDialect(dialect);
