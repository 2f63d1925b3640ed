/** What a design may use, and whether it does: shares of a device, budgets, the fastest clock. */
import { UserError } from "../../diagnostics/index.js";
import { type Device, knownDevices } from "../device/devices.js";
import type { Resources } from "../device/resources.js";

/** Most of each resource; absent ones are not limited. */
export type Limits = Readonly<Partial<Record<keyof Resources, number>>>;

export const RESOURCES = ["lut", "ff", "dsp", "bram"] as const;

/** Clock that registers around one level of logic, or around a multiplier block, allow. */
function fastestClock(d: Device): number {
  return Math.floor(1000 / Math.max(d.timing.base + d.timing.lut, d.dsp > 0 ? d.timing.multiply : 0));
}

/** @errors FL009 */
export function requireClock(device: Device, mhz: number): void {
  if (mhz <= fastestClock(device)) return;
  const others = knownDevices()
    .filter((d) => fastestClock(d) >= mhz)
    .map((d) => d.name)
    .join(", ");
  throw UserError.of("FL009", { clock: mhz, device: device.name, fastest: fastestClock(device), others });
}

export function within(r: Resources, limits: Limits): boolean {
  return RESOURCES.every((k) => r[k] <= (limits[k] ?? Infinity));
}

export function scaledDevice(d: Device, share: number): Limits {
  return Object.fromEntries(RESOURCES.map((k) => [k, Math.floor(d[k] * share)]));
}

export function limitText(limits: Limits): string {
  return RESOURCES.flatMap((k) => (limits[k] === undefined ? [] : [`${k}=${limits[k]}`])).join(",");
}

/** Everything that the device has. */
export function deviceLimits(device: Device): Limits {
  return scaledDevice(device, 1);
}

/** What is used of a device beyond what it has; empty where it fits. */
export function excess(used: Resources, device: Device): string {
  return RESOURCES.filter((k) => used[k] > device[k])
    .map((k) => `${used[k]} of ${device[k]} ${k.toUpperCase()}`)
    .join(", ");
}
export function fits(used: Resources, device: Device): boolean {
  return excess(used, device) === "";
}
/** @errors FL011 */
export function requireFit(used: Resources, device: Device): void {
  const over = excess(used, device);
  if (over !== "") throw UserError.of("FL011", { device: device.name, over });
}
