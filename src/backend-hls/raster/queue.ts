/**
 * Queues in hardware, all of one kind: a memory with a registered read, so that block RAM and LUTs serve alike. A word
 * that is pushed in cycle t is at the head in cycle t + 2 at the earliest (`QUEUE_LATENCY`); nobody may push where there
 * is no room, and whoever pushes keeps count of that.
 */
import type { Value } from "../../ir/core.js";
import { type RtlModuleBuilder, u } from "../../ir/rtl/builder.js";
import { addressWidth, bitLengthOf } from "../../ir/rtl/semantics.js";
import { bitsOf } from "../../ir/rtl/index.js";
import type { Device } from "../device/devices.js";
import { ramStorage } from "../device/storage.js";

/** Cycles from a push to the word at the head of an empty queue. */
export const QUEUE_LATENCY = 2;

export interface Queue {
  /** Whether there is a word at the head. */
  readonly valid: Value;
  /** The word at the head. */
  readonly head: Value;
}

/** Counts up with `up` and down with `down`; both in a cycle leave it as it is. */
export function upDown(m: RtlModuleBuilder, limit: number, up: Value, down: Value, hint: string): Value {
  const type = u(bitLengthOf(BigInt(limit)) || 1);
  const count = m.regDeclare(type, { reset: 0, hint });
  const next = m.mux(up, m.add(count, m.constant(1), type), m.sub(count, m.constant(1), type), type);
  m.connect(count, next, m.xor(up, down));
  return count;
}

/** Goes round `size` words; `next` is where it stands in the next cycle. */
export function ring(
  m: RtlModuleBuilder,
  size: number,
  enable: Value,
  hint: string,
): { readonly at: Value; readonly next: Value } {
  const type = u(addressWidth(size));
  if (size === 1) return { at: m.constant(0, type), next: m.constant(0, type) };
  const at = m.regDeclare(type, { reset: 0, hint });
  const up = m.add(at, m.constant(1), type);
  const moved = size === 2 ** type.width ? up : m.mux(m.eq(at, m.constant(size - 1)), m.constant(0, type), up, type);
  m.connect(at, moved, enable);
  return { at, next: m.mux(enable, moved, at, type) };
}

/** A queue of `depth` words, a power of two. */
export function queue(
  m: RtlModuleBuilder,
  device: Device,
  depth: number,
  push: Value,
  word: Value,
  pop: Value,
  hint: string,
): Queue {
  const type = bitsOf(word.type);
  const write = ring(m, depth, push, `${hint}_write`);
  const read = ring(m, depth, pop, `${hint}_read`);
  const head = m.memory({
    depth,
    word: type,
    waddr: write.at,
    wdata: word,
    wen: push,
    raddr: [read.next],
    readLatency: 1,
    style: ramStorage(device, depth, type.width, true).style,
    // A word is counted a cycle after it was written, and then read again.
    disjoint: true,
    hint: `${hint}_head`,
  })[0]!;
  // Read at the end of the cycle in which a word is counted, it is there one later.
  const written = m.reg(push, { reset: 0, hint: `${hint}_written` });
  const count = upDown(m, depth, written, pop, `${hint}_count`);
  return { valid: m.ne(count, m.constant(0), `${hint}_valid`), head };
}
