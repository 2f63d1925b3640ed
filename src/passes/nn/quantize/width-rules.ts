/**
 * Which width a tensor, the weights of a layer, a constant factor and the argument of a table get: ordered lists of
 * rules, of which the first that applies decides. What a user states comes first. The report names the rule of every
 * width, `bench:widths --without` measures what a rule is worth, and docs/width-rules.md is made of these records.
 */
import { CompilerBug } from "../../../diagnostics/index.js";
import type { Op, Value } from "../../../ir/core.js";
import { strAttr } from "../../../ir/define-op.js";
import {
  feedsOutput,
  feedsWhole,
  isEnsemble,
  isScale,
  normalizations,
  scalingRoots,
  steepBelow,
  unevenFactor,
} from "./tensor-roles.js";
import { isSteep } from "./tables.js";
import type { WidthFacts } from "./width-facts.js";
import { isConstant } from "../../../ir/nn/values.js";

/** One reason for a width, of tensors (`Value`) or of what an operation has of its own (`Op`). */
export interface WidthRule<S extends Value | Op = Value | Op> {
  /** Unique in its list; kebab-case. */
  readonly name: string;
  readonly why: string;
  /** Where the rule comes from: a paper, a bound of the hardware, or the command that measures it. */
  readonly source: string;
  /** Whether the user has said so: then nothing else is asked. */
  readonly stated?: true;
  /** `otherwise`: bits that the rules behind this one would give. */
  readonly applies: (subject: S, facts: WidthFacts, otherwise: () => number) => boolean;
  /** Bits where the rule applies. */
  readonly width: (subject: S, facts: WidthFacts) => number;
}

/** A width and the name of the rule that has set it. */
export interface DecidedWidth {
  readonly bits: number;
  readonly rule: string;
  readonly stated: boolean;
}

/** A rule that applies wherever `bits` is known. */
function where<S extends Value | Op>(
  bits: (subject: S, facts: WidthFacts) => number | undefined,
): Pick<WidthRule<S>, "applies" | "width"> {
  return {
    applies: (subject, facts) => bits(subject, facts) !== undefined,
    width: (subject, facts) => {
      const known = bits(subject, facts);
      if (known === undefined) throw new CompilerBug("quantize: a width is asked for that no rule gives");
      return known;
    },
  };
}

const isInput = (v: Value): boolean => v.def === undefined;
const STATED = "the user's statement";
const measured = (name: string): string => `measured: \`npm run bench:widths -- --without ${name}\``;

/** Bits of a tensor where it is rounded. */
export const tensorRules: readonly WidthRule<Value>[] = [
  {
    name: "stated",
    why: "The user states it for the tensor, for its ONNX node, or for the node in front whose exact result it takes along.",
    source: STATED,
    stated: true,
    ...where((v, f) => f.statedWidth(v)),
  },
  {
    name: "stated-by-reader",
    why: "The user states what a node that reads it shall read; the widest counts where several do.",
    source: STATED,
    stated: true,
    ...where((v, f) => f.statedByReaders(v)),
  },
  {
    name: "stated-output",
    why: "The user states the width of outputs, and it is one.",
    source: STATED,
    stated: true,
    ...where((v, f) => (feedsOutput(v) ? f.precision.output : undefined)),
  },
  {
    name: "stated-input",
    why: "The user states the width of inputs, and it is one.",
    source: STATED,
    stated: true,
    ...where((v, f) => f.statedInput(v)),
  },
  {
    name: "scores",
    why: "Exponents are made of it, to which differences count as they are, however large it is: a step of 2^-6 throughout.",
    source: measured("tensor/scores"),
    applies: (v, f, otherwise) => {
      const bits = f.scoreBits(v);
      return bits > 0 && bits > otherwise();
    },
    width: (v, f) => f.scoreBits(v),
  },
  {
    name: "output",
    why: "It leaves the network, where a bit costs a wire and rounding shows directly.",
    source: measured("tensor/output"),
    applies: (v) => feedsOutput(v),
    width: (_, f) => Math.max(16, f.precision.activations),
  },
  {
    name: "constant",
    why: "A constant that is added, compared or chosen, not multiplied: it costs nothing per bit.",
    source: measured("tensor/constant"),
    applies: (v) => isConstant(v),
    width: (_, f) => f.c.lightWidth,
  },
  {
    name: "integer-limits",
    why: "An input of integers that the network limits to a range wherever it reads it: rows of a table, of which calibration sees a few.",
    source: "exact: every row that the table has can be named",
    ...where((v, f) => f.limits(v)?.width),
  },
  {
    name: "whole",
    why: "An integer or a phase is made of it: what is close to a step comes out on its other side, the finer, the less often.",
    source: measured("tensor/whole"),
    applies: (v) => feedsWhole(v),
    width: (v, f) => f.integerInput(v) ?? Math.max(f.c.lightWidth, f.precision.activations),
  },
  {
    name: "decisions",
    why: "Trees compare it with thresholds: the coarsest grid on which no calibration value changes sides, with a bit to spare.",
    source: "exact on all samples (decisions.ts)",
    ...where((v, f) => f.statsOf(v).decisions?.type.width),
  },
  {
    name: "integer-input",
    why: "An input of integers, such as detector counts or pixels, is taken as it is.",
    source: "exact: no rounding at all",
    ...where((v, f) => f.integerInput(v)),
  },
  {
    name: "uneven-features",
    why: "An input of features that differ in range: the small ones get the bits by which the largest exceeds them.",
    source: measured("tensor/uneven-features"),
    applies: (v, f) => isInput(v) && unevenInput(v, f) > f.normalized(v),
    width: unevenInput,
  },
  {
    name: "scale",
    why: "A reciprocal or what meets one: it scales a whole row, so that its error is the row's; few, but widely spread.",
    source: measured("tensor/scale"),
    applies: (v) => !isInput(v) && steepBelow(v).length === 0 && isScale(v),
    width: (v, f) =>
      Math.max(f.options.scaleBits, f.precision.activations, Math.min(f.c.centredWidth, f.unevenRows(scalingRoots(v)))),
  },
  {
    name: "steep",
    why: "A root or reciprocal reads sums of it, in which the small ones count as much as the large ones: a bit for every octave beyond six.",
    source: measured("tensor/steep"),
    applies: (v) => !isInput(v) && steepBelow(v).length > 0,
    width: (v, f) =>
      Math.max(
        f.options.scaleBits + Math.max(0, Math.min(f.c.maxSpread, f.octaves(steepBelow(v)) - f.c.scaleOctaves)),
        f.precision.activations,
      ),
  },
  {
    name: "normalized",
    why: "Its rows are brought to one size later: as many bits more as the smallest row is smaller, two less as others read it too.",
    source: measured("tensor/normalized"),
    applies: (v, f) => normalizations(v).length > 0 && f.normalized(v) > f.precision.activations,
    width: (v, f) => f.normalized(v),
  },
  {
    name: "input",
    why: "An input has the width of activations.",
    source: "the network's precision",
    applies: isInput,
    width: (_, f) => f.precision.activations,
  },
  {
    name: "uneven-factors",
    why: "It meets constants of different size element by element, and nothing else: what is scaled up is read in fine detail.",
    source: measured("tensor/uneven-factors"),
    applies: (v) => unevenFactor(v) > 0,
    width: (v, f) =>
      Math.max(f.precision.activations, Math.min(f.c.featureWidth, f.precision.activations + unevenFactor(v))),
  },
  {
    name: "second-factor",
    why: "The second factor of products of two variables, such as keys and values: at a weight's width two products share a multiplier block.",
    source: `${measured("tensor/second-factor")}; two products in one block: Fu et al., "Deep Learning with INT8 Optimization on Xilinx Devices", Xilinx WP486 (2017)`,
    applies: (v, f) => f.weighs(v),
    width: (_, f) => Math.min(f.precision.activations, Math.max(f.precision.weights, f.c.weighingWidth)),
  },
  {
    name: "light",
    why: "Only layers with less than 1% of the network's products read it, in which bits are cheap; often the last ones, where rounding shows.",
    source: measured("tensor/light"),
    applies: (v, f) => f.feedsLight(v),
    width: (_, f) => f.widened(f.precision.activations, f.options.lightBits),
  },
  {
    name: "activations",
    why: "Any other tensor has the width of activations.",
    source: "the network's precision; table in docs/quantization.md",
    applies: () => true,
    width: (_, f) => f.precision.activations,
  },
];

function unevenInput(v: Value, f: WidthFacts): number {
  return Math.min(f.c.featureWidth, f.precision.activations + f.statsOf(v).spread);
}

/** Bits of the constant weights of a layer. */
export const weightRules: readonly WidthRule<Op>[] = [
  {
    name: "stated",
    why: "The user states it for the layer.",
    source: STATED,
    stated: true,
    ...where((op, f) => f.layer(op.result).weights),
  },
  {
    name: "light",
    why: "A layer with less than 1% of the network's products costs little, whatever its weights have.",
    source: measured("weights/light"),
    applies: (op, f) => f.isLight(op),
    width: (_, f) => f.widened(f.precision.weights, f.options.lightBits),
  },
  {
    name: "weights",
    why: "Any other layer has the network's width of weights.",
    source: "the network's precision; table in docs/quantization.md",
    applies: () => true,
    width: (_, f) => f.precision.weights,
  },
];

/**
 * Significant bits of a constant that an operation multiplies activations with, beyond those by which its elements
 * differ.
 */
export const factorRules: readonly WidthRule<Op>[] = [
  {
    name: "stated",
    why: "The user states it for the product, as the width of its weights.",
    source: STATED,
    stated: true,
    ...where((op, f) => f.layer(op.result).weights),
  },
  {
    name: "between-scales",
    why: "In a quantized model such factors lie between its scales, which are float32.",
    source: "a bound: float32 has 24 significant bits and a sign (IEEE 754)",
    applies: (_, f) => f.integerModel,
    width: () => SCALE_BITS,
  },
  {
    name: "factor",
    why: "At least 8 bits: it multiplies a whole channel; as many as weights where these have more.",
    source: measured("factor/factor"),
    applies: () => true,
    width: (_, f) => Math.max(f.c.constantBits, f.precision.weights),
  },
];

/** Significant bits of factors between scales. */
export const SCALE_BITS = 25;

/** Most bits of the argument of a table; fewer are taken where these gain nothing. */
export const argumentRules: readonly WidthRule<Op>[] = [
  {
    name: "stated",
    why: "The user states it for the function, as the width of its input; a table has at most 2^14 entries.",
    source: STATED,
    stated: true,
    ...where((op, f) => statedArgument(op, f)),
  },
  {
    name: "steep",
    why: "A root, power, logarithm or reciprocal, whose argument may span orders of magnitude.",
    source: measured("argument/steep"),
    applies: (op) => isSteep(strAttr(op, "fn")),
    width: (_, f) => Math.min(f.c.maxTableBits, f.options.reciprocalBits),
  },
  {
    name: "ensemble",
    why: "The argument is a sum of trees, which is exact to far more bits than layers are.",
    source: measured("argument/ensemble"),
    applies: (op) => isEnsemble(op.operand(0)),
    width: (_, f) => Math.min(f.c.maxTableBits, f.options.reciprocalBits),
  },
  {
    name: "table",
    why: "Any other function: at 8 bits a table is a few lookup tables for each bit of the result.",
    source: measured("argument/table"),
    applies: () => true,
    width: (_, f) => Math.min(f.c.maxTableBits, f.options.tableBits),
  },
];

function statedArgument(op: Op, f: WidthFacts): number | undefined {
  const stated = f.layer(op.result).input;
  return stated === undefined ? undefined : Math.min(f.c.maxTableBits, stated);
}

/** What has a width, and the rules for it. */
export const WIDTH_RULES = {
  tensor: tensorRules,
  weights: weightRules,
  factor: factorRules,
  argument: argumentRules,
} as const;

/** The last rule of each list applies to everything and cannot be left out. */
export function decideWidth<S extends Value | Op>(
  rules: readonly WidthRule<S>[],
  subject: S,
  facts: WidthFacts,
  isLeftOut: (rule: string) => boolean = () => false,
  from = 0,
): DecidedWidth {
  for (let i = from; i < rules.length; i++) {
    const rule = rules[i];
    if (rule === undefined || (isLeftOut(rule.name) && i < rules.length - 1)) continue;
    const otherwise = (): number => decideWidth(rules, subject, facts, isLeftOut, i + 1).bits;
    if (rule.applies(subject, facts, otherwise))
      return { bits: rule.width(subject, facts), rule: rule.name, stated: rule.stated === true };
  }
  throw new CompilerBug("quantize: no rule gives a width");
}
