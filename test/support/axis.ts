/** Drives a design with one input and one output stream in the rtl interpreter, beat by beat. */
import { RtlSimulator } from "../../src/ir/eval/rtl-sim.js";
import type { Module } from "../../src/ir/core.js";
import type { AxisPort } from "../../src/backend-hls/emit/flow-to-rtl.js";

export interface AxisRun {
  /** Raw integers of all samples in a row. */
  readonly values: number[];
  /** First input beat to last output beat of the first sample, both counted. */
  readonly latency: number;
  /** Mean distance of the last output beats of the last samples, up to four distances. */
  readonly interval: number;
}

export function runAxis(
  module: Module,
  top: string,
  input: AxisPort,
  output: AxisPort,
  samples: readonly ArrayLike<number>[],
  stall: () => boolean,
  maxCycles = 200_000,
): AxisRun {
  const sim = new RtlSimulator(module, top);
  sim.reset();
  const size = samples[0]!.length;
  const outSize = output.shape.reduce((n, d) => n * d, 1);
  const values: number[] = [];
  const ends: number[] = [];
  let start = -1;
  let beat = 0;
  let outBeat = 0;
  let offered = false;
  for (let cycle = 0; ends.length < samples.length; cycle++) {
    if (cycle > maxCycles)
      throw new Error(`no end after ${maxCycles} cycles: ${ends.length} of ${samples.length} samples`);
    // A beat that was offered stays until it is taken.
    const offer: boolean = beat < samples.length * input.beats && (offered || !stall());
    let data = 0n;
    if (offer) {
      const sample = samples[Math.floor(beat / input.beats)]!;
      for (let e = input.elementsPerBeat - 1; e >= 0; e--) {
        const i = (beat % input.beats) * input.elementsPerBeat + e;
        data = (data << BigInt(input.width)) | BigInt.asUintN(input.width, BigInt(i < size ? sample[i]! : 0));
      }
    }
    const ready = !stall();
    sim.set(`${input.prefix}_tvalid`, offer ? 1 : 0);
    sim.set(`${input.prefix}_tdata`, data);
    sim.set(`${input.prefix}_tlast`, offer && beat % input.beats === input.beats - 1 ? 1 : 0);
    sim.set(`${output.prefix}_tready`, ready ? 1 : 0);
    const taken: boolean = offer && sim.getNumber(`${input.prefix}_tready`) === 1;
    if (taken) {
      if (start < 0) start = cycle;
      beat++;
    }
    offered = offer && !taken;
    if (ready && sim.getNumber(`${output.prefix}_tvalid`) === 1) {
      const word = sim.get(`${output.prefix}_tdata`);
      for (
        let e = 0;
        e < output.elementsPerBeat && (outBeat % output.beats) * output.elementsPerBeat + e < outSize;
        e++
      ) {
        const raw = word >> BigInt(e * output.width);
        values.push(Number(output.signed ? BigInt.asIntN(output.width, raw) : BigInt.asUintN(output.width, raw)));
      }
      const last = sim.getNumber(`${output.prefix}_tlast`) === 1;
      if (last !== (outBeat % output.beats === output.beats - 1))
        throw new Error(`tlast is ${last} at beat ${outBeat}`);
      if (last) ends.push(cycle);
      outBeat++;
    }
    sim.step();
  }
  const from = Math.max(0, ends.length - 5);
  return {
    values,
    latency: ends[0]! - start + 1,
    interval: (ends[ends.length - 1]! - ends[from]!) / (ends.length - 1 - from),
  };
}
