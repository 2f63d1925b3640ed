/** Which results of rtl operations change at clock edges alone, and which follow operands within a cycle. */
import type { Op, Value } from "../core.js";
import { intAttr, strAttr } from "../define-op.js";
import { readAddresses, rtlEntry, type RtlName } from "./index.js";
import { forCombinational } from "./semantics.js";

/** For each output of a module, the set of inputs (bit i = input i) that reach it within a cycle. */
export type PathsOf = (module: string) => readonly bigint[] | undefined;

interface Timing {
  /** Whether it has state that a clock edge changes. */
  readonly state: boolean;
  /** Whether its results are registers. */
  readonly clocked: (op: Op) => boolean;
  /** Operands that a result follows within the cycle. */
  readonly follows: (op: Op, result: number, pathsOf: PathsOf) => readonly Value[];
}

const atOnce: Timing = { state: false, clocked: () => false, follows: (op) => op.operands };
const registered = (op: Op): boolean => intAttr(op, "read_latency") === 1;

const TIMING: Readonly<Record<RtlName, Timing>> = {
  "rtl.module": atOnce,
  "rtl.output": atOnce,
  "rtl.constant": atOnce,
  ...forCombinational(atOnce),
  "rtl.reg": { state: true, clocked: () => true, follows: () => [] },
  "rtl.memory": {
    state: true,
    clocked: registered,
    // A read at latency 0 depends on its address alone.
    follows: (op, result) => (registered(op) ? [] : readAddresses(op).slice(result, result + 1)),
  },
  "rtl.rom": {
    state: false,
    clocked: registered,
    follows: (op) => (registered(op) ? [] : op.operands),
  },
  "rtl.instance": {
    state: false,
    clocked: () => false,
    follows: (op, result, pathsOf) => {
      const mask = pathsOf(strAttr(op, "module"))?.[result] ?? 0n;
      return mask === 0n ? [] : op.operands.filter((_, i) => ((mask >> BigInt(i)) & 1n) === 1n);
    },
  },
};

/** Whether the results of `op` are registers: they change at a clock edge alone. */
export function isClocked(op: Op): boolean {
  return rtlEntry(TIMING, op).clocked(op);
}

/** Whether `op` has something that a clock edge changes: registers, words of a memory, a registered read. */
export function hasState(op: Op): boolean {
  const { state, clocked } = rtlEntry(TIMING, op);
  return state || clocked(op);
}

/** Operands that result number `result` of `op` follows in the same cycle. */
export function combinationalInputs(op: Op, result: number, pathsOf: PathsOf): readonly Value[] {
  return rtlEntry(TIMING, op).follows(op, result, pathsOf);
}
