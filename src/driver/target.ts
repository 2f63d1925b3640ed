/** From a target to an initiation interval: what is asked for, or the fastest that fits. */
import { insertChannels, inputElements, isFailure, unrollModule, utilization, type ScheduleFailure, type Scheduled } from "../backend-hls/schedule.js";
import type { Resources } from "../backend-hls/cost.js";
import type { Device } from "../backend-hls/devices.js";
import { cloneModule, type Module } from "../ir/core.js";
import { UserError } from "../diagnostics/index.js";
import type { Target } from "./options.js";

/** Share of the device that a design takes where nothing is said. */
const DEFAULT_SHARE = 0.6;

export interface Choice {
  /** The scheduled module. */
  readonly module: Module;
  readonly ii: number;
}

/** Schedules for the target; without one, for one input element per cycle if that fits. @errors FL002, FL003 */
export function chooseInterval(module: Module, device: Device, clockMhz: number, target: Target | undefined): number {
  const attempt = (ii: number): Scheduled | ScheduleFailure => {
    const copy = cloneModule(module);
    return unrollModule(copy, { device, clockMhz, ii }) ?? insertChannels(copy, device, clockMhz);
  };
  if (target?.kind === "ii") return target.cycles;
  if (target?.kind === "rate") {
    const ii = Math.floor((clockMhz * 1e6) / target.hz);
    if (ii < 1) throw UserError.of("FL004", { rate: target.hz, clock: clockMhz });
    return ii;
  }
  const limits = target?.limits;
  const fits = (r: Resources): boolean => (limits === undefined ? utilization(r, device) <= DEFAULT_SHARE : Object.entries(limits).every(([k, v]) => r[k as keyof Resources] <= v));
  // One element per cycle unless the device is too small; with a budget, anything down to one sample per cycle.
  const start = limits === undefined ? inputElements(module) : 1;
  return fastestThatFits(attempt, fits, start, limits === undefined ? `60 % of ${device.name}` : Object.entries(limits).map(([k, v]) => `${k}=${v}`).join(","));
}

/** Least interval from `start` on whose design fits: doubling, then bisection. Cost falls with the interval, if not at every step. */
function fastestThatFits(attempt: (ii: number) => Scheduled | ScheduleFailure, fits: (r: Resources) => boolean, start: number, limit: string): number {
  const good = (ii: number): boolean => {
    const s = attempt(ii);
    if (isFailure(s)) return false;
    last = s.resources;
    return fits(s.resources);
  };
  let last: Resources | undefined;
  if (good(start)) return start;
  let bad = start;
  let ok = start;
  do {
    bad = ok;
    ok *= 2;
    // Fully folded kernels shrink no further.
    if (ok > 2 ** 26) throw UserError.of("FL003", { limit, least: last === undefined ? "more than any" : Object.entries(last).map(([k, v]) => `${k}=${v}`).join(",") });
  } while (!good(ok));
  while (ok - bad > Math.max(1, Math.floor(ok / 64))) {
    const middle = Math.floor((ok + bad) / 2);
    if (good(middle)) ok = middle;
    else bad = middle;
  }
  return ok;
}
