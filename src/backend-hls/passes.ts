/** The passes of this folder: target, unroll, insert-channels, lower-to-rtl. */
import type { Module } from "../ir/core.js";
import { UserError } from "../diagnostics/index.js";
import { nearestName } from "../diagnostics/nearest.js";
import { ContextKey } from "../passes/pass-context.js";
import { choice, definePass, type OptionsOf, int, number, text } from "../passes/define-pass.js";
import { designOf, foldDesign, insertChannels, type Scheduled, showScheduled } from "./design/schedule.js";
import { checkChannels } from "./check/check-channels.js";
import { checkPipelines } from "./check/check-pipeline.js";
import { type Device, findDevice, knownDevices } from "./device/devices.js";
import { lowerToRtl, type RtlDesign } from "./emit/flow-to-rtl.js";
import { DEFAULT_PRICES, type FoldingRequest } from "./fold/request.js";
import type { FoldingSolver } from "./fold/solve-folding.js";

/** Keys under which passes leave their results in the context. */
export const SCHEDULED = new ContextKey<Scheduled>("a scheduled design");
export const RTL_DESIGN = new ContextKey<RtlDesign>("hardware");
/** Samples that the checker follows through the channels: enough to reuse every word of a ring. */
const CHECKED_SAMPLES = 4;
/** What the pass `unroll` is asked for by a search, in place of its options; the solver knows the module at hand. */
export const FOLDING = new ContextKey<{ readonly request: FoldingRequest; readonly solver: FoldingSolver }>(
  "a folding that was chosen",
);

const price = (value: number, doc: string) => number({ min: 0, default: value, doc: `price ${doc}` });

/** @errors FL001 */
export function requireDevice(name: string): Device {
  const device = findDevice(name);
  if (device === undefined)
    throw UserError.of("FL001", {
      name,
      known: knownDevices()
        .map((d) => d.name)
        .join(", "),
      nearest: nearestName(
        name,
        knownDevices().map((d) => d.name),
      ),
    });
  return device;
}

/** The device and the clock that a module is for, which `target` has noted on it. @errors FL001, FL014 */
export function targetOf(module: Module): { readonly device: Device; readonly clockMhz: number } {
  const { device, clock_mhz: clockMhz } = module.attrs;
  if (typeof device !== "string" || typeof clockMhz !== "number") throw UserError.of("FL014", { module: module.name });
  return { device: requireDevice(device), clockMhz };
}

export const target = definePass({
  name: "target",
  summary:
    "Note the device and the clock that the module is for; passes that ask for delays and costs read them there.",
  level: "any",
  semantics: "bit-exact",
  options: {
    device: text({ default: "xcu280", doc: "device whose delays and costs count" }),
    clock: number({ min: 1, default: 250, doc: "clock, MHz" }),
  },
  run: (module, { device, clock }) => {
    module.attrs = { ...module.attrs, device: requireDevice(device).name, clock_mhz: clock };
  },
});

const unrollOptions = {
  ii: int({ min: 1, default: 1000, doc: "most cycles between samples" }),
  "lut-price": price(DEFAULT_PRICES.lut, "of a LUT"),
  "ff-price": price(DEFAULT_PRICES.ff, "of a flip-flop"),
  "dsp-price": price(DEFAULT_PRICES.dsp, "of a multiplier block"),
  "bram-price": price(DEFAULT_PRICES.bram, "of a block RAM"),
  "product-price": price(DEFAULT_PRICES.product, "of a product per cycle"),
  "latency-price": price(
    DEFAULT_PRICES.latency,
    "of a latency of one interval, as a share of the area of all multipliers",
  ),
  "input-words": text({
    default: "",
    doc: "elements per beat of the inputs, joined by +; the fewest that keep the interval where empty",
  }),
  effort: choice(["full", "quick"], { default: "full", doc: "how many foldings are compared" }),
  "output-bits": int({ min: 0, default: 0, doc: "most bits per beat of an output; 0 for no limit" }),
};

/** The options of the pass `unroll` as a request. */
function requestOf(options: OptionsOf<typeof unrollOptions>): FoldingRequest {
  return {
    ii: options.ii,
    effort: options.effort,
    prices: {
      lut: options["lut-price"],
      ff: options["ff-price"],
      dsp: options["dsp-price"],
      bram: options["bram-price"],
      product: options["product-price"],
      latency: options["latency-price"],
    },
    ...(options["input-words"] !== "" && { inputWords: options["input-words"].split("+").map(Number) }),
    ...(options["output-bits"] > 0 && { outputBits: options["output-bits"] }),
  };
}

export const unroll = definePass({
  name: "unroll",
  summary:
    "Choose loop order and unroll factors of every kernel, all together, at least cost for an initiation interval.",
  level: "flow",
  semantics: "bit-exact",
  doc: "Schedules of all kernels are chosen together, at least cost: loops are split and ordered as operands arrive, unroll factors are those whose steps, with the fetches of their windows, fit the interval. Costs are areas at the given prices (in LUTs), and a price of the latency.",
  options: unrollOptions,
  run: (module, options, ctx) => {
    const given = ctx.get(FOLDING);
    const request = given?.request ?? requestOf(options);
    const failure = foldDesign(module, targetOf(module).device, request, given?.solver);
    if (failure === undefined) return;
    throw UserError.of(
      "FL002",
      { ii: request.ii, kernel: String(failure.kernel.attrs["sym"]), possible: failure.cycles },
      { node: failure.kernel.loc.nodes[0] ?? String(failure.kernel.attrs["sym"]) },
    );
  },
});

export const channels = definePass({
  name: "insert-channels",
  summary:
    "Put an elastic buffer between every producer and consumer, with the capacity that the static timeline calls for.",
  level: "flow",
  semantics: "bit-exact",
  doc: "The realization (FIFO, sliding window, banked memory) follows from the order of writes and reads; capacities are the smallest with which nothing ever waits for space. Latency and initiation interval are noted on the function.",
  run: (module, _options, ctx) => {
    const { device, clockMhz } = targetOf(module);
    const scheduled = insertChannels(module, device, clockMhz);
    checkPipelines(scheduled.design, ctx.sink);
    checkChannels(scheduled.design, CHECKED_SAMPLES);
    ctx.set(SCHEDULED, scheduled);
  },
});

export const printScheduleText = definePass({
  name: "print-schedule",
  summary: "Log the scheduling problem of a module whose channels are in place, with its solution, as text.",
  level: "flow",
  semantics: "bit-exact",
  doc: "The text is read by the tests in test/backend/schedules: what goes wrong in a large network is cut down there to a few lines.",
  run: (_module, _options, ctx) => {
    for (const line of showScheduled(ctx.need(SCHEDULED)).trimEnd().split("\n")) ctx.log(line);
  },
});

export const toRtl = definePass({
  name: "lower-to-rtl",
  summary: "Turn kernels and channels into modules behind AXI4-Stream ports.",
  level: ["flow", "rtl"],
  semantics: "bit-exact",
  run: (module, _options, ctx) => {
    const { device, clockMhz } = targetOf(module);
    const rtl = lowerToRtl(designOf(module, device, clockMhz));
    ctx.set(RTL_DESIGN, rtl);
    return rtl.module;
  },
});

export const backendPasses = [target, unroll, channels, printScheduleText, toRtl];
