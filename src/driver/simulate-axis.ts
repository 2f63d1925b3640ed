/** Drives hardware behind AXI4-Stream ports in the rtl interpreter, beat by beat. */
import { CompilerBug } from "../diagnostics/index.js";
import type { DenseData } from "../ir/attributes.js";
import { RtlSimulator } from "../ir/eval/rtl-sim.js";
import type { AxisPort, RtlDesign } from "../backend-hls/emit/flow-to-rtl.js";

/** Beats as integers: element k of a beat at bit k x width. */
function beatsOf(port: AxisPort, raw: DenseData): bigint[] {
  const mask = (1n << BigInt(port.width)) - 1n;
  return Array.from({ length: port.beats }, (_, b) => {
    let word = 0n;
    for (let k = 0; k < port.elementsPerBeat; k++)
      word |= (BigInt(raw[b * port.elementsPerBeat + k] ?? 0) & mask) << BigInt(k * port.width);
    return word;
  });
}
function elementsOf(port: AxisPort, word: bigint): number[] {
  return Array.from({ length: port.elementsPerBeat }, (_, k) => {
    const bits = word >> BigInt(k * port.width);
    return Number(port.signed ? BigInt.asIntN(port.width, bits) : BigInt.asUintN(port.width, bits));
  });
}

/** What came out of the ports, and when. */
export interface AxisResult {
  /** Raw integers per sample and output. */
  readonly simulated: (readonly number[])[][];
  /** Cycle of each sample's last beat. */
  readonly ends: readonly number[];
  /** Of the first sample; and cycles between the last beats of the last two. */
  readonly measured: { readonly latency: number; readonly interval: number };
}

/** Cycles without an end after which a run is given up. */
const MOST_CYCLES = 200_000;

/**
 * Runs samples (raw integers per input) through the rtl interpreter; a port pauses in the cycles in which `stall` says
 * so. @errors CompilerBug where the design does not come to an end
 */
export function simulateAxis(
  design: Pick<RtlDesign, "module" | "top" | "ports">,
  samples: readonly (readonly DenseData[])[],
  stall: () => boolean,
): AxisResult {
  const sim = new RtlSimulator(design.module, design.top);
  const ins = design.ports.filter((p) => p.direction === "input");
  const outs = design.ports.filter((p) => p.direction === "output");
  const queues = ins.map((p, i) => samples.flatMap((s) => beatsOf(p, s[i]!)));
  const at = ins.map(() => 0);
  const got: bigint[][] = outs.map(() => []);
  const ready = outs.map(() => true);
  const offered = ins.map(() => false);
  for (const p of outs) sim.set(`${p.prefix}_tready`, 1);
  for (const p of ins) sim.set(`${p.prefix}_tvalid`, 0);
  for (let i = 0; i < 4; i++) sim.reset();
  let first = Infinity;
  const ends: number[] = [];
  for (let cycle = 0; outs.some((p, i) => got[i]!.length < p.beats * samples.length); cycle++) {
    if (cycle > MOST_CYCLES * samples.length) throw new CompilerBug(`no result after ${cycle} cycles`);
    ins.forEach((p, i) => {
      // A beat that was offered stays until it is taken.
      const valid = at[i]! < queues[i]!.length && (offered[i]! || !stall());
      offered[i] = valid;
      sim.set(`${p.prefix}_tvalid`, valid ? 1 : 0);
      sim.set(`${p.prefix}_tdata`, valid ? queues[i]![at[i]!]! : 0);
      sim.set(`${p.prefix}_tlast`, valid && (at[i]! + 1) % p.beats === 0 ? 1 : 0);
    });
    outs.forEach((p, i) => {
      ready[i] = !stall();
      sim.set(`${p.prefix}_tready`, ready[i] ? 1 : 0);
    });
    ins.forEach((p, i) => {
      if (!offered[i] || sim.get(`${p.prefix}_tready`) === 0n) return;
      first = Math.min(first, cycle);
      at[i]!++;
      offered[i] = false;
    });
    const before = Math.min(...got.map((g, i) => Math.floor(g.length / outs[i]!.beats)));
    outs.forEach((p, i) => {
      if (ready[i]! && sim.get(`${p.prefix}_tvalid`) !== 0n) got[i]!.push(BigInt(sim.get(`${p.prefix}_tdata`)));
    });
    if (Math.min(...got.map((g, i) => Math.floor(g.length / outs[i]!.beats))) > before) ends.push(cycle);
    sim.step();
  }
  const simulated = samples.map((_, s) =>
    outs.map((p, i) => {
      const size = p.shape.reduce((n, d) => n * d, 1);
      return got[i]!.slice(s * p.beats, (s + 1) * p.beats)
        .flatMap((w) => elementsOf(p, w))
        .slice(0, size);
    }),
  );
  return {
    simulated,
    ends,
    measured: {
      latency: ends[0]! - first + 1,
      interval: ends.length < 2 ? 0 : ends[ends.length - 1]! - ends[ends.length - 2]!,
    },
  };
}
