/**
 * Banked memory: the realization of a channel whose reads follow no stream order (attention keys, transposes). It holds
 * whole samples. Every read lane has banks of its own, one per plane of the producer's words that it reads from, so
 * that each bank sees at most one write and one read a cycle; lanes with the same writes and addresses share a wide
 * bank.
 */
import { addressWidth } from "../../ir/rtl/semantics.js";
import type { ProducerOrder, ReadTable } from "./access.js";

export interface Bank {
  /** Producer words that this bank keeps, in order of arrival; position = address. */
  readonly words: readonly number[];
  /** Planes of the producer's word that are stored side by side. */
  readonly planes: readonly number[];
  /** Address read in each step; -1 where the step does not read this bank. */
  readonly address: Int32Array;
}

export interface MemoryPlan {
  readonly kind: "memory";
  readonly words: number;
  /** Words that must have arrived before step i. */
  readonly need: Int32Array;
  readonly banks: readonly Bank[];
  /**
   * Where each lane reads in each step (`step * lanes + lane`): bank and position among its planes; -1 where it pads.
   */
  readonly laneBank: Int32Array;
  readonly lanePlane: Int32Array;
  readonly table: ReadTable;
  readonly order: ProducerOrder;
}

export function planMemory(order: ProducerOrder, table: ReadTable): MemoryPlan {
  const { steps, lanes, element } = table;
  const need = new Int32Array(steps);
  let most = 0;
  for (let s = 0; s < steps; s++) {
    for (let l = 0; l < lanes; l++) {
      const e = element[s * lanes + l]!;
      if (e >= 0) most = Math.max(most, order.wordOf[e]! + 1);
    }
    need[s] = most;
  }
  const banks: { words: number[]; planes: number[]; address: Int32Array }[] = [];
  const byHash = new Map<number, number[]>();
  const laneBank = new Int32Array(steps * lanes).fill(-1);
  const lanePlane = new Int32Array(steps * lanes);
  for (let l = 0; l < lanes; l++) {
    const planes = new Map<number, Set<number>>();
    for (let s = 0; s < steps; s++) {
      const e = element[s * lanes + l]!;
      if (e < 0) continue;
      const p = order.planeOf[e]!;
      let words = planes.get(p);
      if (words === undefined) planes.set(p, (words = new Set()));
      words.add(order.wordOf[e]!);
    }
    for (const [plane, wordSet] of planes) {
      const words = [...wordSet].sort((a, b) => a - b);
      const rank = new Map(words.map((w, i) => [w, i]));
      const address = new Int32Array(steps).fill(-1);
      for (let s = 0; s < steps; s++) {
        const e = element[s * lanes + l]!;
        if (e >= 0 && order.planeOf[e] === plane) address[s] = rank.get(order.wordOf[e]!)!;
      }
      // Long sequences: found by hash, then compared.
      const hash = hashOf(words, hashOf(address, 0));
      const alike = byHash.get(hash) ?? [];
      let bank = alike.find((n) => same(banks[n]!.words, words) && same(banks[n]!.address, address));
      if (bank === undefined) {
        bank = banks.length;
        banks.push({ words, planes: [], address });
        byHash.set(hash, [...alike, bank]);
      }
      let position = banks[bank]!.planes.indexOf(plane);
      if (position < 0) position = banks[bank]!.planes.push(plane) - 1;
      for (let s = 0; s < steps; s++) {
        if (address[s]! < 0) continue;
        laneBank[s * lanes + l] = bank;
        lanePlane[s * lanes + l] = position;
      }
    }
  }
  return { kind: "memory", words: order.words, need, banks, laneBank, lanePlane, table, order };
}

function hashOf(list: ArrayLike<number>, start: number): number {
  let h = start;
  for (let i = 0; i < list.length; i++) h = (Math.imul(h, 31) + list[i]!) | 0;
  return h;
}

function same(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Words of a bank that holds `words` of each of `slots` samples; samples start at powers of two. */
export function bankDepth(words: number, slots: number): number {
  return slots === 1 ? words : slots << addressWidth(words);
}
