/** The passes of this folder: unroll, insert-channels, lower-to-rtl. */
import { UserError } from "../diagnostics/index.js";
import { definePass, int, number, text } from "../passes/define-pass.js";
import { devices, findDevice, type Device } from "./devices.js";
import { lowerToRtl, type RtlDesign } from "./flow-to-rtl.js";
import { designOf, insertChannels, unrollModule, type Scheduled } from "./schedule.js";

/** Keys under which passes leave their results in the context. */
export const SCHEDULED = "scheduled";
export const RTL_DESIGN = "rtl-design";

const deviceOption = text({ default: "xcu280", doc: "device whose delays and costs count" });
const clockOption = number({ min: 1, default: 250, doc: "clock, MHz" });

/** @errors FL001 */
export function requireDevice(name: string): Device {
  const device = findDevice(name);
  if (device === undefined) throw UserError.of("FL001", { name, known: devices.map((d) => d.name).join(", ") });
  return device;
}

export const unroll = definePass({
  name: "unroll",
  summary: "Choose loop order and unroll factors of every kernel, at least cost for an initiation interval.",
  level: "flow",
  semantics: "bit-exact",
  doc: "Loops are split and ordered as operands arrive; then, kernel by kernel along the dataflow, the cheapest unroll factors are taken whose steps, with the fetches of their windows, fit the interval. A price per cycle shortens latency where that is cheap.",
  options: { ii: int({ min: 1, default: 1000, doc: "most cycles between samples" }), device: deviceOption, clock: clockOption },
  run: (module, options) => {
    const failure = unrollModule(module, { device: requireDevice(options.device), clockMhz: options.clock, ii: options.ii });
    if (failure === undefined) return;
    throw UserError.of("FL002", { ii: options.ii, kernel: String(failure.kernel.attrs["sym"]), possible: failure.cycles }, { node: failure.kernel.loc.nodes[0] ?? String(failure.kernel.attrs["sym"]) });
  },
});

export const channels = definePass({
  name: "insert-channels",
  summary: "Put an elastic buffer between every producer and consumer, with the capacity that the static timeline calls for.",
  level: "flow",
  semantics: "bit-exact",
  doc: "The realization (FIFO, sliding window, banked memory) follows from the order of writes and reads; capacities are the smallest with which nothing ever waits for space. Latency and initiation interval are noted on the function.",
  options: { device: deviceOption, clock: clockOption },
  run: (module, options, ctx) => {
    ctx.set(SCHEDULED, insertChannels(module, requireDevice(options.device), options.clock) satisfies Scheduled);
  },
});

export const toRtl = definePass({
  name: "lower-to-rtl",
  summary: "Turn kernels and channels into modules behind AXI4-Stream ports.",
  level: ["flow", "rtl"],
  semantics: "bit-exact",
  options: { device: deviceOption, clock: clockOption },
  run: (module, options, ctx) => {
    const rtl = lowerToRtl(designOf(module, requireDevice(options.device), options.clock));
    ctx.set(RTL_DESIGN, rtl satisfies RtlDesign);
    return rtl.module;
  },
});

export const backendPasses = [unroll, channels, toRtl];
