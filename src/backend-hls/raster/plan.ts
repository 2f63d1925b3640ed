/**
 * What a front end is made of, in numbers: when things happen in it, counted in cycles from the beat's place (the cycle
 * behind the beat), and how large its memories are. Hardware and cycle model go by the same plan.
 */
import { UserError } from "../../diagnostics/index.js";
import type { Planes } from "../../sensor/correct.js";
import { beatsPerRow, type LocalMaximum, patchOffset, type Sensor, valueBits } from "../../sensor/sensor.js";
import { planPixelPort, type PixelPortPlan } from "./pixel-port.js";
import { localMaximum } from "./predicates.js";
import { QUEUE_LATENCY } from "./queue.js";
import type { ScalarFunction, Target } from "./scalar.js";
import { FEWEST_BEATS, WINDOW_LATENCY } from "./window.js";

export interface FrontEndPlan {
  readonly port: PixelPortPlan;
  readonly beats: number;
  readonly rule: LocalMaximum;
  readonly predicate: ScalarFunction;
  /** Rows and columns by which a centre lies before the end of its patch, less what the window looks ahead. */
  readonly delay: number;
  /** Cycles from a beat's place to its pixels in store, and to what the predicate says of it. */
  readonly storeTime: number;
  readonly predicateTime: number;
  /** Whether what the predicate says waits in a memory that is read with the place, before the pixels are there. */
  readonly early: boolean;
  /** Cycles from a beat's place to the tags of the patches that end in it, and from there to their queue. */
  readonly tagTime: number;
  readonly hold: number;
  /** Beats that the store holds: an even number. */
  readonly store: number;
  /** Beats that may have come since the end of a patch when its pixels begin to be fetched. */
  readonly oldest: number;
  /** Bits of the counter of beats by which the age of a tag is known. */
  readonly stampBits: number;
  /** Words of the queues of tags, of ends of frames, and of what goes along with patches. */
  readonly tags: number;
  readonly ends: number;
  readonly along: number;
  /** By lane of a patch's last column: pairs of words that a row of the patch takes. */
  readonly pairs: readonly number[];
}

/** Beats that a fetch may start late for what its address takes, and its tag. */
const MARGIN = 16;
/** Lanes whose hits are counted in the cycle in which they are there. */
const MOST_LANES = 8;
/** Frames whose end may wait behind the peaks. */
const ENDS = 16;

/** @errors SE030 where the hardware has no form for the description */
export function planFrontEnd(sensor: Sensor, planes: Planes, target: Target): FrontEndPlan {
  const refuse = (key: string, why: string, instead: string): never => {
    throw UserError.of("SE030", { key, why, instead });
  };
  const { find, patch, pixelsPerBeat: lanes, queue } = sensor;
  if (find.rule !== "local-maximum")
    return refuse("find", "the rule component has no hardware", "write find: local-maximum");
  if (find.edges !== "drop") return refuse("edges", "padded patches have no hardware", "write edges: drop");
  if (sensor.dispersion !== undefined)
    return refuse("dispersion", "the dispersion test has no hardware", "leave dispersion out");
  const before = -patchOffset(sensor);
  const behind = patch - 1 - before;
  const half = find.window >> 1;
  if (behind < half)
    return refuse(
      "window",
      `a window of ${find.window} pixels reaches beyond a patch of ${patch}`,
      "write a larger patch",
    );
  const beats = beatsPerRow(sensor);
  if (beats < FEWEST_BEATS || sensor.rows < 2)
    return refuse("pixels_per_beat", `a row of ${beats} beats is too short`, "write fewer pixels_per_beat");
  const port = planPixelPort(sensor, planes, target);
  const predicate = localMaximum(target, find, valueBits(sensor));
  const storeTime = port.values - port.place;
  const predicateTime = storeTime + WINDOW_LATENCY + predicate.latency;
  // The end of a frame is known, with its flags, before the next one has a patch.
  if ((patch - 1) * beats <= predicateTime + 8)
    return refuse("rows", `rows of ${beats} beats are too short for the pipeline`, "write fewer pixels_per_beat");
  const delay = behind - half;
  const early = delay > 0 && delay * beats > predicateTime + 2;
  const tagTime = early ? 1 : predicateTime;
  const pairs = Array.from({ length: lanes }, (_, lane) => {
    const back = Math.max(0, Math.ceil((patch - 1 - lane) / lanes));
    return Math.ceil((back + 1) / 2);
  });
  // The last row is read when its pixels have been stored: see `fetch.ts` for the cycles.
  const firstRead = tagTime + 1 + QUEUE_LATENCY + 2;
  // Many lanes are counted in a cycle of their own.
  const hold = Math.max(lanes > MOST_LANES ? 1 : 0, storeTime + 1 - (firstRead + (patch - 1) * Math.min(...pairs)));
  const fetch = patch * Math.max(...pairs);
  // A whole queue of peaks can be fetched before the first of their pixels are written over.
  const reach = (patch - 1) * beats + 2 * Math.max(...pairs);
  const need = reach + (queue + 1) * fetch + MARGIN;
  const step = need > 1024 ? 1024 : 16;
  const store = Math.ceil(need / step) * step;
  const tags = 2 ** Math.ceil(Math.log2(Math.max(64, queue)));
  const oldest = store - reach - fetch - MARGIN;
  // A tag is looked at when all before it have gone, each in a cycle, and a fetch that has begun.
  const eldest = oldest + fetch + tags * Math.ceil(lanes / 2) + MARGIN;
  return {
    port,
    beats,
    rule: find,
    predicate,
    delay,
    storeTime,
    predicateTime,
    early,
    tagTime,
    hold,
    store,
    oldest,
    stampBits: Math.ceil(Math.log2(eldest + 1)) + 1,
    tags,
    ends: ENDS,
    along: 2 ** Math.ceil(Math.log2(queue + 8)),
    pairs,
  };
}
