/** Operator set in which each operator came into ONNX, as the schemas of onnx 1.23 (`onnx.defs`) say; for the reference. */
export const INTRODUCED: Readonly<Record<number, readonly string[]>> = {
  1: ["Abs", "Add", "And", "ArgMax", "ArgMin", "AveragePool", "BatchNormalization", "Cast", "Ceil", "Clip", "Concat", "Constant", "Conv", "ConvTranspose", "DepthToSpace", "Div", "Dropout", "Elu", "Equal", "Exp", "Flatten", "Floor", "GRU", "Gather", "Gemm", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "Greater", "HardSigmoid", "Identity", "InstanceNormalization", "LSTM", "LeakyRelu", "Less", "Log", "LogSoftmax", "LpNormalization", "LpPool", "MatMul", "Max", "MaxPool", "Mean", "Min", "Mul", "Neg", "Not", "Or", "PRelu", "Pad", "Pow", "RNN", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Reshape", "Selu", "Shape", "Sigmoid", "Size", "Slice", "Softmax", "Softplus", "Softsign", "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh", "Tile", "TopK", "Transpose", "Unsqueeze", "Upsample", "Xor"],
  8: ["Expand"],
  9: ["ConstantOfShape", "Erf", "OneHot", "Sign", "Where"],
  10: ["ConvInteger", "DequantizeLinear", "MatMulInteger", "Mod", "QLinearConv", "QLinearMatMul", "QuantizeLinear", "Resize", "ThresholdedRelu"],
  11: ["CumSum", "DynamicQuantizeLinear", "GatherElements", "Range"],
  12: ["Celu", "Einsum", "GreaterOrEqual", "LessOrEqual"],
  14: ["HardSwish", "Trilu"],
  15: ["CastLike"],
  17: ["LayerNormalization"],
  18: ["GroupNormalization", "Mish"],
  20: ["Gelu"],
  23: ["RMSNormalization"],
  24: ["Swish"],
};
