/** Interprets a module on seeded inputs, so that the results before and after a bit-exact pass can be compared. */
import { allocate } from "../ir/attributes.js";
import type { Module, Value } from "../ir/core.js";
import { prepareFlow } from "../ir/eval/flow.js";
import { prepareNn } from "../ir/eval/nn-fixed.js";
import { elementCount, rawRange, type FixedType, type StreamType, type TensorType } from "../ir/types.js";
import { lookUp, elementAt } from "../ir/present.js";
import { levelOf, type Evaluator } from "../passes/pass-manager.js";
import type { RtlDesign } from "../backend-hls/emit/flow-to-rtl.js";
import { RTL_DESIGN } from "../backend-hls/passes.js";
import { simulateAxis } from "./simulate-axis.js";

/**
 * Outputs as numbers, so that levels with and without scales compare: float networks, fixed-point networks, the kernels
 * that they become and the hardware made of these get the same inputs from the same seed. Hardware whose ports no pass
 * has left gives undefined.
 */
export const evaluateSeeded: Evaluator = (module, { seed, samples }, context) => {
  const random = mulberry32(seed);
  const level = levelOf(module);
  if (level === "rtl") return runHardware(module, random, samples, context.get(RTL_DESIGN));
  if (level !== "nn" && level !== "flow") return undefined;
  const run = level === "nn" ? prepareNn(module).run : runOnValues(module);
  const { args } = module.func.body;
  const names = module.func.attrs["outputs"] as readonly string[];
  const results = new Map<string, number[]>(names.map((n) => [n, []]));
  for (let s = 0; s < samples; s++) {
    run(args.map((a) => randomInput(a, random))).forEach((values, i) => {
      const list = lookUp(results, elementAt(names, i), "output");
      for (const v of values) list.push(v);
    });
  }
  return results;
};

/** The rtl interpreter, with numbers in place of raw integers at the ports; their scales are the host's, as in flow. */
function runHardware(
  module: Module,
  random: () => number,
  samples: number,
  design: RtlDesign | undefined,
): ReadonlyMap<string, readonly number[]> | undefined {
  if (design === undefined || module.lookup(design.top) === undefined) return undefined;
  const ports = design.ports.map((port, i) => ({ port, elem: elementAt(design.formats, i, "format of port") }));
  const inputs = ports.filter(({ port }) => port.direction === "input");
  const outputs = ports.filter(({ port }) => port.direction === "output");
  const raw = Array.from({ length: samples }, () =>
    inputs.map(({ port, elem }) => {
      const { lo, hi } = rawRange(elem);
      return allocate(elem, elementCount(port.shape)).map(() => lo + Math.floor(random() * (hi - lo + 1)));
    }),
  );
  const { simulated } = simulateAxis({ ...design, module }, raw, () => false);
  return new Map(
    outputs.map(({ port, elem }, i) => [
      port.name,
      simulated.flatMap((s) => elementAt(s, i, "output").map((v) => v * 2 ** -elem.frac)),
    ]),
  );
}

/** The flow interpreter, with numbers in place of raw integers at the ports. */
function runOnValues(module: Module): (inputs: readonly Float64Array[]) => Float64Array[] {
  const program = prepareFlow(module);
  const { args, terminator } = module.func.body;
  const elem = (v: Value): FixedType => (v.type as StreamType).elem as FixedType;
  return (inputs) => {
    const raw = inputs.map((values, i) => {
      const data = allocate(elem(args[i]!), values.length);
      for (let k = 0; k < data.length; k++) data[k] = values[k]! * 2 ** elem(args[i]!).frac;
      return data;
    });
    return program
      .run(raw)
      .map((data, i) => Float64Array.from(data, (r) => r * 2 ** -elem(terminator.operand(i)).frac));
  };
}

/** Any value of the port's fixed-point format; where the network has none, a number in [0, 1). */
function randomInput(arg: Value, random: () => number): Float64Array {
  const type = arg.type as StreamType | TensorType;
  const elem = portFormat(arg);
  const data = new Float64Array(elementCount(type.shape));
  if (elem === undefined) return data.map(random);
  const { lo, hi } = rawRange(elem);
  return data.map(() => (lo + Math.floor(random() * (hi - lo + 1))) * 2 ** -elem.frac);
}

/** Format in which lowering makes the port of an input: its own, or that to which it is quantized at once. */
function portFormat(arg: Value): FixedType | undefined {
  const { elem } = arg.type as StreamType | TensorType;
  if (elem.kind === "fixed") return elem;
  const first = arg.uses[0]?.op;
  if (first?.name !== "nn.quantize") return undefined;
  const to = (first.result.type as TensorType).elem;
  return to.kind === "fixed" ? to : undefined;
}

/** Uniform in [0, 1); small, seeded, and equal on every machine. @source Tommy Ettinger, public domain */
export function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
