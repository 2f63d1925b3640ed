/** Operators of ONNX that no fixed hardware computes, and why; what of them is known at import is folded. */
import { rowMajorStrides } from "../../ir/types.js";
import { known, type OperatorImporter } from "../context.js";

function refused(why: string, hint: string, names: readonly string[]): OperatorImporter[] {
  return names.map((opType) => ({
    opType,
    limits: `refused: ${why}`,
    import: (ctx) => {
      throw ctx.error(why, hint);
    },
  }));
}

/** Positions of what is not zero, one row per axis. */
const nonZero: OperatorImporter = {
  opType: "NonZero",
  since: 9,
  limits: "on constants",
  resultType: () => 7,
  import: (ctx) => {
    const c = ctx.constant(0);
    if (c === undefined) throw ctx.error("how many elements its result has depends on the data", "export with a mask of fixed size instead");
    const strides = rowMajorStrides(c.shape);
    const found = [...c.data].flatMap((v, i) => (v === 0 ? [] : [i]));
    return known([c.shape.length, found.length], c.shape.flatMap((n, d) => found.map((i) => Math.floor(i / strides[d]!) % n)), true);
  },
};

export const refusedOperators: readonly OperatorImporter[] = [
  nonZero,
  ...refused("how many elements its result has depends on the data", "keep this step on the host, behind the accelerator", ["NonMaxSuppression", "Unique"]),
  ...refused("it works on text", "keep this step on the host, in front of the accelerator", ["RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit", "TfIdfVectorizer"]),
  ...refused("it decodes a file", "keep this step on the host, in front of the accelerator", ["ImageDecoder"]),
  ...refused("it draws random numbers", "export the model in evaluation mode, or make the random tensor an input", ["Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"]),
  ...refused("it works on sequences of tensors", "export with Split and Concat", ["ConcatFromSequence", "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert", "SequenceLength", "SequenceMap", "SplitToSequence"]),
  ...refused("it works on optional tensors", "export with the tensor that is meant", ["Optional", "OptionalGetElement", "OptionalHasElement"]),
  ...refused("it is a loss, which training needs", "export the model in evaluation mode", ["NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"]),
  ...refused("where it reads and writes depends on the data", "export with interpolation, or with pooling without indices", ["DeformConv", "MaxRoiPool", "MaxUnpool"]),
  ...refused("it reads the bits of one type as another's", "export with Cast", ["BitCast"]),
  ...refused("a determinant is no fixed number of exact products", "keep this step on the host", ["Det"]),
];
