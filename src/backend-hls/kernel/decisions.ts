/**
 * Ensembles of trees in hardware, as far as plans and estimates go.
 *
 * - *Fixed* trees, one per lane: all comparisons side by side, shared by whoever asks the same; per tree the number of
 *   the leaf
 *   in binary, each bit a tree of choices by the comparisons; a table from that number to the leaf's value.
 * - *Walked* trees, where a lane serves several in turn: a table of nodes per level, read by an address; the node's
 *   feature is
 *   selected and compared with its threshold, which decides the address in the next level. A new tree enters every cycle.
 */
import { elementAt, present } from "../../ir/present.js";
import type { KernelSpec } from "../../ir/flow/kernel.js";
import { loopNest } from "../../ir/flow/kernel.js";
import { allocate, Dense } from "../../ir/attributes.js";
import { leafOf, leavesOf, readEnsemble, type Ensemble } from "../../ir/trees.js";
import { bitLength, rawRange, ufixed, type FixedType } from "../../ir/types.js";
import type { Device } from "../device/devices.js";
import { isFixedOperand, weightTable } from "./datapath.js";

/**
 * Trees that the lanes evaluate: `sets[output][term]`, one of them where it never changes, in the order of their
 * numbers otherwise.
 */
export interface TreeLanes {
  readonly ensemble: Ensemble;
  readonly features: FixedType;
  readonly fixed: boolean;
  readonly sets: readonly (readonly (readonly number[])[])[];
}

const cache = new WeakMap<object, ReturnType<typeof readEnsemble>>();
export function ensembleOf(spec: KernelSpec): Ensemble {
  let found = cache.get(present(spec.trees, "trees"));
  if (found === undefined)
    cache.set(present(spec.trees, "trees"), (found = readEnsemble(present(spec.trees, "trees"))));
  return found;
}

export function hasFixedTrees(spec: KernelSpec): boolean {
  return isFixedOperand(spec, 1);
}

/** Numbers of trees that lane `lane` of the operand of trees sees over the steps. */
export function treesOfLane(spec: KernelSpec, lane: number): number[] {
  return [...new Set(weightTable(spec, 1).rows.map((r) => elementAt(r, lane)))].sort((a, b) => a - b);
}

const heights = new WeakMap<Ensemble, Map<number, number>>();

/** Comparisons on the longest path from a node; 0 for a leaf. */
export function heightOf(e: Ensemble, at: number): number {
  if (at < 0) return 0;
  const known = heights.get(e) ?? new Map<number, number>();
  heights.set(e, known);
  let h = known.get(at);
  if (h === undefined)
    known.set(at, (h = 1 + Math.max(heightOf(e, elementAt(e.onTrue, at)), heightOf(e, elementAt(e.onFalse, at)))));
  return h;
}

export function tallest(e: Ensemble): number {
  return e.roots.length === 0 ? 0 : Math.max(...Array.from(e.roots, (r) => heightOf(e, r)));
}
export function mostLeaves(e: Ensemble): number {
  return Math.max(1, ...Array.from(e.roots, (r) => leavesOf(e, r).length));
}

/** Bits of numbers from 0 to n - 1; none for one number. */
export function numberBits(n: number): number {
  return bitLength(n - 1);
}

// --- comparisons with constants

/** Bits of a number that one lookup table compares with a constant. */
export function chunkBits(d: Device): number {
  return d.family.lutInputs;
}

/**
 * Levels of lookup tables of `width` bits against a constant: parts side by side, then the highest that differs
 * decides.
 */
export function compareLevels(d: Device, width: number): number {
  const chunks = Math.ceil(width / chunkBits(d));
  return (
    1 + (chunks === 1 ? 0 : Math.max(1, Math.ceil(Math.log(2 * chunks - 1) / Math.log(d.family.lutInputs) - 1e-9)))
  );
}

/** Levels of a table of `bits` address bits in logic. */
export function tableLevels(d: Device, bits: number): number {
  return Math.max(1, Math.ceil((bits - d.family.lutInputs) / 2) + 1);
}

// --- tables of nodes

/** Nodes of one level of the trees of a lane. Leaves that are reached earlier go on as nodes that decide nothing. */
export interface Level {
  /** Per address: node, or leaf (negative). */
  readonly places: readonly number[];
  readonly table: Dense;
  /** Bits of the fields of a word, lowest first. */
  readonly feature: number;
  readonly threshold: number;
  readonly next: number;
  readonly equality: boolean;
}

export interface Walk {
  readonly levels: readonly Level[];
  /** Leaf per address behind the last level. */
  readonly leaves: readonly number[];
}

/** Tables for the trees `numbers`; the first level is addressed by the numbers themselves. */
export function walkOf(
  e: Ensemble,
  numbers: readonly number[],
  depth: number,
  features: FixedType,
  count: number,
): Walk {
  const least = rawRange(features).lo;
  const first = new Array<number>(Math.max(...numbers) + 1).fill(-1);
  for (const n of numbers) first[n] = elementAt(e.roots, n);
  let places: readonly number[] = first;
  const levels: Level[] = [];
  for (let l = 0; l < depth; l++) {
    const following = new Map<number, number>();
    const address = (to: number): number => {
      let a = following.get(to);
      if (a === undefined) following.set(to, (a = following.size));
      return a;
    };
    const words = places.map((p, i) => {
      // Addresses that no tree has lead anywhere.
      if (l === 0 && !numbers.includes(i)) return undefined;
      return p < 0
        ? { feature: 0, threshold: 0, equal: 0, yes: address(p), no: address(p) }
        : {
            feature: elementAt(e.feature, p),
            threshold: elementAt(e.threshold, p) - least,
            equal: e.relation[p] === 2 ? 1 : 0,
            yes: address(elementAt(e.onTrue, p)),
            no: address(elementAt(e.onFalse, p)),
          };
    });
    const [feature, threshold, next] = [numberBits(count), features.width, numberBits(following.size)];
    const equality = words.some((w) => w?.equal === 1);
    // Fields are elements of the table, each as wide as the widest: synthesis drops the bits that are always zero.
    const width = Math.max(1, feature, threshold, next);
    const elem = ufixed(width, 0);
    const data = allocate(elem, words.length * 5);
    words.forEach((w, i) =>
      data.set([w?.feature ?? 0, w?.threshold ?? 0, w?.yes ?? 0, w?.no ?? 0, w?.equal ?? 0], i * 5),
    );
    levels.push({ places, table: new Dense([words.length, 5], elem, data), feature, threshold, next, equality });
    places = [...following.keys()];
  }
  return { levels, leaves: places.map((p) => leafOf(p)) };
}

/** Bits in all of the tables for some trees, roughly: for estimates before a schedule is chosen. */
export function roughWalkBits(e: Ensemble, features: number, width: number, lanes: number): number {
  const nodes = e.feature.length;
  return nodes * (numberBits(features) + width + 2 * numberBits(Math.ceil(nodes / Math.max(1, lanes))));
}

export function stepsOf(spec: KernelSpec): number {
  return loopNest(spec).reduce((n, l) => n * l.trips, 1);
}
