/**
 * Products of a constant matrix and a vector without multipliers: y = M x as a graph of shifted additions and
 * subtractions that the outputs share.
 *
 * Every weight is taken apart into canonical signed digits, so that an output is a sum of terms (variable, shift,
 * sign). Pairs of terms that occur in several outputs (or several times in one, shifted) become variables of their own,
 * the most profitable first; what remains of each output is summed in a tree. Both steps keep within the least depth of
 * the output of most terms: one whose terms have depths d_i can be summed in depth D exactly if sum(2^d_i) <= 2^D
 * (Kraft), so each replacement is checked against what the output has left.
 *
 * Common subexpressions over signed digits: R. I. Hartley, "Subexpression sharing in filters using canonic signed digit
 * multipliers", IEEE TCAS-II 43 (1996); greedy choice weighted by overlapping bits and the depth limit for FPGA logic:
 * C. Sun et al., "da4ml: Distributed Arithmetic for Real-time Neural Networks on FPGAs" (arXiv 2507.04535).
 */
import {
  type AdderGraph,
  type AdderNode,
  bitsOfInterval,
  type GraphOutput,
  type Interval,
  prune,
} from "./adder-graph.js";

/** Canonical signed digits of an integer: positions and signs, least first; no two neighbours. */
export function signedDigitsOf(value: number): { shift: number; sign: 1 | -1 }[] {
  const digits: { shift: number; sign: 1 | -1 }[] = [];
  let v = value;
  for (let shift = 0; v !== 0; shift++) {
    if (v % 2 !== 0) {
      const sign = ((v % 4) + 4) % 4 === 1 ? 1 : -1;
      digits.push({ shift, sign });
      v -= sign;
    }
    v /= 2;
  }
  return digits;
}

interface Term {
  readonly v: number;
  readonly shift: number;
  readonly sign: 1 | -1;
}

/** Two terms up to a common shift and sign: `a + sign * (b << shift)`; a < b, or a = b and shift > 0. */
interface Pattern {
  readonly a: number;
  readonly b: number;
  readonly shift: number;
  readonly sign: 1 | -1;
  count: number;
}

const SHIFTS = 128;
const MAX_VARIABLES = 2 ** 20;

function patternKey(a: number, b: number, shift: number, sign: number): number {
  return ((a * MAX_VARIABLES + b) * SHIFTS + shift + SHIFTS / 2) * 2 + (sign > 0 ? 1 : 0);
}

/** Pairs of terms that one search looks at; a larger matrix is cut into blocks of inputs, which share nothing. */
const MAX_PAIRS = 2e6;

/**
 * The graph of `y = matrix x + added`: `matrix[o][i]` are integers, `inputs[i]` the range of x_i. It is no deeper than
 * the output of most terms must be. With numbers to add no output is negative.
 */
export function buildAdderGraph(
  matrix: readonly ArrayLike<number>[],
  inputs: readonly Interval[],
  added?: ArrayLike<number>,
): AdderGraph {
  const constants = added === undefined ? [] : [...new Set(Array.from(added))];
  const builder = new GraphBuilder([...inputs, ...constants.map((c) => ({ lo: c, hi: c }))]);
  const rows = matrix.map((row) =>
    inputs.flatMap(({ lo, hi }, v): Term[] =>
      lo === 0 && hi === 0 ? [] : signedDigitsOf(row[v]!).map((d) => ({ v, ...d })),
    ),
  );
  const leaf = (r: number): Term[] =>
    added === undefined || added[r] === 0
      ? []
      : [{ v: inputs.length + constants.indexOf(added[r]!), shift: 0, sign: 1 }];
  const size = rows.map((terms, r) => terms.length + leaf(r).length);
  const limit = Math.ceil(Math.log2(Math.max(1, ...size)));
  const left = size.map((n) => 2 ** limit - n);
  const pairs = rows.reduce((n, r) => n + (r.length * (r.length - 1)) / 2, 0);
  const blocks = Math.max(1, Math.min(inputs.length, Math.ceil(pairs / MAX_PAIRS)));
  const remaining = rows.map((): Term[] => []);
  for (let block = 0; block < blocks; block++) {
    const [from, to] = [
      Math.floor((inputs.length * block) / blocks),
      Math.floor((inputs.length * (block + 1)) / blocks),
    ];
    const part = blocks === 1 ? rows : rows.map((terms) => terms.filter((t) => t.v >= from && t.v < to));
    new Sharing(builder, part, left).run();
    part.forEach((terms, r) => remaining[r]!.push(...terms));
  }
  const outputs = remaining.map((terms, r) => {
    const sum = builder.sum([...terms, ...leaf(r)], added !== undefined);
    return added !== undefined && sum.negative ? builder.negate(sum, inputs.length + constants.indexOf(0)) : sum;
  });
  return builder.finish(outputs, constants.length);
}

class GraphBuilder {
  readonly ranges: Interval[];
  readonly depths: number[];
  private readonly nodes: AdderNode[] = [];

  constructor(private readonly inputs: readonly Interval[]) {
    this.ranges = [...inputs];
    this.depths = inputs.map(() => 0);
  }

  /** The output with its sign put right; node `zero` is 0. */
  negate(o: GraphOutput, zero: number): GraphOutput {
    return { node: this.add(zero, o.node, o.shift, true), shift: 0, negative: false };
  }

  /** See `AdderNode`. */
  add(a: number, b: number, shift: number, subtract: boolean): number {
    const [p, q] = [2 ** Math.max(0, -shift), (subtract ? -1 : 1) * 2 ** Math.max(0, shift)];
    const [x, y] = [multiple(this.ranges[a]!, p), multiple(this.ranges[b]!, q)];
    const range =
      a === b ? multiple(this.ranges[a]!, p + q) : { lo: outerSum(x.lo, y.lo, -1), hi: outerSum(x.hi, y.hi, 1) };
    const depth = Math.max(this.depths[a]!, this.depths[b]!) + 1;
    this.nodes.push({ a, b, shift, subtract, range, depth });
    this.ranges.push(range);
    this.depths.push(depth);
    return this.ranges.length - 1;
  }

  /**
   * Sum of an output's terms in a tree of least depth: the shallowest two first, of those the nearest in place. Where
   * the sum is to have its own sign, the last subtraction may begin with the upper term; it is a longer one then.
   */
  sum(terms: readonly Term[], ownSign: boolean): GraphOutput {
    if (terms.length === 0) return { node: -1, shift: 0, negative: false };
    const open = terms.map((t) => ({ ...t }));
    while (open.length > 1) {
      open.sort((x, y) => this.depths[x.v]! - this.depths[y.v]! || x.shift - y.shift || x.v - y.v);
      // Among the terms that must go now any two will do: take those that overlap most.
      const depth = this.depths[open[0]!.v]!;
      let last = open.length - 1;
      while (last > 1 && this.depths[open[last]!.v]! > depth) last--;
      let best = 1;
      let first = 0;
      if (last > 1) {
        let least = Infinity;
        for (let i = 0; i + 1 <= last; i++) {
          const cost = this.joinCost(open[i]!, open[i + 1]!);
          if (cost < least) [least, first, best] = [cost, i, i + 1];
        }
      }
      const [x, y] = [open[first]!, open[best]!];
      open.splice(best, 1);
      open.splice(first, 1);
      open.push(ownSign && open.length === 0 ? this.joinLast(x, y) : this.join(x, y));
    }
    const t = open[0]!;
    return { node: t.v, shift: t.shift, negative: t.sign < 0 };
  }

  private joinCost(x: Term, y: Term): number {
    const bits = (t: Term): number => bitsOfInterval(this.ranges[t.v]!) + t.shift;
    return Math.max(bits(x), bits(y)) - Math.max(x.shift, y.shift);
  }

  private join(x: Term, y: Term): Term {
    // The lower term gives the sum its sign.
    const [low, high] = x.shift < y.shift || (x.shift === y.shift && x.sign >= y.sign) ? [x, y] : [y, x];
    const v = this.add(low.v, high.v, high.shift - low.shift, low.sign !== high.sign);
    return { v, shift: low.shift, sign: low.sign };
  }

  private joinLast(x: Term, y: Term): Term {
    const [low, high] = x.shift <= y.shift ? [x, y] : [y, x];
    if (low.sign > 0 || high.sign < 0) return this.join(x, y);
    return { v: this.add(high.v, low.v, low.shift - high.shift, true), shift: low.shift, sign: 1 };
  }

  finish(outputs: readonly GraphOutput[], constants: number): AdderGraph {
    return prune({ inputs: this.inputs, constants, nodes: this.nodes, outputs });
  }
}

/**
 * The next double, or the one after it, in direction `side` (a step is at most this much of the number), of a rounded
 * number: none is below 2^53.
 */
function outward(v: number, side: 1 | -1): number {
  return Math.abs(v) <= Number.MAX_SAFE_INTEGER ? v : v + side * Math.abs(v) * 2 ** -52;
}

/** a + b, moved in direction `side` where that is no double. @source TwoSum: Knuth, TAOCP 2, 4.2.2 */
function outerSum(a: number, b: number, side: 1 | -1): number {
  const s = a + b;
  const c = s - a;
  const error = a - (s - c) + (b - c);
  return error === 0 ? s : outward(s, side);
}

/** c is plus or minus a power of two or, from one value twice, the sum of two such. */
function multiple(r: Interval, c: number): Interval {
  const [lo, hi] = c >= 0 ? [r.lo * c, r.hi * c] : [r.hi * c, r.lo * c];
  if (Math.max(-lo, hi) <= Number.MAX_SAFE_INTEGER || Number.isInteger(Math.log2(Math.abs(c)))) return { lo, hi };
  return { lo: outward(lo, -1), hi: outward(hi, 1) };
}

/** The greedy search for shared pairs; edits the rows in place. */
class Sharing {
  private readonly patterns = new Map<number, Pattern>();
  /** Keys by score; a key may wait in a bucket that is too high, and is put right when it comes up. */
  private readonly buckets: number[][] = [];

  constructor(
    private readonly graph: GraphBuilder,
    private readonly rows: Term[][],
    /** Per row: what is left of 2^limit. */
    private readonly left: number[],
  ) {
    for (const terms of rows) {
      for (let i = 0; i < terms.length; i++) for (let j = 0; j < i; j++) this.count(terms[j]!, terms[i]!, 1);
    }
    for (const [key, p] of this.patterns) this.enqueue(key, p);
  }

  run(): void {
    for (;;) {
      const key = this.best();
      if (key === undefined) return;
      this.replace(this.patterns.get(key)!);
      this.patterns.delete(key);
    }
  }

  private best(): number | undefined {
    while (this.buckets.length > 0) {
      const bucket = this.buckets[this.buckets.length - 1];
      const key = bucket?.pop();
      if (key === undefined) {
        this.buckets.pop();
        continue;
      }
      const p = this.patterns.get(key);
      if (p === undefined || p.count < 2) continue;
      const score = this.score(p);
      if (score >= this.buckets.length - 1) return key;
      (this.buckets[score] ??= []).push(key);
    }
    return undefined;
  }

  /** Adder bits that the pattern saves, less for terms that hardly overlap: their sums are wide for what they hold. */
  private score(p: Pattern): number {
    const [wa, wb] = [bitsOfInterval(this.graph.ranges[p.a]!), bitsOfInterval(this.graph.ranges[p.b]!)];
    const [sa, sb] = [Math.max(0, -p.shift), Math.max(0, p.shift)];
    const total = Math.max(wa + sa, wb + sb);
    const overlap = Math.max(1, Math.min(wa + sa, wb + sb) - Math.max(sa, sb));
    return Math.max(1, Math.round((p.count - 1) * (overlap - 0.5 * (total - overlap))));
  }

  private enqueue(key: number, p: Pattern): void {
    if (p.count >= 2) (this.buckets[this.score(p)] ??= []).push(key);
  }

  private count(x: Term, y: Term, by: number): void {
    let [a, b] = [x, y];
    if (a.v > b.v || (a.v === b.v && a.shift > b.shift)) [a, b] = [b, a];
    const shift = b.shift - a.shift;
    const sign = (a.sign * b.sign) as 1 | -1;
    const key = patternKey(a.v, b.v, shift, sign);
    const p = this.patterns.get(key);
    if (p !== undefined) p.count += by;
    else this.patterns.set(key, { a: a.v, b: b.v, shift, sign, count: by });
  }

  private replace(p: Pattern): void {
    const growth =
      2 ** (Math.max(this.graph.depths[p.a]!, this.graph.depths[p.b]!) + 1) -
      2 ** this.graph.depths[p.a]! -
      2 ** this.graph.depths[p.b]!;
    // Find all places first: a pattern that fits in one place only is not shared.
    const places: { row: number; x: Term; y: Term }[] = [];
    this.rows.forEach((terms, row) => {
      let left = this.left[row]!;
      const used = new Set<Term>();
      for (const x of terms) {
        if (x.v !== p.a || used.has(x)) continue;
        const y = terms.find(
          (t) => t.v === p.b && t.shift === x.shift + p.shift && t.sign === x.sign * p.sign && t !== x && !used.has(t),
        );
        if (y === undefined || left < growth) continue;
        used.add(x).add(y);
        left -= growth;
        places.push({ row, x, y });
      }
    });
    if (places.length < 2) return;
    const v =
      p.shift >= 0 ? this.graph.add(p.a, p.b, p.shift, p.sign < 0) : this.graph.add(p.b, p.a, -p.shift, p.sign < 0);
    const fresh = new Set<number>();
    for (const { row, x, y } of places) {
      const terms = this.rows[row]!;
      this.left[row]! -= growth;
      for (const gone of [x, y]) {
        terms.splice(terms.indexOf(gone), 1);
        for (const t of terms) this.count(gone, t, -1);
      }
      const term: Term = { v, shift: p.shift >= 0 ? x.shift : y.shift, sign: p.shift >= 0 ? x.sign : y.sign };
      for (const t of terms) {
        this.count(t, term, 1);
        fresh.add(t.v);
      }
      terms.push(term);
    }
    // Patterns with the new variable are the only ones that became more frequent.
    const seen = new Set<number>();
    for (const { row } of places) {
      for (const t of this.rows[row]!) {
        for (const own of this.rows[row]!) {
          if (own.v !== v || own === t) continue;
          let [a, b] = [t, own];
          if (a.v > b.v || (a.v === b.v && a.shift > b.shift)) [a, b] = [b, a];
          const key = patternKey(a.v, b.v, b.shift - a.shift, a.sign * b.sign);
          if (seen.has(key)) continue;
          seen.add(key);
          const q = this.patterns.get(key);
          if (q !== undefined) this.enqueue(key, q);
        }
      }
    }
  }
}
