/** Small frames that provoke what goes wrong: plateaus, peaks at edges, masks, clipping. Seeded. */
import { mulberry32 } from "../../src/driver/evaluate.js";
import type { Planes } from "../../src/sensor/correct.js";
import { sensorFrom, type SensorInput } from "../../src/sensor/read-sensor.js";
import type { Sensor } from "../../src/sensor/sensor.js";

export interface FrameCase {
  readonly sensor: Sensor;
  readonly planes: Planes;
  readonly raw: number[];
  readonly dark: number[];
}

/** A sensor with the keys given and a frame of it; few levels make plateaus. */
export function randomCase(seed: number, keys: SensorInput = {}): FrameCase {
  const random = mulberry32(seed);
  const below = (n: number): number => Math.floor(random() * n);
  const sensor = sensorFrom({ rows: 8 + below(16), columns: 9 + below(20), ...keys });
  const size = sensor.rows * sensor.columns;
  const list = (f: () => number): number[] => Array.from({ length: size }, f);
  const levels = [3, 20, 3000][seed % 3]!;
  const share = [0.15, 0.4, 1][Math.floor(seed / 3) % 3]!;
  const large = sensor.pixelBits === 32 ? 90_000 : 2 ** sensor.pixelBits - 1;
  const raw = list(() => {
    if (random() > share) return below(4);
    return random() < 0.01 ? large : Math.min(large, 4 + below(levels) * (levels < 10 ? 40 : 1));
  });
  const dark = list(() => below(4));
  return {
    sensor,
    raw,
    dark,
    planes: {
      ...(sensor.dark.kind === "file" && { dark }),
      ...(sensor.mask !== undefined && { mask: Uint8Array.from(list(() => (random() < 0.05 ? 1 : 0))) }),
      ...(sensor.flat !== undefined && { flat: Uint16Array.from(list(() => below(65536))) }),
    },
  };
}
