/**
 * A window over a raster stream: the rows above wait in block RAM that counters address, the columns to the left in
 * registers, and a scalar function looks at the window that ends at each pixel of a beat. Nothing here depends on the
 * size of a frame but the depth of the memory: the front end is described by its period, a beat of a row.
 *
 * Windows are causal: window `i` of a beat has its last pixel, at the lower right, at the beat's pixel `i`. What lies
 * before the first row or column is left over from the frame or row before; whoever uses a window knows whether it lies
 * inside of the frame.
 */
import type { Value } from "../../ir/core.js";
import { type RtlModuleBuilder, u } from "../../ir/rtl/builder.js";
import type { Device } from "../device/devices.js";
import { ramStorage } from "../device/storage.js";
import { ScalarEmitter, type ScalarFunction } from "./scalar.js";

export interface WindowShape {
  readonly rows: number;
  readonly columns: number;
}

/** A stream of beats: `beat` counts within a row, `lanes` are its pixels. */
export interface RasterStream {
  readonly valid: Value;
  readonly beat: Value;
  readonly lanes: readonly Value[];
  /** Bits of a pixel. */
  readonly bits: number;
  /** Beats of a row. */
  readonly beats: number;
}

/** Cycles from a beat to its windows in registers. */
export const WINDOW_LATENCY = 2;

/** Fewest beats of a row, so that a word of the row above is there before it is read again. */
export const FEWEST_BEATS = 3;

/**
 * The words of the rows that end at the stream's own, oldest first, a cycle behind the stream: each read at its beat
 * and written back a row further up.
 */
export function rowsAbove(
  m: RtlModuleBuilder,
  device: Device,
  stream: RasterStream,
  rows: number,
  hint: string,
): { readonly valid: Value; readonly rows: readonly Value[] } {
  const word = stream.lanes.length * stream.bits;
  const valid = m.reg(stream.valid, { reset: 0, hint: `${hint}_valid` });
  const own = m.reg(m.concat([...stream.lanes].reverse()), { hint: `${hint}_row` });
  if (rows === 1) return { valid, rows: [own] };
  const kept = m.forward(u((rows - 1) * word), `${hint}_kept`);
  const above = m.memory({
    depth: stream.beats,
    word: u((rows - 1) * word),
    waddr: m.reg(stream.beat, { hint: `${hint}_beat` }),
    wdata: kept,
    wen: valid,
    raddr: [stream.beat],
    readLatency: 1,
    style: ramStorage(device, stream.beats, (rows - 1) * word, true).style,
    // The beats of a row are further apart than a read and its write.
    disjoint: true,
    hint: `${hint}_above`,
  })[0]!;
  // The newest row is lowest.
  m.resolve(kept, rows === 2 ? own : m.concat([m.extract(above, 0, (rows - 2) * word), own]));
  const older = Array.from({ length: rows - 1 }, (_, k) => m.extract(above, (rows - 2 - k) * word, word));
  return { valid, rows: [...older, own] };
}

/**
 * Pixels of the beats up to the present one in each of some rows, `columns` to the left of each of its pixels, in
 * registers that move on with `valid`: `at(row, lane - k)` is the pixel `k` columns before `lane`.
 */
export function columnsBefore(
  m: RtlModuleBuilder,
  valid: Value,
  rows: readonly Value[],
  lanes: number,
  bits: number,
  columns: number,
  hint: string,
): (row: number, lane: number) => Value {
  const words = 1 + Math.ceil((columns - 1) / lanes);
  const history = rows.map((row, r) => {
    const list: Value[] = [];
    for (let k = 0; k < words; k++)
      list.push(m.reg(k === 0 ? row : list[k - 1]!, { enable: valid, hint: `${hint}_${r}_${k}` }));
    return list.map((w) => m.split(w, u(bits), lanes));
  });
  return (row, lane) => {
    const back = lane < 0 ? Math.ceil(-lane / lanes) : 0;
    return history[row]![back]![lane + back * lanes]!;
  };
}

/**
 * A function of every window that ends at a pixel of the stream; its arguments are the window's pixels, row by row.
 * Results, and their `valid`, are `WINDOW_LATENCY + f.latency` cycles behind the stream.
 */
export function emitWindow(
  m: RtlModuleBuilder,
  device: Device,
  stream: RasterStream,
  shape: WindowShape,
  f: ScalarFunction,
  hint: string,
): { readonly valid: Value; readonly results: readonly Value[] } {
  const lanes = stream.lanes.length;
  const { valid, rows } = rowsAbove(m, device, stream, shape.rows, hint);
  const at = columnsBefore(m, valid, rows, lanes, stream.bits, shape.columns, hint);
  const scalar = new ScalarEmitter(m);
  const results = stream.lanes.map((_, lane) =>
    scalar.emit(
      f,
      Array.from({ length: shape.rows * shape.columns }, (_, k) =>
        at(Math.floor(k / shape.columns), lane - (shape.columns - 1) + (k % shape.columns)),
      ),
      hint,
    ),
  );
  return { valid: m.delay(valid, 1 + f.latency, { reset: 0, hint: `${hint}_valid` }), results };
}
