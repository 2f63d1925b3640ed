/**
 * The front end in time: given when beats come and which patches end in them, the cycle of every record, and which peaks
 * are dropped. The same registers as the hardware, without the data; the network's part is its timeline. What holds for
 * the timeline holds here: the generated Verilog shows the same cycles.
 */
import { beatsPerFrame, type Sensor } from "../../sensor/sensor.js";
import type { Design } from "../design/design.js";
import { Timeline } from "../design/timeline.js";
import type { DetectorPlan } from "./detector.js";
import { ROW_TIME, rowFacts } from "./fetch.js";
import { QUEUE_LATENCY } from "./queue.js";
import type { Target } from "./scalar.js";

/** Where the patch of a peak ends, and which peak it is. */
export interface PatchEnd {
  /** Of its last pixel, in pixels of the frame. */
  readonly row: number;
  readonly column: number;
}

/** What comes out, in order. */
export type TimedRecord =
  | { readonly kind: "peak"; readonly cycle: number; readonly frame: number; readonly peak: number }
  | {
      readonly kind: "frame";
      readonly cycle: number;
      readonly frame: number;
      readonly found: number;
      readonly sent: number;
      readonly dropped: number;
    };

export interface Traffic {
  /** Of each frame, patches in the order of the frame's raster. */
  readonly frames: readonly (readonly PatchEnd[])[];
  /** Cycle of each beat, ascending; beat n in cycle n where absent. */
  readonly beatCycles?: ArrayLike<number>;
  /** Whether a record is taken in a cycle; always where absent. */
  readonly accepts?: (cycle: number) => boolean;
}

interface Tag {
  readonly frame: number;
  readonly stamp: number;
  readonly pairs: number;
  readonly peak: number;
}

/** A queue of the hardware: what is pushed in a cycle is at the head `QUEUE_LATENCY` later. */
class Words<T> {
  private readonly words: { readonly word: T; readonly from: number }[] = [];
  private first = 0;
  /** Pushed and not yet popped. */
  count = 0;

  push(word: T, cycle: number): void {
    this.words.push({ word, from: cycle + QUEUE_LATENCY });
    this.count++;
  }
  /** What is at the head in `cycle`. */
  head(cycle: number): T | undefined {
    const w = this.words[this.first];
    return w !== undefined && w.from <= cycle ? w.word : undefined;
  }
  pop(): void {
    this.count--;
    this.first++;
    if (this.first < 4096) return;
    this.words.splice(0, this.first);
    this.first = 0;
  }
}

type Along = { readonly end: false; readonly tag: Tag } | { readonly end: true; readonly record: FrameCounts };
interface FrameCounts {
  readonly frame: number;
  readonly found: number;
  readonly sent: number;
}

/** Cycles without a movement after which a network that holds nothing changes no more. */
const SETTLED = 4096;

/** @param design of the network */
export function predictRecords(
  sensor: Sensor,
  plan: DetectorPlan,
  design: Design,
  target: Target,
  traffic: Traffic,
): TimedRecord[] {
  const { front, feed, records } = plan;
  const lanes = sensor.pixelsPerBeat;
  const perFrame = beatsPerFrame(sensor);
  const beatCycle = (n: number): number => traffic.beatCycles?.[n] ?? n;
  const total = traffic.frames.length * perFrame;
  const accepts = traffic.accepts ?? (() => true);
  const factsTime = ROW_TIME + rowFacts(sensor, target).latency + 1;
  const patchBeats = (sensor.patch * sensor.patch) / feed.lanes;
  const answerBeats = design.outputs[0]!.inputs[0]!.plan.table.steps;
  const lead = front.tagTime + 1 + front.hold;
  // What arrives: the peaks of a beat together, and ends of frames.
  const pushes: { readonly cycle: number; readonly tags: Tag[] }[] = [];
  const frameEnds: { readonly cycle: number; readonly frame: number; readonly found: number }[] = [];
  traffic.frames.forEach((ends, frame) => {
    let last = -1;
    ends.forEach(({ row, column }, peak) => {
      const beat = frame * perFrame + row * front.beats + Math.floor(column / lanes);
      const tag = { frame, stamp: beat, pairs: front.pairs[column % lanes]!, peak };
      if (beat === last) pushes[pushes.length - 1]!.tags.push(tag);
      else pushes.push({ cycle: beatCycle(beat) + 1 + lead, tags: [tag] });
      last = beat;
    });
    const end = beatCycle((frame + 1) * perFrame - 1) + 1 + Math.max(lead, front.storeTime) + 1;
    frameEnds.push({ cycle: end, frame, found: ends.length });
  });

  const tags = new Words<Tag[]>();
  const ends = new Words<FrameCounts>();
  const along = new Words<Along>();
  const facts = new Words<true>();
  const beats = new Words<true>();
  const answers = new Words<Along>();
  const out = new Words<Along>();
  const network = new Timeline(design, { unbounded: false });
  const result: TimedRecord[] = [];
  let [nextPush, nextEnd] = [0, 0];
  let waiting: FrameCounts | undefined;
  let next: Tag | undefined;
  let lane = 0;
  let reads = 0;
  let patches = 0;
  let frame = 0;
  let sent = 0;
  let beatsLeft = 0;
  let [onTheWay, recordsOnTheWay] = [0, 0];
  let answerBeat = 0;
  let full = false;
  let inNetwork = 0;
  let quiet = 0;
  let now = 0;
  for (let t = 0; nextEnd < frameEnds.length || waiting !== undefined || busy(); t++) {
    // Nothing goes on: up to the next thing that comes.
    if (quiet > SETTLED && !busy() && waiting === undefined) {
      const until = Math.min(
        nextPush < pushes.length ? pushes[nextPush]!.cycle : Infinity,
        nextEnd < frameEnds.length ? frameEnds[nextEnd]!.cycle : Infinity,
      );
      if (until > t) t = network.cycle = until;
    }
    while (now < total && beatCycle(now) <= t - 2) now++;

    // What every part does in this cycle, by what its registers hold.
    const fresh = next !== undefined && now - next.stamp <= front.oldest;
    const same = next !== undefined && next.frame === frame;
    const lastRead = reads === 1;
    const alongRoom = along.count < front.along;
    const start = same && fresh && alongRoom && patches < sensor.queue && (reads === 0 || lastRead);
    const consumed = start || (next !== undefined && !fresh);
    const tagHead = tags.head(t);
    const load = tagHead !== undefined && (next === undefined || consumed);
    const endHead = ends.head(t);
    const ended = endHead !== undefined && (next === undefined ? tagHead === undefined : !same) && alongRoom;
    const tagRoom = tags.count < front.tags;
    const endRoom = ends.count < front.ends;

    const alongHead = answers.count < records.tags ? along.head(t) : undefined;
    const issue = beatsLeft > 0 && onTheWay < feed.credits;
    const lastBeat = issue && beatsLeft === 1;
    const begins =
      alongHead !== undefined && (alongHead.end || (facts.head(t) !== undefined && (beatsLeft === 0 || lastBeat)));

    const answer = answers.head(t);
    const record = answer !== undefined && (answer.end || full) && recordsOnTheWay < records.credits;
    const used = record && !answer.end;
    const offered = beats.head(t) !== undefined;
    const ready = !full || used;
    const {
      sent: took,
      taken: gave,
      moved,
    } = network.step(
      () => offered,
      () => ready,
    );
    const leaving = out.head(t);
    const leaves = leaving !== undefined && accepts(t);

    // And what it has done by its end.
    if (leaves) {
      out.pop();
      recordsOnTheWay--;
      result.push(
        leaving.end
          ? { kind: "frame", cycle: t, ...leaving.record, dropped: leaving.record.found - leaving.record.sent }
          : { kind: "peak", cycle: t, frame: leaving.tag.frame, peak: leaving.tag.peak },
      );
    }
    if (used) full = false;
    if (gave[0]! && ++answerBeat === answerBeats) {
      answerBeat = 0;
      full = true;
    }
    if (record) {
      answers.pop();
      recordsOnTheWay++;
      out.push(answer, t + records.position.latency);
      if (used) inNetwork--;
    }
    if (took[0]!) {
      beats.pop();
      onTheWay--;
    }
    if (issue) {
      beatsLeft--;
      onTheWay++;
      beats.push(true, t + feed.latency);
    }
    if (lastBeat) patches--;
    if (begins) {
      along.pop();
      answers.push(alongHead, t);
      if (!alongHead.end) {
        facts.pop();
        beatsLeft = patchBeats;
        inNetwork++;
      }
    }
    if (lastRead) facts.push(true, t + factsTime);
    if (reads > 0) reads--;
    if (ended) {
      ends.pop();
      along.push({ end: true, record: { ...endHead, sent } }, t);
      frame = endHead.frame + 1;
      sent = 0;
    }
    if (start) {
      along.push({ end: false, tag: next! }, t);
      patches++;
      sent++;
      reads = sensor.patch * next!.pairs;
    }
    if (load) {
      next = tagHead[lane]!;
      if (++lane === tagHead.length) {
        lane = 0;
        tags.pop();
      }
    } else if (consumed) next = undefined;
    if (nextPush < pushes.length && pushes[nextPush]!.cycle === t) {
      const arrived = pushes[nextPush++]!.tags;
      if (tagRoom && waiting === undefined) tags.push(arrived, t);
    }
    const arriving = nextEnd < frameEnds.length && frameEnds[nextEnd]!.cycle === t ? frameEnds[nextEnd++]! : undefined;
    const pending =
      arriving === undefined
        ? waiting
        : { frame: arriving.frame, found: arriving.found + (waiting?.found ?? 0), sent: 0 };
    waiting = undefined;
    if (pending !== undefined) {
      if (endRoom) ends.push(pending, t);
      else waiting = pending;
    }
    quiet = moved || inNetwork > 0 ? 0 : quiet + 1;
  }
  return result;

  function busy(): boolean {
    return (
      next !== undefined ||
      reads > 0 ||
      beatsLeft > 0 ||
      inNetwork > 0 ||
      tags.count + ends.count + along.count + facts.count + beats.count + answers.count + out.count > 0
    );
  }
}
