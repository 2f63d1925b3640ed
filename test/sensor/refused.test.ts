/** Descriptions that software takes and hardware has no form for: one message, with what to write instead. */
import { describe, expect, it } from "vitest";
import { findDevice } from "../../src/backend-hls/device/devices.js";
import { networkPorts } from "../../src/backend-hls/raster/detector.js";
import { planFrontEnd } from "../../src/backend-hls/raster/plan.js";
import { sensorFrom } from "../../src/sensor/read-sensor.js";

const device = findDevice("xcku5p")!;

describe("the hardware of a sensor refuses", () => {
  it.each([
    [{ find: { rule: "component" } }, /SE030\]: find of the sensor description: the rule component has no hardware/],
    [{ find: { edges: "pad" } }, /SE030\]: edges of the sensor description: padded patches have no hardware/],
  ] as const)("%j", (keys, message) => {
    const sensor = sensorFrom({ rows: 32, columns: 32, ...keys });
    expect(() => planFrontEnd(sensor, {}, { device, clockMhz: 250 })).toThrow(message);
  });
  it("a network that gives nothing", () => {
    expect(() => networkPorts([], sensorFrom({ rows: 32, columns: 32 }))).toThrow(
      /SE030\]: output of the sensor description: the network has 0 inputs and 0 outputs/,
    );
  });
});
