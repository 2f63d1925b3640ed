/** The records by name, for `import * as nn`: `nn.pool.read(op).kernel`, `nn.conv.args(op).w`. */
export { add, div, max, min, mul, selectNeg, sub } from "./arithmetic.js";
export { constant } from "./constant.js";
export { conv, matmul } from "./linear.js";
export { broadcast, concat, gather, pad, reshape, slice, transpose } from "./moves.js";
export { abs, clip, leakyRelu, neg, rawSlope, relu } from "./pointwise.js";
export { pool, poolWindow, reduce, softmax } from "./reduce.js";
export { fraction, quantize, round, whole } from "./rounding.js";
export { sparsify } from "./sparse.js";
export { lookup, take, unary } from "./tables.js";
export { trees, treesOf } from "./trees.js";
