/**
 * From tags to patches. The corrected pixels of the last rows lie in a store of two banks, so that two beats that follow
 * each other are read at once. A fetch reads the patch row by row, a row in one or two cycles where beats are wide, and
 * puts it down in the memory of patches, whose rows are words.
 *
 * Pixels cannot be written over before they are read: a fetch begins only while the end of its patch is not more than
 * `oldest` beats back, and that leaves it the beats of its own duration (plan.ts). A tag that has waited longer is
 * dropped; that is the only place where peaks are, besides a full queue of tags. Both count, because a frame's end says
 * how many were found, and what was sent is counted here.
 */
import type { Module, Op, Value } from "../../ir/core.js";
import { RtlModuleBuilder, u } from "../../ir/rtl/builder.js";
import { addressWidth, bitLengthOf } from "../../ir/rtl/semantics.js";
import { ufixed } from "../../ir/types.js";
import { type Sensor, valueBits } from "../../sensor/sensor.js";
import { ramStorage } from "../device/storage.js";
import { END_FIELDS, FRAME_TAG_BITS, packFields, tagFields, unpackFields } from "./finder.js";
import type { FrontEndPlan } from "./plan.js";
import { queue, ring, upDown } from "./queue.js";
import { ScalarEmitter, type ScalarFunction, scalarFunction, type Target } from "./scalar.js";

/** What goes along with a patch: where its last pixel is. The lowest first. */
export const PLACE_FIELDS: Readonly<Record<string, number>> = { end: 1, frame: 24, row: 13, column: 13 };
/** What goes there instead where a frame has ended. */
export const FRAME_END_FIELDS: Readonly<Record<string, number>> = { end: 1, frame: 24, flags: 8, found: 32, sent: 32 };

/** Bits of a word of these fields. */
export function bitsOfFields(fields: Readonly<Record<string, number>>): number {
  return Object.values(fields).reduce((n, b) => n + b, 0);
}

/** Facts of a patch, the lowest first. */
export function factFields(sensor: Sensor): Readonly<Record<string, number>> {
  const bits = valueBits(sensor);
  return { least: bits, most: bits, sum: 24, pixels: 8 };
}

/** Cycles from the read of the last pair of a row to the row in a register. */
export const ROW_TIME = 3;

interface RowFacts {
  readonly least: ScalarFunction;
  readonly most: ScalarFunction;
  readonly sum: ScalarFunction;
  readonly pixels: ScalarFunction;
  /** Cycles of the slowest. */
  readonly latency: number;
}

/** Facts of a row of a patch. */
export function rowFacts(sensor: Sensor, target: Target): RowFacts {
  const bits = valueBits(sensor);
  const types = new Array(sensor.patch).fill(ufixed(bits, 0));
  const tree = (values: readonly Value[], join: (a: Value, b: Value) => Value): Value => {
    let level = [...values];
    while (level.length > 1)
      level = Array.from({ length: Math.ceil(level.length / 2) }, (_, i) =>
        2 * i + 1 < level.length ? join(level[2 * i]!, level[2 * i + 1]!) : level[2 * i]!,
      );
    return level[0]!;
  };
  const least = scalarFunction(target, types, (b, px) => tree(px, (x, y) => b.min(x, y)));
  const most = scalarFunction(target, types, (b, px) => tree(px, (x, y) => b.max(x, y)));
  const sum = scalarFunction(target, types, (b, px) => tree(px, (x, y) => b.add(x, y)));
  const one = ufixed(1, 0);
  const pixels = scalarFunction(target, types, (b, px) =>
    tree(
      px.map((v) => b.min(v, b.constant(1, one))).map((v) => b.cast(v, one)),
      (x, y) => b.add(x, y),
    ),
  );
  return { least, most, sum, pixels, latency: Math.max(least.latency, most.latency, sum.latency, pixels.latency) };
}

/**
 * Emits the fetch. Outputs: `tag_room`, `end_room`; the heads of the queues `along` and `facts` with their `valid`, and
 * `patch_row`, the next row of the patch whose facts are at the head. Inputs `along_pop`, `facts_pop`, `row_pop` move
 * them on, `patch_done` gives the patch's place back.
 */
export function emitFetch(module: Module, name: string, sensor: Sensor, plan: FrontEndPlan, target: Target): Op {
  const { pixelsPerBeat: lanes, patch, queue: depth } = sensor;
  const { device } = target;
  const bits = valueBits(sensor);
  const word = lanes * bits;
  const fields = tagFields(sensor, plan);
  const storeType = u(addressWidth(plan.store));
  const stampType = u(plan.stampBits);
  const m = new RtlModuleBuilder(module, name, [
    { name: "tag_push", type: u(1) },
    { name: "tag", type: u(bitsOfFields(fields)) },
    { name: "end_push", type: u(1) },
    { name: "end", type: u(bitsOfFields(END_FIELDS)) },
    { name: "now", type: stampType },
    { name: "store", type: u(1) },
    { name: "store_address", type: storeType },
    { name: "values", type: u(word) },
    { name: "along_pop", type: u(1) },
    { name: "facts_pop", type: u(1) },
    { name: "row_pop", type: u(1) },
    { name: "patch_done", type: u(1) },
  ]);
  const [zero, one] = [m.constant(0, u(1)), m.constant(1, u(1))];
  const known = (n: number, bitsOfIt: number): Value => m.constant(n, u(bitsOfIt));

  // Tags, and the one that is next: its lanes one by one, from the left.
  const popTagsLater = m.forward(u(1), "pop_tags");
  const tagQueue = queue(m, device, plan.tags, m.input("tag_push"), m.input("tag"), popTagsLater, "tags");
  const tagCount = upDown(m, plan.tags, m.input("tag_push"), popTagsLater, "tag_count");
  const tag = unpackFields(m, fields, tagQueue.head);
  const taken = m.regDeclare(u(lanes), { reset: 0, hint: "taken_lanes" });
  const left = m.and(tag["mask"]!, m.not(taken), "lanes_left");
  // Its lowest one: a carry runs up to it.
  const chosen = m.and(left, m.neg(left, u(lanes)), "lane_chosen");
  const isLast = m.eq(left, chosen, "last_lane");
  const laneType = u(addressWidth(lanes));
  const laneOf = m
    .split(chosen, u(1), lanes)
    .reduce<Value>(
      (n, b, lane) => m.or(n, m.mux(b, m.constant(lane, laneType), m.constant(0, laneType), laneType)),
      m.constant(0, laneType),
    );
  const nextValid = m.regDeclare(u(1), { reset: 0, hint: "next_valid" });
  const consumedLater = m.forward(u(1), "next_consumed");
  const load = m.and(tagQueue.valid, m.or(m.not(nextValid), consumedLater), "next_load");
  m.connect(nextValid, m.or(load, m.and(nextValid, m.not(consumedLater))));
  m.connect(taken, m.mux(isLast, m.constant(0, u(lanes)), m.or(taken, chosen)), load);
  m.resolve(popTagsLater, m.and(load, isLast));
  const keep = (v: Value, hint: string): Value => m.reg(v, { enable: load, hint });
  const next = {
    lane: keep(laneOf, "next_lane"),
    row: keep(tag["row"]!, "next_row"),
    beat: keep(tag["beat"]!, "next_beat"),
    address: keep(tag["address"]!, "next_address"),
    stamp: keep(tag["stamp"]!, "next_stamp"),
    frame: keep(tag["frame"]!, "next_frame"),
  };

  // Ends of frames wait beside the tags.
  const popEndLater = m.forward(u(1), "pop_end");
  const endQueue = queue(m, device, plan.ends, m.input("end_push"), m.input("end"), popEndLater, "ends");
  const endCount = upDown(m, plan.ends, m.input("end_push"), popEndLater, "end_count");
  const end = unpackFields(m, END_FIELDS, endQueue.head);

  // What to do with them.
  const frame = m.regDeclare(u(24), { reset: 0, hint: "frame" });
  const same = m.eq(next.frame, m.extract(frame, 0, FRAME_TAG_BITS), "same_frame");
  const age = m.sub(m.input("now"), next.stamp, stampType, "age");
  const fresh = m.le(age, known(plan.oldest, plan.stampBits), "fresh");
  const busy = m.regDeclare(u(1), { reset: 0, hint: "busy" });
  const lastReadLater = m.forward(u(1), "last_read");
  const startLater = m.forward(u(1), "start");
  const patches = upDown(m, depth, startLater, m.input("patch_done"), "patches");
  const pushAlongLater = m.forward(u(1), "push_along");
  const alongs = upDown(m, plan.along, pushAlongLater, m.input("along_pop"), "along_count");
  const alongRoom = m.lt(alongs, known(plan.along, bitLengthOf(BigInt(plan.along))), "along_room");
  const room = m.and(alongRoom, m.lt(patches, known(depth, bitLengthOf(BigInt(depth)))), "room");
  const start = m.all([nextValid, same, fresh, room, m.or(m.not(busy), lastReadLater)], "start");
  m.resolve(startLater, start);
  const drop = m.and(nextValid, m.not(fresh), "drop");
  m.resolve(consumedLater, m.or(start, drop));
  const empty = m.and(m.not(nextValid), m.not(tagQueue.valid));
  const ends = m.all([endQueue.valid, m.or(empty, m.and(nextValid, m.not(same))), alongRoom], "frame_ends");
  m.resolve(popEndLater, ends);
  const pushAlong = m.or(start, ends, "push_along");
  m.resolve(pushAlongLater, pushAlong);
  m.connect(frame, m.add(end["frame"]!, one, u(24)), ends);
  const sent = m.regDeclare(u(32), { reset: 0, hint: "sent" });
  m.connect(sent, m.mux(ends, m.constant(0, u(32)), m.add(sent, one, u(32))), m.or(start, ends));
  const column = lanes === 1 ? next.beat : m.concat([next.beat, next.lane]);
  const along = m.mux(
    ends,
    packFields(m, FRAME_END_FIELDS, {
      end: one,
      frame: end["frame"]!,
      flags: end["flags"]!,
      found: end["found"]!,
      sent,
    }),
    m.cast(packFields(m, PLACE_FIELDS, { end: zero, frame, row: next.row, column }), u(bitsOfFields(FRAME_END_FIELDS))),
  );
  const alongQueue = queue(m, device, plan.along, pushAlong, along, m.input("along_pop"), "along");

  // The reads: `at` is the address of the right one of a pair of beats.
  const most = Math.max(...plan.pairs);
  const backFrom = (n: number): number => (patch - 1) * plan.beats + 2 * (n - 1);
  const wrapped = (v: Value, by: number, hint?: string): Value => {
    const step = ((by % plan.store) + plan.store) % plan.store;
    const wide = u(storeType.width + 1);
    const sum = m.add(v, m.constant(step), wide);
    const over = m.sub(sum, m.constant(plan.store), wide);
    return m.cast(m.mux(m.lt(sum, m.constant(plan.store)), sum, over, wide), storeType, hint);
  };
  const pairsOf = (lane: Value, values: (n: number) => number, type = u(addressWidth(most * 2))): Value =>
    m.select(
      lane,
      plan.pairs.map((n) => m.constant(values(n), type)),
      type,
    );
  const pairType = u(addressWidth(most));
  const lane = m.reg(next.lane, { enable: start, hint: "lane" });
  const shortest = Math.min(...plan.pairs);
  const from =
    shortest === most
      ? wrapped(next.address, -backFrom(most))
      : m.select(
          next.lane,
          plan.pairs.map((n) => wrapped(next.address, -backFrom(n))),
          storeType,
        );
  const at = m.regDeclare(storeType, { hint: "at" });
  const rowLeft = m.regDeclare(u(addressWidth(patch)), { hint: "rows_left" });
  const pairLeft = m.regDeclare(pairType, { hint: "pairs_left" });
  const rowEnds = m.eq(pairLeft, m.constant(0), "row_ends");
  const lastRead = m.all([busy, rowEnds, m.eq(rowLeft, m.constant(0))], "last_read");
  m.resolve(lastReadLater, lastRead);
  m.connect(busy, m.or(start, m.and(busy, m.not(lastRead))));
  const pairsHere = pairsOf(lane, (n) => n - 1, pairType);
  const nextRow =
    shortest === most
      ? wrapped(at, plan.beats - 2 * (most - 1))
      : m.select(
          lane,
          plan.pairs.map((n) => wrapped(at, plan.beats - 2 * (n - 1))),
          storeType,
        );
  const onward = most === 1 ? nextRow : m.mux(rowEnds, nextRow, wrapped(at, 2), storeType);
  m.connect(at, m.mux(start, from, onward, storeType));
  m.connect(
    rowLeft,
    m.mux(start, m.constant(patch - 1), m.mux(rowEnds, m.sub(rowLeft, one), rowLeft, u(addressWidth(patch)))),
  );
  m.connect(
    pairLeft,
    m.mux(
      start,
      pairsOf(next.lane, (n) => n - 1, pairType),
      m.mux(rowEnds, pairsHere, m.sub(pairLeft, one), pairType),
    ),
  );

  // Two banks by the lowest bit of the address.
  const half = plan.store / 2;
  const bankType = u(addressWidth(half));
  const odd = m.bit(at, 0, "odd");
  const upper = (v: Value): Value => m.cast(m.shr(v, 1), bankType);
  const evenAt = upper(at);
  const oddAt = m.mux(
    odd,
    evenAt,
    m.mux(m.eq(evenAt, m.constant(0)), m.constant(half - 1, bankType), m.sub(evenAt, one, bankType), bankType),
    bankType,
    "odd_at",
  );
  const banks = [evenAt, oddAt].map(
    (raddr, k) =>
      m.memory({
        depth: half,
        word: u(word),
        waddr: upper(m.input("store_address")),
        wdata: m.input("values"),
        wen: m.all([
          m.input("store"),
          k === 1 ? m.bit(m.input("store_address"), 0) : m.not(m.bit(m.input("store_address"), 0)),
        ]),
        raddr: [raddr],
        readLatency: 1,
        style: ramStorage(device, half, word, true).style,
        // Read while it is not written over: see above.
        disjoint: true,
        hint: k === 0 ? "even" : "odd_bank",
      })[0]!,
  );
  const wasOdd = m.reg(odd, { hint: "was_odd" });
  const right = m.mux(wasOdd, banks[1]!, banks[0]!, u(word));
  const leftWord = m.mux(wasOdd, banks[0]!, banks[1]!, u(word));
  const pairs: Value[] = [];
  for (let k = 0; k < most; k++)
    pairs.push(m.reg(k === 0 ? m.concat([right, leftWord]) : pairs[k - 1]!, { hint: `pair_${k}` }));
  // Oldest pixel first.
  const pixels = [...pairs].reverse().flatMap((p) => m.split(p, u(bits), 2 * lanes));
  const laneAt = m.delay(lane, 2);
  const rowPixels = Array.from({ length: patch }, (_, column) =>
    m.reg(
      m.select(
        laneAt,
        Array.from({ length: lanes }, (_, l) => {
          const i = pixels.length - lanes + l - (patch - 1 - column);
          // A lane that takes fewer pairs reads its own only.
          return pixels[i] ?? m.constant(0, u(bits));
        }),
        u(bits),
      ),
      { hint: `row_${column}` },
    ),
  );
  const rowDone = m.delay(m.and(busy, rowEnds), ROW_TIME, { reset: 0, hint: "row_done" });
  const patchDone = m.delay(lastRead, ROW_TIME, { reset: 0, hint: "patch_fetched" });

  // Rows of patches, in the order in which they are taken.
  const places = depth * patch;
  const writeAt = ring(m, places, rowDone, "row_write");
  const readAt = ring(m, places, m.input("row_pop"), "row_read");
  const patchRow = m.memory({
    depth: places,
    word: u(patch * bits),
    waddr: writeAt.at,
    wdata: m.concat([...rowPixels].reverse()),
    wen: rowDone,
    raddr: [readAt.next],
    readLatency: 1,
    style: ramStorage(device, places, patch * bits, true).style,
    // A row is read when the facts of its patch are there.
    disjoint: true,
    hint: "patch_row",
  })[0]!;

  // Facts gather row by row.
  const functions = rowFacts(sensor, target);
  const scalar = new ScalarEmitter(m);
  const fact = (f: ScalarFunction, hint: string): Value =>
    m.delay(scalar.emit(f, rowPixels, hint), functions.latency - f.latency);
  const rowThere = m.delay(rowDone, functions.latency, { reset: 0 });
  const patchThere = m.delay(patchDone, functions.latency, { reset: 0 });
  const fresher = m.regDeclare(u(1), { reset: 1, hint: "first_row" });
  m.connect(fresher, patchThere, rowThere);
  const gather = (
    f: ScalarFunction,
    hint: string,
    type: ReturnType<typeof u>,
    join: (a: Value, b: Value) => Value,
  ): Value => {
    const value = m.cast(fact(f, hint), type);
    const kept = m.regDeclare(type, { hint: `${hint}_all` });
    m.connect(kept, m.mux(fresher, value, join(kept, value), type), rowThere);
    return kept;
  };
  const saturating =
    (limit: number) =>
    (a: Value, b: Value): Value => {
      const sum = m.add(a, b);
      return m.min(sum, m.constant(limit));
    };
  const least = gather(functions.least, "least", u(bits), (a, b) => m.min(a, b));
  const mostAll = gather(functions.most, "most", u(bits), (a, b) => m.max(a, b));
  const sum = gather(functions.sum, "sum", u(24), saturating(2 ** 24 - 1));
  const count = gather(functions.pixels, "pixels", u(8), saturating(255));
  const pushFacts = m.reg(patchThere, { reset: 0, hint: "facts_push" });
  const factQueue = queue(
    m,
    device,
    plan.along,
    pushFacts,
    packFields(m, factFields(sensor), { least, most: mostAll, sum, pixels: count }),
    m.input("facts_pop"),
    "facts",
  );
  return m.finish({
    tag_room: m.lt(tagCount, known(plan.tags, bitLengthOf(BigInt(plan.tags)))),
    end_room: m.lt(endCount, known(plan.ends, bitLengthOf(BigInt(plan.ends)))),
    along_valid: alongQueue.valid,
    along: alongQueue.head,
    facts_valid: factQueue.valid,
    facts: factQueue.head,
    patch_row: patchRow,
  });
}
