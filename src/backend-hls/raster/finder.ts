/**
 * From a dense stream to tags: a predicate over windows, and for each pixel that it holds for, where the patch around
 * it ends. A tag leaves when the patch is complete, so that a frame that is cut short takes its unfinished patches with
 * it. What the predicate says is known rows before that: it waits in a memory, which is read with the beat's place,
 * while the beat's pixels are still being corrected.
 */
import type { Module, Op, Value } from "../../ir/core.js";
import { RtlModuleBuilder, u } from "../../ir/rtl/builder.js";
import { addressWidth } from "../../ir/rtl/semantics.js";
import { type Sensor, valueBits } from "../../sensor/sensor.js";
import { ramStorage } from "../device/storage.js";
import type { FrontEndPlan } from "./plan.js";
import { ring } from "./queue.js";
import type { Target } from "./scalar.js";
import { emitWindow } from "./window.js";

/** Low bits of the frame number that a tag carries. */
export const FRAME_TAG_BITS = 8;

/** Bits of what a tag says, the lowest first. */
export function tagFields(sensor: Sensor, plan: FrontEndPlan): Readonly<Record<string, number>> {
  return {
    mask: sensor.pixelsPerBeat,
    beat: addressWidth(plan.beats),
    row: addressWidth(sensor.rows),
    address: addressWidth(plan.store),
    stamp: plan.stampBits,
    frame: FRAME_TAG_BITS,
  };
}
/** Bits of what the end of a frame says, the lowest first. */
export const END_FIELDS: Readonly<Record<string, number>> = { frame: 24, flags: 8, found: 32 };

/** Values as one word, by the order of `fields`. */
export function packFields(
  m: RtlModuleBuilder,
  fields: Readonly<Record<string, number>>,
  values: Readonly<Record<string, Value>>,
): Value {
  return m.concat(
    Object.entries(fields)
      .map(([name, bits]) => m.cast(values[name]!, u(bits)))
      .reverse(),
  );
}
export function unpackFields(
  m: RtlModuleBuilder,
  fields: Readonly<Record<string, number>>,
  word: Value,
): Record<string, Value> {
  let lo = 0;
  return Object.fromEntries(
    Object.entries(fields).map(([name, bits]) => {
      lo += bits;
      return [name, m.extract(word, lo - bits, bits)];
    }),
  );
}

/**
 * Emits the finder behind a pixel port. Outputs: `tag_push` and `tag`, not more than one word of tags a cycle; `end_push`
 * and `end` where a frame has ended, behind all of its tags; `store_address` of the values, and `now`, the count of
 * beats that stamps are taken from. `tag_room` and `end_room` say whether there is room for a word.
 */
export function emitFinder(module: Module, name: string, sensor: Sensor, plan: FrontEndPlan, target: Target): Op {
  const { pixelsPerBeat: lanes, patch, columns } = sensor;
  const { beats, predicateTime, tagTime } = plan;
  const bits = valueBits(sensor);
  const rowType = u(addressWidth(sensor.rows));
  const beatType = u(addressWidth(beats));
  const m = new RtlModuleBuilder(module, name, [
    { name: "place_valid", type: u(1) },
    { name: "place_row", type: rowType },
    { name: "place_beat", type: beatType },
    { name: "place_complete", type: u(1) },
    { name: "place_cut", type: u(1) },
    { name: "valid", type: u(1) },
    { name: "values", type: u(lanes * bits) },
    { name: "complete", type: u(1) },
    { name: "cut", type: u(1) },
    { name: "flags", type: u(8) },
    { name: "tag_room", type: u(1) },
    { name: "end_room", type: u(1) },
  ]);
  const control = (v: Value, cycles: number): Value => m.delay(v, cycles, { reset: 0 });
  const placeValid = m.input("place_valid");

  const beatAtValues = m.delay(m.input("place_beat"), plan.storeTime);
  const { valid: said, results } = emitWindow(
    m,
    target.device,
    {
      valid: m.input("valid"),
      beat: beatAtValues,
      lanes: m.split(m.input("values"), u(bits), lanes),
      bits,
      beats,
    },
    { rows: plan.rule.window, columns: plan.rule.window },
    plan.predicate,
    "window",
  );
  let word = m.concat([...results].reverse(), "centres");
  if (plan.delay > 0) {
    // A ring of beats: what was said `delay` rows ago lies where it will be said of this beat.
    const depth = plan.delay * beats;
    const at = ring(m, depth, placeValid, "delay_at").at;
    word = m.memory({
      depth,
      word: u(lanes),
      waddr: m.delay(at, predicateTime),
      wdata: word,
      wen: said,
      raddr: [m.delay(at, tagTime - 1)],
      readLatency: 1,
      style: ramStorage(target.device, depth, lanes, true).style,
      disjoint: true,
      hint: "delayed",
    })[0]!;
  }
  // Columns to the right, in this beat or in those that follow.
  const valid = control(placeValid, tagTime);
  const history = [word];
  for (let k = 1; k <= Math.ceil(plan.delay / lanes); k++)
    history.push(m.reg(history[k - 1]!, { enable: valid, reset: 0, hint: `delayed_${k}` }));
  const centreOf = (lane: number): Value => {
    const from = lane - plan.delay;
    const back = from < 0 ? Math.ceil(-from / lanes) : 0;
    return m.bit(history[back]!, from + back * lanes);
  };
  const rowInside = m.delay(m.le(m.constant(patch - 1), m.input("place_row")), tagTime);
  const place = { row: m.delay(m.input("place_row"), tagTime), beat: m.delay(m.input("place_beat"), tagTime) };
  const mask = m.concat(
    Array.from({ length: lanes }, (_, lane) => {
      const first = Math.ceil(Math.max(0, patch - 1 - lane) / lanes);
      const last = Math.floor((columns - 1 - lane) / lanes);
      const inside = [
        ...(first > 0 ? [m.le(m.constant(first), place.beat)] : []),
        ...(last < beats - 1 ? [m.le(place.beat, m.constant(last))] : []),
      ];
      return m.all([valid, rowInside, centreOf(lane), ...inside]);
    }).reverse(),
    "ends_here",
  );
  const later = 1 + plan.hold;
  const masked = m.delay(mask, later, { reset: 0, hint: "mask" });
  const hit = m.ne(masked, m.constant(0), "hit");

  // Frames are counted with the places; what ends with a beat counts after it.
  const tagBits = u(FRAME_TAG_BITS);
  const lead = tagTime + later;
  const [completed, cutOff] = [control(m.input("place_complete"), lead), control(m.input("place_cut"), lead)];
  const frameTag = m.regDeclare(tagBits, { reset: 0, hint: "frame_tag" });
  const ended = m.or(completed, cutOff);
  m.connect(frameTag, m.add(frameTag, m.constant(1), tagBits), ended);
  const found = m.regDeclare(u(32), { reset: 0, hint: "found" });
  const count = m.reg(populationCount(m, m.split(m.delay(mask, later - 1, { reset: 0 }), u(1), lanes)), {
    hint: "hits",
  });
  const counted = m.mux(hit, m.add(found, count, u(32)), found, u(32));

  // Where the frame's end waits for room, nothing new may pass it, and further ends are joined to it.
  const waits = m.regDeclare(u(1), { reset: 0, hint: "end_waits" });
  m.connect(found, m.mux(ended, m.constant(0, u(32)), counted));
  const endTime = Math.max(lead, plan.storeTime) + 1;
  const ends = m.or(
    control(m.input("complete"), endTime - plan.storeTime),
    control(m.input("cut"), endTime - plan.storeTime),
    "frame_ends",
  );
  const flags = m.delay(m.input("flags"), endTime - plan.storeTime);
  const foundThere = m.delay(counted, endTime - lead);
  const frame = m.regDeclare(u(24), { reset: 0, hint: "frame" });
  m.connect(frame, m.add(frame, m.constant(1), u(24)), ends);
  const lost = { frame: u(24), flags: u(8), found: u(32) };
  const kept = {
    frame: m.regDeclare(lost.frame, { hint: "kept_frame" }),
    flags: m.regDeclare(lost.flags, { reset: 0, hint: "kept_flags" }),
    found: m.regDeclare(lost.found, { reset: 0, hint: "kept_found" }),
  };
  const none8 = m.constant(0, u(8));
  const merged = m.constant(64, u(8));
  const joined = {
    frame: m.mux(ends, frame, kept.frame),
    found: m.add(
      m.mux(waits, kept.found, m.constant(0, u(32))),
      m.mux(ends, foundThere, m.constant(0, u(32))),
      u(32),
      "joined_found",
    ),
    flags: m.or(
      m.or(m.mux(waits, kept.flags, none8), m.mux(ends, flags, none8)),
      m.mux(m.and(waits, ends), merged, none8),
      "joined_flags",
    ),
  };
  const pending = m.or(waits, ends);
  const pushEnd = m.and(pending, m.input("end_room"), "end_push");
  m.connect(waits, m.and(pending, m.not(m.input("end_room"))));
  m.connect(kept.frame, joined.frame);
  m.connect(kept.flags, joined.flags);
  m.connect(kept.found, joined.found);

  const address = ring(m, plan.store, placeValid, "store_at").at;
  const stampType = u(plan.stampBits);
  const now = m.regDeclare(stampType, { reset: 0, hint: "now" });
  m.connect(now, m.add(now, m.constant(1), stampType), placeValid);
  return m.finish({
    tag_push: m.all([hit, m.input("tag_room"), m.not(waits)], "tag_push"),
    tag: packFields(m, tagFields(sensor, plan), {
      mask: masked,
      beat: m.delay(place.beat, later),
      row: m.delay(place.row, later),
      address: m.delay(address, lead),
      stamp: m.delay(now, lead),
      frame: frameTag,
    }),
    end_push: pushEnd,
    end: packFields(m, END_FIELDS, joined),
    store_address: m.delay(address, plan.storeTime),
    now,
  });
}

/** How many of some bits are 1. */
function populationCount(m: RtlModuleBuilder, bits: readonly Value[]): Value {
  let level = [...bits];
  while (level.length > 1)
    level = Array.from({ length: Math.ceil(level.length / 2) }, (_, i) =>
      2 * i + 1 < level.length ? m.add(level[2 * i]!, level[2 * i + 1]!) : level[2 * i]!,
    );
  return level[0]!;
}
