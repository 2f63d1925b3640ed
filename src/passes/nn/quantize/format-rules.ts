/**
 * Where the binary point of a tensor of known width is: an ordered list, of which the first rule that applies decides.
 */
import type { Value } from "../../../ir/core.js";
import { strAttr } from "../../../ir/define-op.js";
import { fixed, type FixedType } from "../../../ir/types.js";
import { statedGrid } from "./decisions.js";
import { chooseFormat, roomyFormat } from "./formats.js";
import { isRelative, relativeResult } from "./tables.js";
import type { WidthFacts } from "./width-facts.js";

export interface FormatRule {
  readonly name: string;
  readonly why: string;
  readonly source: string;
  /** The format of `width` bits; undefined where the rule does not apply. */
  readonly format: (v: Value, width: number, facts: WidthFacts) => FixedType | undefined;
}

export const formatRules: readonly FormatRule[] = [
  {
    name: "decisions",
    why: "What trees compare with thresholds has the grid on which decisions fall as in float, of as many bits as that takes or the user states.",
    source: "exact on all samples (decisions.ts)",
    format: (v, _, f) => {
      const { decisions } = f.statsOf(v);
      if (decisions === undefined) return undefined;
      const stated = f.statedWidth(v) ?? f.statedByReaders(v) ?? f.statedInput(v);
      return (stated === undefined ? undefined : statedGrid(v, stated)) ?? decisions.type;
    },
  },
  {
    name: "integer-limits",
    why: "Integers that the network limits wherever it reads them have the format of these limits.",
    source: "exact: every row that the table has can be named",
    format: (v, width, f) => {
      const limits = f.limits(v);
      return limits?.width === width ? limits : undefined;
    },
  },
  {
    name: "integers",
    why: "An input of integers that fit is taken as integers.",
    source: "exact: no rounding at all",
    format: (v, width, f) =>
      f.layer(v).input === undefined && f.precision.input === undefined && f.integerInput(v) === width
        ? fixed(width, 0, f.statsOf(v).min < 0)
        : undefined,
  },
  {
    name: "reciprocal",
    why: "The result of a reciprocal holds its largest value: its errors count relative to it.",
    source: "a bound: no value that counts is clipped",
    format: (v, width, f) =>
      v.def?.name === "nn.unary" && isRelative(strAttr(v.def, "fn"))
        ? relativeResult(f.resultStats(v.def), width)
        : undefined,
  },
  {
    name: "roomy",
    why: "With many bits, what calibration has not seen matters more than one bit of resolution: a quarter of headroom.",
    source: "measured: `npm run bench:widths -- --vary roomyWidth=11,32`",
    format: (v, width, f) => (width >= f.c.roomyWidth ? roomyFormat(f.statsOf(v), width) : undefined),
  },
  {
    name: "least-error",
    why: "The least squared error over calibration values, rounding and clipping together.",
    source: 'Sung, Shin, Hwang: "Resiliency of deep neural networks under quantization" (2015)',
    format: (v, width, f) => chooseFormat(f.statsOf(v), width),
  },
];

/** The format of `width` bits for `v`. */
export function decideFormat(v: Value, width: number, facts: WidthFacts): FixedType {
  for (const rule of formatRules) {
    const type = rule.format(v, width, facts);
    if (type !== undefined) return type;
  }
  return chooseFormat(facts.statsOf(v), width);
}
