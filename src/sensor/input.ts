/** Frames and numbers per pixel that a description calls for, checked against it as they are read. */
import { UserError } from "../diagnostics/index.js";
import type { Host } from "../host.js";
import { FLAT_FRAC, type Planes } from "./correct.js";
import type { Sensor } from "./sensor.js";
import { openStack, type Pixels, splitName } from "./stack.js";

export interface FrameSource {
  readonly frames: number;
  /** Raw pixels, row by row, all of them whole and of `pixelBits` bits. @errors SE009, SE010 */
  read(frame: number): Promise<Pixels>;
  close(): void;
}

const DETECTOR = "entry/instrument/detector";

/** @errors IO001, NP001, SE008, SE010, SE011, SE014 */
export async function openFrames(path: string, sensor: Sensor, host: Host): Promise<FrameSource> {
  const stack = await openStack({ path, names: ["frames", "images", "data"], what: "frames" }, host);
  const { file } = splitName(path);
  if (stack.rows !== sensor.rows || stack.columns !== sensor.columns) {
    stack.close();
    const have = [stack.images, stack.rows, stack.columns].join(", ");
    throw UserError.of("SE008", { have, rows: sensor.rows, columns: sensor.columns }, { file });
  }
  // Unsigned numbers of so few bits are pixels, whatever they are.
  const always = /^uint(\d+)$/.exec(stack.type);
  const trusted = always !== null && Number(always[1]) <= sensor.pixelBits;
  return {
    frames: stack.images,
    read: async (frame) => {
      const pixels = await stack.read(frame);
      if (!trusted) checkPixels(pixels, sensor, frame, stack.type, file);
      return pixels;
    },
    close: () => stack.close(),
  };
}

/** @errors SE009 */
function checkPixels(pixels: Pixels, sensor: Sensor, frame: number, type: string, file: string): void {
  const limit = 2 ** sensor.pixelBits;
  for (let i = 0; i < pixels.length; i++) {
    const v = pixels[i]!;
    if (v >= 0 && v < limit && Number.isInteger(v)) continue;
    const at = { row: Math.floor(i / sensor.columns), column: i % sensor.columns };
    throw UserError.of("SE009", { value: String(v), type, frame, ...at, bits: sensor.pixelBits }, { file });
  }
}

/**
 * Reads the files of a description. Dark counts are rounded to whole ones, factors to 1/16384.
 *
 * @errors IO001, NP001, SE005 shape, SE006 value, SE007 nothing is left, SE010, SE011, SE014
 */
export async function loadPlanes(sensor: Sensor, host: Host): Promise<Planes> {
  const load = async (what: string, path: string, names: readonly string[]): Promise<ArrayLike<number>> => {
    const stack = await openStack({ path, names, what: what.replace("flat field", "flat") }, host);
    try {
      if (stack.images !== 1 || stack.rows !== sensor.rows || stack.columns !== sensor.columns) {
        const shape = stack.images === 1 ? [stack.rows, stack.columns] : [stack.images, stack.rows, stack.columns];
        throw UserError.of(
          "SE005",
          { what, have: shape.join(", "), rows: sensor.rows, columns: sensor.columns },
          { file: splitName(path).file },
        );
      }
      return await stack.read(0);
    } finally {
      stack.close();
    }
  };
  /** Whole multiples of 2^-frac from 0 to below `limit`. */
  const whole = <T extends { [i: number]: number }>(
    data: ArrayLike<number>,
    raw: T,
    [what, path, frac, limit, want]: readonly [string, string, number, number, string],
  ): T => {
    for (let i = 0; i < data.length; i++) {
      const v = Math.floor(data[i]! * 2 ** frac + 0.5);
      if (!(v >= 0 && v < limit)) {
        const at = { row: Math.floor(i / sensor.columns), column: i % sensor.columns };
        throw UserError.of("SE006", { what, value: String(data[i]), ...at, want }, { file: splitName(path).file });
      }
      raw[i] = v;
    }
    return raw;
  };
  const { mask: maskPath, flat: flatPath, dark: given } = sensor;
  const size = sensor.rows * sensor.columns;
  let dark: Uint32Array | undefined;
  if (given.kind === "file") {
    const limit = 2 ** sensor.pixelBits;
    const want = `a number of counts from 0 to ${limit - 1}`;
    const data = await load("dark", given.path, ["dark"]);
    dark = whole(data, new Uint32Array(size), ["dark", given.path, 0, limit, want]);
  }
  let flat: Uint16Array | undefined;
  if (flatPath !== undefined) {
    const data = await load("flat field", flatPath, ["flat", "flatfield", `${DETECTOR}/detectorSpecific/flatfield`]);
    const want = "a factor from 0 to below 4";
    flat = whole(data, new Uint16Array(size), ["flat field", flatPath, FLAT_FRAC, 2 ** 16, want]);
  }
  let mask: Uint8Array | undefined;
  if (maskPath !== undefined) {
    const names = ["mask", "pixel_mask", `${DETECTOR}/detectorSpecific/pixel_mask`, `${DETECTOR}/pixel_mask`];
    const data = await load("mask", maskPath, names);
    mask = Uint8Array.from(data, (v) => (v === 0 ? 0 : 1));
    if (mask.every((m) => m === 1)) throw UserError.of("SE007", { pixels: size }, { file: splitName(maskPath).file });
  }
  return {
    ...(dark !== undefined && { dark }),
    ...(mask !== undefined && { mask }),
    ...(flat !== undefined && { flat }),
  };
}
