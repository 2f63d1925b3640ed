/** Operators that no fixed hardware can stand for, or that are not built; each with the reason that is true for it. */
import { rowMajorStrides } from "../../ir/types.js";
import { known, type OperatorImporter } from "../context.js";

const DYNAMIC = [
  "it computes scales from each sample, which fixed hardware cannot",
  "quantize statically, with calibration data, or give the float model to onnx-hls",
] as const;
const PACKED = [
  "its sequences are packed without padding, so that shapes depend on the data",
  "export with sequences of one fixed length",
] as const;
const SEARCH = [
  "it searches for sequences step by step, a loop whose length depends on the data",
  "give the network of one step to onnx-hls, and search on the host",
] as const;
const COUNTED = [
  "how many elements its result has depends on the data",
  "keep this step on the host, behind the accelerator",
] as const;
const PLACES = [
  "where it reads and writes depends on the data",
  "export with interpolation, or with pooling without indices",
] as const;
const TEXT = ["it works on text", "keep this step on the host, in front of the accelerator"] as const;
const RANDOM = [
  "it draws random numbers",
  "export the model in evaluation mode, or make the random tensor an input",
] as const;
const OPTIONAL = ["it works on optional tensors", "export with the tensor that is meant"] as const;
const LOSS = ["it is a loss, which training needs", "export the model in evaluation mode"] as const;
const TRANSFORM = ["this form of the Fourier transformation is not built", "export with DFT"] as const;
const EXPERTS = ["which weights it uses depends on the data", "compile the experts as networks of their own"] as const;
const ORDERED = ["its weights are in the order of one kind of GPU", "save the model before that optimization"] as const;
const BLOCKED = [
  "its tensors are in blocks of channels as one processor likes them, and the file does not say of how many",
  "save the model with ORT_ENABLE_EXTENDED instead of ORT_ENABLE_ALL",
] as const;
const CACHE = [
  "it decodes one step at a time from a buffer of past keys and values that grows",
  "export the network for whole sequences, without a past",
] as const;
const STATE = ["it carries a state from sample to sample", "export with the state as an input and an output"] as const;

type Reason = readonly [what: string, hint: string];

/** Of ONNX's domain. */
const REFUSED: Readonly<Record<string, Reason>> = {
  NonMaxSuppression: COUNTED,
  Unique: COUNTED,
  RegexFullMatch: TEXT,
  StringConcat: TEXT,
  StringNormalizer: TEXT,
  StringSplit: TEXT,
  TfIdfVectorizer: TEXT,
  ImageDecoder: ["it decodes a file", "keep this step on the host, in front of the accelerator"],
  Bernoulli: RANDOM,
  Multinomial: RANDOM,
  RandomNormal: RANDOM,
  RandomNormalLike: RANDOM,
  RandomUniform: RANDOM,
  RandomUniformLike: RANDOM,
  SequenceMap: [
    "it maps a sequence of tensors by a function",
    "export with the steps written out, or with Split and Concat",
  ],
  Optional: OPTIONAL,
  OptionalGetElement: OPTIONAL,
  OptionalHasElement: OPTIONAL,
  NegativeLogLikelihoodLoss: LOSS,
  SoftmaxCrossEntropyLoss: LOSS,
  DeformConv: PLACES,
  MaxRoiPool: PLACES,
  MaxUnpool: PLACES,
  BitCast: ["it reads the bits of one type as another's", "export with Cast"],
  Det: ["a determinant is no fixed number of exact products", "keep this step on the host"],
};
/** Of ONNX Runtime's domain. */
const REFUSED_BY_RUNTIME: Readonly<Record<string, Reason>> = {
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
  Unique: COUNTED,
  MurmurHash3: ["a hash function is no arithmetic on real numbers", "compute it on the host"],
  Rfft: TRANSFORM,
  Irfft: TRANSFORM,
  Inverse: [
    "the inverse of a computed matrix is not built",
    "compute it on the host, or at export where it is constant",
  ],
  CropAndResize: ["regions that are cut out and resized are not built", "cut regions out on the host"],
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
const IN_BLOCKS = [
  "Conv",
  "MaxPool",
  "AveragePool",
  "GlobalMaxPool",
  "GlobalAveragePool",
  "ReorderInput",
  "ReorderOutput",
  "Upsample",
];

function refused(opType: string, [what, hint]: Reason): OperatorImporter {
  return {
    opType,
    limits: `refused: ${what}`,
    import: (ctx) => {
      throw ctx.error(what, hint);
    },
  };
}

/** Positions of what is not zero, one row per axis. */
const nonZero: OperatorImporter = {
  opType: "NonZero",
  since: 9,
  limits: "on constants",
  resultType: () => 7,
  import: (ctx) => {
    const c = ctx.constant(0);
    if (c === undefined) throw ctx.error(COUNTED[0], "export with a mask of fixed size instead");
    const strides = rowMajorStrides(c.shape);
    const found = [...c.data].flatMap((v, i) => (v === 0 ? [] : [i]));
    return known(
      [c.shape.length, found.length],
      c.shape.flatMap((n, d) => found.map((i) => Math.floor(i / strides[d]!) % n)),
      true,
    );
  },
};

export const refusedOperators: readonly OperatorImporter[] = [
  nonZero,
  ...Object.entries(REFUSED).map(([name, why]) => refused(name, why)),
  ...Object.entries(REFUSED_BY_RUNTIME).map(([name, why]) => refused(`com.microsoft::${name}`, why)),
  ...IN_BLOCKS.map((name) => refused(`com.microsoft.nchwc::${name}`, BLOCKED)),
];
