/** Random networks as sized designs. */
import { insertChannels, foldDesign, type Scheduled } from "../../src/backend-hls/design/schedule.js";
import { type Device, findDevice } from "../../src/backend-hls/device/devices.js";
import { present } from "../../src/ir/present.js";
import { fuseElementwise } from "../../src/passes/flow/fuse-elementwise.js";
import { lowerToFlow } from "../../src/passes/lower/nn-to-flow.js";
import { randomNetwork } from "./random-nets.js";

export function deviceCalled(name: string): Device {
  return present(findDevice(name), `device ${name}`);
}

/** The random network of a seed, at the first interval of 16, 32, ... that it reaches. */
export function scheduledNetwork(seed: number, device = "xcu280", clockMhz = 250): Scheduled {
  const flow = lowerToFlow(randomNetwork(seed));
  fuseElementwise(flow);
  const target = { device: deviceCalled(device), clockMhz };
  for (let ii = 16; ; ii *= 2)
    if (foldDesign(flow, target.device, { ii }) === undefined) return insertChannels(flow, target.device, clockMhz);
}
