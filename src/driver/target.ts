/** From a target to an initiation interval: what is asked for, or the fastest that fits. */
import { insertChannels, inputElements, isFailure, kernelsArea, unrollModule, utilization, type ScheduleFailure } from "../backend-hls/schedule.js";
import type { Resources } from "../backend-hls/cost.js";
import type { Device } from "../backend-hls/devices.js";
import { cloneModule, type Module } from "../ir/core.js";
import { readKernel } from "../ir/flow/kernel.js";
import { UserError } from "../diagnostics/index.js";
import type { Target } from "./options.js";

/** Share of the device that a design takes where nothing is said. */
const DEFAULT_SHARE = 0.6;

/** Schedules for the target; without one, for one input element per cycle if that fits. @errors FL002, FL003 */
export function chooseInterval(module: Module, device: Device, clockMhz: number, target: Target | undefined): number {
  const attempt = (ii: number): Resources | ScheduleFailure => {
    const copy = cloneModule(module);
    const failure = unrollModule(copy, { device, clockMhz, ii });
    if (failure !== undefined) return failure;
    // Kernels alone are quick to judge; channels need the timeline.
    const kernels = kernelsArea(copy, device);
    return fits(kernels) ? insertChannels(copy, device, clockMhz).resources : kernels;
  };
  if (target?.kind === "ii" || target?.kind === "rate") {
    const ii = target.kind === "ii" ? target.cycles : Math.floor((clockMhz * 1e6) / target.hz);
    if (ii < 1) throw UserError.of("FL004", { rate: (target as { hz: number }).hz, clock: clockMhz });
    return mustFit(module, device, clockMhz, ii);
  }
  const limits = target?.limits;
  const fits = (r: Resources): boolean => (limits === undefined ? utilization(r, device) <= DEFAULT_SHARE : Object.entries(limits).every(([k, v]) => r[k as keyof Resources] <= v));
  // One element per cycle unless the device is too small; with a budget, anything down to one sample per cycle.
  const start = limits === undefined ? inputElements(module) : 1;
  return fastestThatFits(attempt, fits, start, limits === undefined ? `60 % of ${device.name}` : Object.entries(limits).map(([k, v]) => `${k}=${v}`).join(","), slowest(module));
}

/** Steps of the largest kernel on a single lane: beyond this interval kernels shrink no further. */
function slowest(module: Module): number {
  const points = module.func.body.ops.flatMap((op) => (op.name === "flow.kernel" ? [readKernel(op).iterators.reduce((n, i) => n * i.extent, 1)] : []));
  return Math.max(1, ...points);
}

/** `ii`, if the design that reaches it is not larger than the device. @errors FL005 */
function mustFit(module: Module, device: Device, clockMhz: number, ii: number): number {
  const needed = (cycles: number): Resources | undefined => {
    const copy = cloneModule(module);
    return unrollModule(copy, { device, clockMhz, ii: cycles }) === undefined ? kernelsArea(copy, device) : undefined;
  };
  const first = needed(ii);
  // What cannot be reached at all is for the unroll pass to say.
  if (first === undefined || utilization(first, device) <= 1) return ii;
  let possible = ii;
  for (let r: Resources | undefined = first; r === undefined || utilization(r, device) > 1; r = needed(possible)) {
    possible *= 2;
    if (possible > 2 * slowest(module)) throw UserError.of("FL003", { limit: device.name, least: resourceText(first) });
  }
  for (let low = possible / 2; possible - low > Math.max(1, Math.floor(possible / 64)); ) {
    const middle = Math.floor((possible + low) / 2);
    const r = needed(middle);
    if (r !== undefined && utilization(r, device) <= 1) possible = middle;
    else low = middle;
  }
  const over = (["lut", "ff", "dsp", "bram"] as const).filter((k) => first[k] > device[k]).map((k) => `${first[k]} of ${device[k]} ${k.toUpperCase()}`);
  throw UserError.of("FL005", { ii, device: device.name, over: over.join(", "), possible });
}

function resourceText(r: Resources): string {
  return Object.entries(r).map(([k, v]) => `${k}=${v}`).join(",");
}

/** Least interval from `start` on whose design fits: doubling, then bisection. Cost falls with the interval, if not at every step. */
function fastestThatFits(attempt: (ii: number) => Resources | ScheduleFailure, fits: (r: Resources) => boolean, start: number, limit: string, slow: number): number {
  const good = (ii: number): boolean => {
    const s = attempt(ii);
    if (isFailure(s)) return false;
    last = s;
    return fits(s);
  };
  let last: Resources | undefined;
  if (good(start)) return start;
  let bad = start;
  let ok = start;
  do {
    bad = ok;
    ok *= 2;
    if (ok > 2 * slow) throw UserError.of("FL003", { limit, least: last === undefined ? "more than any" : resourceText(last) });
  } while (!good(ok));
  while (ok - bad > Math.max(1, Math.floor(ok / 64))) {
    const middle = Math.floor((ok + bad) / 2);
    if (good(middle)) ok = middle;
    else bad = middle;
  }
  return ok;
}
