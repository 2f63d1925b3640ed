/** Area of a channel: its words, what chooses among them, its control. */
import { elementAt, lookUp } from "../../ir/present.js";
import type { FixedType } from "../../ir/types.js";
import type { Device } from "../device/devices.js";
import { addTo, noResources, type Resources, rounded } from "../device/resources.js";
import { muxLuts, ramStorage } from "../device/storage.js";
import type { ChannelPlan } from "./channel-plan.js";
import { bankDepth } from "./memory-plan.js";

/** Area of one channel with room for `capacity` words. */
export function channelResources(
  d: Device,
  plan: ChannelPlan,
  elem: FixedType,
  capacity: number,
  { deep = false, through = false } = {},
): Resources {
  const r = noResources();
  const wordBits = plan.order.planes * elem.width;
  if (plan.kind === "memory") {
    const slots = Math.max(1, Math.ceil(capacity / plan.words));
    for (const b of plan.banks) {
      const bits = b.planes.length * elem.width;
      if (b.words.length === 1) {
        r.ff += bits * slots;
        r.lut += Math.ceil((bits * (slots - 1)) / 2) + 2;
      } else {
        r.lut += 8;
        addTo(r, ramStorage(d, bankDepth(b.words.length, slots), bits, true));
      }
    }
    const perLane = new Map<number, Set<string>>();
    for (let i = 0; i < plan.laneBank.length; i++) {
      if (elementAt(plan.laneBank, i) < 0) continue;
      const lane = i % plan.table.lanes;
      if (!perLane.has(lane)) perLane.set(lane, new Set());
      lookUp(perLane, lane, "per lane").add(`${plan.laneBank[i]}:${plan.lanePlane[i]}`);
    }
    for (const sources of perLane.values()) r.lut += muxLuts(d, sources.size) * elem.width;
    r.lut += 30;
    r.ff += 30;
    return rounded(r);
  }
  const ringDepth = plan.rows > 1 ? plan.pitch : capacity;
  const rings = plan.rows > 1 ? Math.max(plan.rows, Math.ceil(capacity / plan.pitch)) : 1;
  if (ringDepth * rings > 1) addTo(r, ramStorage(d, ringDepth, wordBits, deep), rings);
  if (plan.rows > 1) r.lut += plan.rows * wordBits * muxLuts(d, rings);
  r.ff += (plan.held ? 2 : 1) * plan.rows * plan.columns * wordBits;
  if (through) r.lut += wordBits;
  for (let lane = 0; lane < plan.table.lanes; lane++) {
    const sources = new Set<number>();
    for (let m = 0; m < plan.repeat; m++) {
      const i = m * plan.table.lanes + lane;
      if (elementAt(plan.tapRow, i) >= 0)
        sources.add(
          (elementAt(plan.tapRow, i) * 1024 + elementAt(plan.tapColumn, i)) * 65536 + elementAt(plan.tapPlane, i),
        );
    }
    r.lut += muxLuts(d, sources.size) * elem.width;
  }
  r.lut += 25;
  r.ff += 30;
  return rounded(r);
}
