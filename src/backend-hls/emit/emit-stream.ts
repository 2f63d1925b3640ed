/**
 * RTL of a FIFO or sliding window: ring memory, fetch control, tap registers, masks (see stream-plan.ts for the terms).
 *
 * Ports of every channel: `reserve` (the producer fires a step that will push), `push` and `push_data`, `take` (the
 * consumer fires) in; `space`, `valid` and `data` (the lanes of a step, lane 0 lowest) out. The data of a stream are
 * valid with `valid`.
 */
import { elementAt, firstOf, present } from "../../ir/present.js";
import type { Module, Op, Value } from "../../ir/core.js";
import { RtlModuleBuilder, u } from "../../ir/rtl/builder.js";
import { addressWidth } from "../../ir/rtl/semantics.js";
import type { BitsType } from "../../ir/types.js";
import { fetchGaps, type StreamPlan } from "../channel/stream-plan.js";
import type { Channel } from "../design/network.js";
import { largest, least, LoopCounters, moduloCounter, type ModuloCounter, tableLookup } from "./emit-counters.js";
import { balance, channelPorts, fallBetweenSteps } from "./emit-balance.js";

export function emitStream(module: Module, name: string, channel: Channel, plan: StreamPlan): Op {
  const m = new RtlModuleBuilder(module, name, channelPorts(channel), {
    loc: channel.loc,
  });
  const [reserve, push, pushData, take] = [m.input("reserve"), m.input("push"), m.input("push_data"), m.input("take")];
  const word = u(plan.order.planes * channel.elem.width);
  const loops = plan.table.loops;
  const outerCount = loops.length - plan.innerLoops;
  const steps = new LoopCounters(
    m,
    loops.map((l) => ({ name: l.name, trips: l.trips })),
    take,
    "at_",
  );

  // Fetch control. `gap` fetches are missing until the next window is complete. It leaves the taps when its last step
  // is taken, or, where windows are held, when it is copied; from then on the gap to the one after it counts.
  const finished = m.and(take, steps.lastFrom(outerCount), "group_done");
  const gapSteps = fetchGaps(plan);
  const maxGap = Math.max(firstOf(plan.ready) + 1, largest(gapSteps));
  const shiftLater = m.forward(u(1), "shift");
  const gapType = u(addressWidth(maxGap + 1));
  const gap = m.regDeclare(gapType, { reset: firstOf(plan.ready) + 1, hint: "gap" });
  const complete = m.regDeclare(u(1), { reset: 0, hint: "window_complete" });
  let valid = complete;
  let leaves = finished;
  let nextGap: Value;
  if (plan.held) {
    const holding = m.regDeclare(u(1), { reset: 0, hint: "holding" });
    leaves = m.and(complete, m.or(m.not(holding), finished), "copy");
    m.connect(holding, m.or(leaves, m.and(holding, m.not(finished))));
    valid = holding;
    const groups = new LoopCounters(
      m,
      loops.slice(0, outerCount).map((l) => ({ name: l.name, trips: l.trips })),
      leaves,
      "window_",
    );
    nextGap = groups.byCarry(gapSteps, "next_gap");
  } else {
    // Only the last step of a group moves on.
    const perStep = Float64Array.from({ length: plan.table.steps }, (_, i) =>
      i % plan.repeat === plan.repeat - 1 ? elementAt(gapSteps, Math.floor(i / plan.repeat)) : NaN,
    );
    nextGap = steps.byCarry(perStep, "next_gap");
  }
  // A fetch of the next sample that did as a flush is one that the next window need not wait for.
  const merged = plan.mergesFlush ? m.regDeclare(u(1), { reset: 0, hint: "merged" }) : undefined;
  const renewed = merged === undefined ? nextGap : m.sub(nextGap, merged, gapType);
  m.connect(gap, m.sub(m.mux(leaves, renewed, gap, gapType), shiftLater, gapType));
  // Whether the gap closes, compared before the signals that close it are there.
  const is = (v: Value, n: number): Value => m.eq(v, m.constant(n));
  m.connect(
    complete,
    m.mux(shiftLater, m.mux(leaves, is(renewed, 1), is(gap, 1)), m.mux(leaves, is(renewed, 0), is(gap, 0))),
  );
  const advance = m.or(m.not(complete), leaves, "advance");

  // Position of the next fetch: column within the visit, visit, then the flushes.
  const flat =
    plan.need.every((n, f) => n === f + 1) && plan.release.every((r, f) => r === f + 1) && plan.words === plan.fetches;
  const fetchLater = m.forward(u(1), "fetch");
  const fetches =
    plan.rows > 1 || !flat || plan.flushes > 0
      ? new LoopCounters(
          m,
          [
            { name: "visit", trips: plan.visits },
            { name: "column", trips: plan.pitch },
          ],
          fetchLater,
          "",
        )
      : undefined;
  const [visit, column] = [fetches?.counter(0), fetches?.counter(1)];
  const rowDone = column === undefined ? undefined : m.and(fetchLater, column.last);
  let flushing: Value = m.constant(0, u(1));
  if (plan.flushes > 0) {
    const flush = m.and(shiftLater, m.not(fetchLater));
    const flag = m.regDeclare(u(1), { reset: 0, hint: "flushing" });
    const counter = moduloCounter(m, plan.flushes, flush, "flushed");
    const sampleDone = m.and(present(rowDone, "row done"), present(visit, "visit").last);
    const flushed = merged === undefined ? m.and(flush, counter.last) : shiftLater;
    m.connect(flag, m.or(sampleDone, m.and(flag, m.not(flushed))));
    if (merged !== undefined) m.connect(merged, m.or(m.and(flag, fetchLater), m.and(merged, m.not(leaves))));
    flushing = flag;
  }
  const at = (values: ArrayLike<number>, hint: string): Value =>
    fetches?.byCarry(values, hint) ?? m.constant(firstOf(values));
  const needStep = Int32Array.from(
    { length: plan.fetches },
    (_, f) =>
      (f + 1 < plan.fetches ? elementAt(plan.need, f + 1) : firstOf(plan.need) + plan.words) - elementAt(plan.need, f),
  );
  const releaseStep = Int32Array.from(
    { length: plan.fetches },
    (_, f) =>
      (f + 1 === plan.fetches ? plan.words : elementAt(plan.release, f)) -
      (f === 0 ? 0 : elementAt(plan.release, f - 1)),
  );
  const lead = balance(
    m,
    { lo: -Math.max(largest(needStep), firstOf(plan.need)), hi: channel.capacity },
    -firstOf(plan.need),
    channel.deep ? m.reg(push, { reset: 0, hint: "pushed" }) : push,
    fallBetweenSteps(needStep, "need_step", at),
    fetchLater,
    "lead",
  );
  // A word on its way into an empty ring may go by it.
  const inRing = lead.present("available");
  const available = channel.through ? m.or(inRing, push) : inRing;
  const fetch = plan.mergesFlush
    ? m.and(advance, available, "fetch")
    : m.all([advance, available, m.not(flushing)], "fetch");
  const shift = m.and(advance, m.or(flushing, available), "shift");
  m.resolve(fetchLater, fetch);
  m.resolve(shiftLater, shift);
  // Rows that no window reads are released before they arrive, so the balance may go below zero.
  const ahead = Math.min(
    0,
    least(plan.need.map((n, f) => n - (f + 1 === plan.fetches ? plan.words : elementAt(plan.release, f)))),
  );
  const occupied = balance(
    m,
    { lo: ahead, hi: channel.capacity },
    0,
    reserve,
    fallBetweenSteps(releaseStep, "release_step", at),
    fetch,
    "occupied",
  );
  const space = occupied.below(channel.capacity, "space_left");

  // Ring memory: one bank, or one bank per row.
  const fetchedRows =
    plan.rows > 1
      ? rowRing(
          m,
          channel,
          plan,
          push,
          pushData,
          present(column, "column"),
          present(rowDone, "row done"),
          present(visit, "visit"),
        )
      : [wordRing(m, channel, word, push, pushData, fetch)];
  if (channel.through) fetchedRows[0] = m.mux(inRing, firstOf(fetchedRows), pushData, word);

  // Taps: row r, column c; column 0 is the newest.
  const depth = new Int32Array(plan.rows).fill(0);
  plan.tapRow.forEach((r, i) => r >= 0 && (depth[r] = Math.max(elementAt(depth, r), elementAt(plan.tapColumn, i) + 1)));
  const taps = fetchedRows.map((data, r) => {
    const row: Value[] = [];
    for (let c = 0; c < elementAt(depth, r); c++)
      row.push(m.reg(c === 0 ? data : elementAt(row, c - 1), { enable: shift, hint: `tap_${r}_${c}` }));
    return row;
  });
  const windows = plan.held
    ? taps.map((row, r) => row.map((t, c) => m.reg(t, { enable: leaves, hint: `window_${r}_${c}` })))
    : taps;

  const data = emitLanes(m, channel, plan, steps, windows);
  return m.finish({ space, valid, data });
}

/**
 * One memory of a ring. Block RAM gets the address a cycle ahead; a word is fetched only after it has been there for
 * one.
 */
function ringMemory(
  m: RtlModuleBuilder,
  channel: Channel,
  depth: number,
  word: BitsType,
  write: { waddr: Value; wdata: Value; wen: Value },
  read: ModuloCounter,
  hint: string,
): Value {
  const raddr = [channel.deep ? read.next() : read.value];
  return firstOf(
    m.memory({
      depth,
      word,
      ...write,
      raddr,
      readLatency: channel.deep ? 1 : 0,
      style: channel.deep ? "block" : "distributed",
      disjoint: channel.deep,
      hint,
    }),
  );
}

/** A ring of words: the word that the next fetch takes. */
function wordRing(
  m: RtlModuleBuilder,
  channel: Channel,
  word: BitsType,
  push: Value,
  pushData: Value,
  fetch: Value,
): Value {
  const { capacity } = channel;
  if (capacity === 1) return m.reg(pushData, { enable: push, hint: "word" });
  const write = moduloCounter(m, capacity, push, "write_at");
  const read = moduloCounter(m, capacity, fetch, "read_at");
  return ringMemory(m, channel, capacity, word, { waddr: write.value, wdata: pushData, wen: push }, read, "ring");
}

/** One bank per row, reused round robin: the words of the column that the next fetch takes, top row first. */
function rowRing(
  m: RtlModuleBuilder,
  channel: Channel,
  plan: StreamPlan,
  push: Value,
  pushData: Value,
  column: ModuloCounter,
  rowDone: Value,
  visit: { value: Value; last: Value },
): Value[] {
  const word = u(plan.order.planes * channel.elem.width);
  const banks = channel.capacity / plan.pitch;
  const writeColumn = moduloCounter(m, plan.pitch, push, "write_column");
  const writeBank = moduloCounter(m, banks, m.and(push, writeColumn.last), "write_bank");
  const read = Array.from({ length: banks }, (_, b) => {
    const wen = m.and(push, m.eq(writeBank.value, m.constant(b)));
    return ringMemory(
      m,
      channel,
      plan.pitch,
      word,
      { waddr: writeColumn.value, wdata: pushData, wen },
      column,
      `row_bank_${b}`,
    );
  });
  // Bank of the window's top row; rows count on through the samples.
  const mod = (n: number): number => ((n % banks) + banks) % banks;
  const gridRows = plan.words / plan.pitch;
  const inside = mod(plan.rowStep);
  const wrap = mod(gridRows - (plan.visits - 1) * plan.rowStep);
  const type = u(addressWidth(banks));
  const top = m.regDeclare(type, { reset: mod(plan.firstRow), hint: "top_bank" });
  const moved = (by: number): Value =>
    tableLookup(
      m,
      top,
      Array.from({ length: banks }, (_, b) => mod(b + by)),
      "next_bank",
    );
  m.connect(top, m.mux(visit.last, moved(wrap), moved(inside), type), rowDone);
  return Array.from({ length: plan.rows }, (_, r) =>
    m.select(
      top,
      Array.from({ length: banks }, (_, b) => elementAt(read, mod(b + r))),
      word,
      `column_${r}`,
    ),
  );
}

/** The lanes of the present step, packed: a tap, chosen by the inner loops, or the pad value. */
function emitLanes(
  m: RtlModuleBuilder,
  channel: Channel,
  plan: StreamPlan,
  steps: LoopCounters,
  taps: readonly (readonly Value[])[],
): Value {
  const { lanes, element } = plan.table;
  const elem: BitsType = { kind: "bits", signed: channel.elem.signed, width: channel.elem.width };
  const padValue = m.constant(channel.pad, elem);
  const inner = new Array<number>(plan.table.steps);
  const masks = new Map<string, Value>();
  const packed: Value[] = [];
  const outer = plan.table.steps / plan.repeat;
  for (let lane = 0; lane < lanes; lane++) {
    // Source of each inner step; a step that only ever pads may read anything.
    const sourceAt = (k: number): number => {
      const i = k * lanes + lane;
      return elementAt(plan.tapRow, i) < 0 || elementAt(plan.tapPlane, i) < 0
        ? -1
        : (elementAt(plan.tapRow, i) * 4096 + elementAt(plan.tapColumn, i)) * 65536 + elementAt(plan.tapPlane, i);
    };
    let fallback = -1;
    for (let k = 0; k < plan.repeat && fallback < 0; k++) fallback = sourceAt(k);
    if (fallback < 0) {
      packed.push(padValue);
      continue;
    }
    for (let i = 0; i < inner.length; i++) {
      const src = sourceAt(i % plan.repeat);
      inner[i] = src < 0 ? fallback : src;
    }
    const read = (src: number): Value => {
      const plane = src % 65536;
      const tap = Math.floor(src / 65536);
      return m.extract(
        elementAt(elementAt(taps, Math.floor(tap / 4096)), tap % 4096),
        plane * elem.width,
        elem.width,
        elem.signed,
      );
    };
    const deps = steps.dependencies(inner);
    const choices = steps.restrict(inner, deps).map(read);
    let value = choices.length === 1 ? firstOf(choices) : m.select(steps.index(deps).value, choices, elem);
    const inside = new Uint8Array(plan.table.steps);
    let padded = false;
    for (let i = 0; i < outer * plan.repeat; i++) {
      inside[i] = elementAt(element, i * lanes + lane) >= 0 ? 1 : 0;
      if (inside[i] === 0) padded = true;
    }
    if (padded) {
      const key = Buffer.from(inside).toString("latin1");
      let mask = masks.get(key);
      if (mask === undefined) masks.set(key, (mask = steps.condition(inside, "inside")));
      value = m.mux(mask, value, padValue, elem);
    }
    packed.push(value);
  }
  return m.concat(packed.reverse(), "lanes");
}
