/**
 * The numbers in the rules for widths, each with what it means and where it comes from. `QuantizeOptions.constants`
 * takes others, which is how `npm run bench:widths -- --vary NAME=A,B` measures them.
 */

export interface WidthConstant {
  readonly value: number;
  readonly unit: string;
  readonly what: string;
  /** A paper, a data sheet, or the command that measures it. */
  readonly source: string;
}

const varied = (name: string, values: string): string =>
  `measured: \`npm run bench:widths -- --vary ${name}=${values}\``;

/** What a name stands for is a bound of the hardware or of the text, not a choice. */
const records = {
  expStep: {
    value: 2 ** -6,
    unit: "units of the argument",
    what: "step at which the argument of a softmax's exp must be known: half of what its table of 2^8 entries over 8 units resolves",
    source: varied("expStep", "0.0625,0.03125,0.0078125"),
  },
  scoreWidth: {
    value: 24,
    unit: "bits",
    what: "most bits of scores: a difference of 10^5 at the step of the exponent",
    source: "a bound: float32, from which networks come, has no more significant bits (IEEE 754)",
  },
  scoreHeadroom: {
    value: 1.25,
    unit: "times the calibrated range",
    what: "range of scores that is kept, as roomy formats keep it",
    source: varied("scoreHeadroom", "1,2"),
  },
  factorSteps: {
    value: 4,
    unit: "steps of the scores",
    what: "error that a query or key may cause in the scores",
    source: varied("factorSteps", "1,2,8"),
  },
  constantBits: {
    value: 8,
    unit: "bits",
    what: "least significant bits of constants that multiply activations",
    source: varied("constantBits", "6,10"),
  },
  featureWidth: {
    value: 20,
    unit: "bits",
    what: "most bits of a tensor whose features, or the constants it meets, differ in size",
    source: varied("featureWidth", "16,24"),
  },
  roomyWidth: {
    value: 13,
    unit: "bits",
    what: "from this width on a quarter of headroom is worth more than one bit of resolution",
    source: varied("roomyWidth", "11,32"),
  },
  lightShare: {
    value: 0.01,
    unit: "share of the network's products",
    what: "below this a layer counts as light",
    source: varied("lightShare", "0.003,0.03"),
  },
  lightWidth: {
    value: 16,
    unit: "bits",
    what: "most bits of what costs little: light layers, single constants, rows of different size",
    source: "a bound: a factor of at most 17 unsigned bits fits the narrow port of a DSP48E2 (AMD UG579)",
  },
  weighingWidth: {
    value: 8,
    unit: "bits",
    what: "least bits of a variable in the part of the weights, which has not been trained to be coarse",
    source: varied("weighingWidth", "6,10"),
  },
  maxTableBits: {
    value: 14,
    unit: "bits",
    what: "most bits of a table's argument",
    source: "a bound: 2^14 entries of 18 bits are eight block RAMs of 36 Kbit, a memory by itself (AMD UG573)",
  },
  scaleOctaves: {
    value: 6,
    unit: "octaves",
    what: "range of a sum below a root or reciprocal that the width of scales resolves anyway",
    source: varied("scaleOctaves", "3,9"),
  },
  maxSpread: {
    value: 14,
    unit: "bits",
    what: "most bits on top for the range of such a sum",
    source: varied("maxSpread", "8,20"),
  },
  smallRowBits: {
    value: 2,
    unit: "bits",
    what: "bits less than the smallest row of a normalised tensor would need: others read it as well",
    source: varied("smallRowBits", "0,4"),
  },
  centredWidth: {
    value: 18,
    unit: "bits",
    what: "most bits of a tensor less its mean, which is squared",
    source: "a bound: the narrow port of a DSP48E2 takes 18 signed bits (AMD UG579)",
  },
  epsilonShare: {
    value: 2 ** -12,
    unit: "share of the largest argument",
    what: "what is added to the argument of a root or reciprocal is an epsilon up to this share, and a part of it beyond",
    source: varied("epsilonShare", "0.000015,0.004"),
  },
  integerInputBits: {
    value: 16,
    unit: "bits",
    what: "inputs of integers up to this width are taken as they are",
    source: "a bound: detector counts and pixels are transferred as words of 16 bits",
  },
  maxIntegerBits: {
    value: 20,
    unit: "bits",
    what: "inputs of integers that the network limits are taken as they are up to this width",
    source: "a bound: rows of a table of 10^6 entries, which no device here holds",
  },
} as const satisfies Readonly<Record<string, WidthConstant>>;

export type WidthConstantName = keyof typeof records;
export type WidthConstants = Readonly<Record<WidthConstantName, number>>;

export const WIDTH_CONSTANTS: Readonly<Record<WidthConstantName, WidthConstant>> = records;

/** The values, with others in place of some. */
export function constantsWith(others: Partial<WidthConstants> = {}): WidthConstants {
  const values = Object.fromEntries(Object.entries(records).map(([name, c]) => [name, c.value]));
  return { ...(values as Record<WidthConstantName, number>), ...others };
}
