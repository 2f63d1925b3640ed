/**
 * The port of a raster: beats of pixels with marks in, corrected pixels with their places out. It takes a beat in every
 * cycle. A frame begins where TUSER says so, and ends with its last pixel or with the next beginning; beats between
 * frames are left out. Places are counted from the beginning, so a mark at a wrong place is a flag, nothing else.
 */
import { allocate, Dense } from "../../ir/attributes.js";
import type { Module, Op, Value } from "../../ir/core.js";
import { RtlModuleBuilder, u, type Port } from "../../ir/rtl/builder.js";
import { addressWidth } from "../../ir/rtl/semantics.js";
import { ufixed } from "../../ir/types.js";
import type { BodyBuilder } from "../../passes/lower/context.js";
import { FLAT_FRAC, type Planes } from "../../sensor/correct.js";
import { FRAME_FLAGS } from "../../sensor/records.js";
import { beatsPerFrame, beatsPerRow, type Sensor, valueBits } from "../../sensor/sensor.js";
import { romStorage } from "../device/storage.js";
import { ScalarEmitter, type ScalarFunction, scalarFunction, type Target } from "./scalar.js";

/** Factor of the flat field. */
const FACTOR = ufixed(16, FLAT_FRAC);

/** Timing of the port: cycles from a beat to what it says. */
export interface PixelPortPlan {
  /** To its place, where nothing waits for the pixels. */
  readonly place: number;
  /** To the corrected pixels. */
  readonly values: number;
}

interface Correction {
  readonly value: ScalarFunction;
  /** 1 where a pixel that is used was clipped; undefined where none can be. */
  readonly clipped: ScalarFunction | undefined;
  readonly takes: readonly ("dark" | "mask" | "flat")[];
}

/** The correction of one pixel as scalar functions: see `sensor/correct.ts` for what they compute. */
function correction(sensor: Sensor, planes: Planes, target: Target): Correction {
  const pixel = ufixed(sensor.pixelBits, 0);
  const value = ufixed(valueBits(sensor), 0);
  const perPixelDark = sensor.dark.kind !== "number";
  const masked =
    planes.mask !== undefined || sensor.columns % sensor.pixelsPerBeat !== 0 || sensor.dark.kind === "stream";
  const takes = [
    ...(perPixelDark ? (["dark"] as const) : []),
    ...(masked ? (["mask"] as const) : []),
    ...(planes.flat === undefined ? [] : (["flat"] as const)),
  ];
  const types = [pixel, ...takes.map((t) => (t === "dark" ? pixel : t === "mask" ? ufixed(1, 0) : FACTOR))];
  const unlimited = (b: BodyBuilder, args: readonly Value[]): { v: Value; used: (x: Value) => Value } => {
    const of = (name: "dark" | "mask" | "flat"): Value | undefined =>
      takes.includes(name) ? args[1 + takes.indexOf(name)] : undefined;
    const zero = b.constant(0, ufixed(1, 0));
    const constant = sensor.dark.kind === "number" ? sensor.dark.counts : 0;
    const dark = of("dark") ?? (constant === 0 ? undefined : b.constant(constant, pixel));
    let v = dark === undefined ? args[0]! : b.max(b.sub(args[0]!, dark), zero);
    const flat = of("flat");
    if (flat !== undefined) v = b.requantize(b.mul(v, flat), ufixed(pixel.width + 2, 0), "half-up", "saturate");
    const mask = of("mask");
    return { v, used: (x) => (mask === undefined ? x : b.selectNegative(b.sub(zero, mask), zero, x)) };
  };
  const clips = sensor.pixelBits > value.width || planes.flat !== undefined;
  return {
    takes,
    value: scalarFunction(target, types, (b, args) => {
      const { v, used } = unlimited(b, args);
      const limited = clips ? b.requantize(v, value, "floor", "saturate") : b.cast(v, value);
      const threshold = b.constant(sensor.threshold, value);
      const zero = b.constant(0, value);
      return used(sensor.threshold <= 1 ? limited : b.selectNegative(b.sub(limited, threshold), zero, limited));
    }),
    clipped: clips
      ? scalarFunction(target, types, (b, args) => {
          const { v, used } = unlimited(b, args);
          const [zero, one] = [0, 1].map((n) => b.constant(n, ufixed(1, 0))) as [Value, Value];
          return used(b.selectNegative(b.sub(b.constant(2 ** value.width - 1, value), v), one, zero));
        })
      : undefined,
  };
}

/** Whether planes of the description are read from memory in the port. */
function hasTables(sensor: Sensor, planes: Planes): boolean {
  return sensor.dark.kind === "file" || planes.mask !== undefined || planes.flat !== undefined;
}

export function planPixelPort(sensor: Sensor, planes: Planes, target: Target): PixelPortPlan {
  const { value, clipped } = correction(sensor, planes, target);
  const read = hasTables(sensor, planes) ? 1 : 0;
  return { place: 1, values: 1 + read + Math.max(value.latency, clipped?.latency ?? 0) };
}

/**
 * Emits the port. Outputs `place_valid`, `place_row`, `place_beat`, `place_complete`, `place_cut` in the cycle behind a beat; `valid`, `values` (the
 * first column lowest), and `complete` or `cut`, with `flags`, where a frame ends, with the values. A frame that is cut
 * ends before the beat that comes with `cut`.
 */
export function emitPixelPort(module: Module, name: string, sensor: Sensor, planes: Planes, target: Target): Op {
  const { pixelsPerBeat: lanes, pixelBits, rows, columns } = sensor;
  const beats = beatsPerRow(sensor);
  const streamed = sensor.dark.kind === "stream";
  const inputs: Port[] = [
    { name: "tvalid", type: u(1) },
    { name: "tdata", type: u(lanes * pixelBits) },
    { name: "tuser", type: u(1) },
    { name: "tlast", type: u(1) },
    ...(streamed
      ? [
          { name: "dark_tvalid", type: u(1) },
          { name: "dark_tdata", type: u(lanes * pixelBits) },
          { name: "dark_tuser", type: u(1) },
        ]
      : []),
  ];
  const m = new RtlModuleBuilder(module, name, inputs);
  const { value, clipped, takes } = correction(sensor, planes, target);
  const plan = planPixelPort(sensor, planes, target);
  const [zero, one] = [m.constant(0, u(1)), m.constant(1, u(1))];

  // Where the beat belongs.
  const [rowType, beatType] = [u(addressWidth(rows)), u(addressWidth(beats))];
  const active = m.regDeclare(u(1), { reset: 0, hint: "in_frame" });
  const nextRow = m.regDeclare(rowType, { reset: 0, hint: "next_row" });
  const nextBeat = m.regDeclare(beatType, { reset: 0, hint: "next_beat" });
  const valid = m.input("tvalid");
  const start = m.and(valid, m.input("tuser"), "start");
  const accept = m.or(start, m.and(valid, active), "accept");
  const cut = m.and(start, active, "cut");
  const row = m.mux(start, m.constant(0, rowType), nextRow, rowType, "row");
  const beat = m.mux(start, m.constant(0, beatType), nextBeat, beatType, "beat");
  const lastBeat = m.eq(beat, m.constant(beats - 1), "last_beat");
  const complete = m.all([accept, lastBeat, m.eq(row, m.constant(rows - 1))], "complete");
  m.connect(active, m.not(complete), accept);
  m.connect(nextBeat, m.mux(lastBeat, m.constant(0, beatType), m.add(beat, m.constant(1), beatType), beatType), accept);
  m.connect(nextRow, m.mux(lastBeat, m.add(row, m.constant(1), rowType), row, rowType), accept);

  // What is wrong with it.
  const marked = m.input("tlast");
  const stray = m.all([valid, m.not(active), m.not(m.input("tuser"))], "stray");
  const wrongLine = sensor.endOf === "line" ? m.and(accept, m.xor(marked, lastBeat)) : zero;
  const early = sensor.endOf === "frame" ? m.all([accept, marked, m.not(complete)]) : zero;
  const late = sensor.endOf === "frame" ? m.and(complete, m.not(marked)) : zero;
  let darkMissing: Value = zero;
  const outputs: Record<string, Value> = {};
  if (streamed) {
    // A dark that does not begin with its frame is passed over until one begins; the pixels meanwhile count as masked.
    const lost = m.regDeclare(u(1), { reset: 0, hint: "dark_lost" });
    const [darkValid, darkStart] = [m.input("dark_tvalid"), m.input("dark_tuser")];
    const matches = m.and(darkValid, m.not(m.xor(darkStart, m.input("tuser"))), "dark_matches");
    const missing = m.or(m.not(matches), m.and(lost, m.not(start)), "dark_missing");
    m.connect(lost, missing, accept);
    darkMissing = m.and(accept, missing);
    const together = m.all([accept, m.not(missing)]);
    outputs["dark_tready"] = m.or(together, m.all([darkValid, m.not(darkStart), lost]), "dark_ready");
  }

  // First stage.
  const validAt = m.reg(accept, { reset: 0, hint: "place_valid" });
  const rowAt = m.reg(row, { hint: "place_row" });
  const beatAt = m.reg(beat, { hint: "place_beat" });
  const pixels = m.split(m.reg(m.input("tdata"), { hint: "raw" }), u(pixelBits), lanes);
  const darks = streamed ? m.split(m.reg(m.input("dark_tdata"), { hint: "dark" }), u(pixelBits), lanes) : undefined;
  const extra = (columns - 1) % lanes;
  const padded = extra === lanes - 1 ? undefined : m.reg(lastBeat, { hint: "padded" });
  const gone = streamed ? m.reg(darkMissing, { hint: "gone" }) : undefined;
  const marks = m.reg(flagWord(m, { short: early, long: m.or(stray, late), line: wrongLine, no_dark: darkMissing }), {
    reset: 0,
    hint: "marks",
  });
  const side = {
    complete: m.reg(complete, { reset: 0, hint: "complete" }),
    cut: m.reg(cut, { reset: 0, hint: "cut" }),
  };

  // Tables are read while the pixels wait for a cycle.
  const read = hasTables(sensor, planes) ? 1 : 0;
  const tables = new Map<string, Value[]>();
  if (read === 1) {
    const type = u(addressWidth(beatsPerFrame(sensor)));
    const nextAddress = m.regDeclare(type, { reset: 0, hint: "next_address" });
    const address = m.mux(start, m.constant(0, type), nextAddress, type);
    m.connect(nextAddress, m.add(address, one, type), accept);
    const addressAt = m.reg(address, { hint: "address" });
    const table = (key: string, plane: ArrayLike<number>, bits: number): void => {
      const values = planeWords(sensor, plane, bits);
      const style = romStorage(target.device, values, true).style;
      tables.set(key, m.split(m.rom(addressAt, values, { readLatency: 1, style, hint: key }), u(bits), lanes));
    };
    if (sensor.dark.kind === "file") table("dark", planes.dark!, pixelBits);
    if (planes.mask !== undefined)
      table(
        "mask",
        Uint8Array.from(planes.mask, (v) => (v === 0 ? 0 : 1)),
        1,
      );
    if (planes.flat !== undefined) table("flat", planes.flat, 16);
  }
  const waited = (v: Value): Value => m.delay(v, read);
  const scalar = new ScalarEmitter(m);
  const functions = [value, ...(clipped === undefined ? [] : [clipped])];
  const results = functions.map((f, k) =>
    pixels.map((p, lane) => {
      const args = [
        waited(p),
        ...takes.map((t) => {
          if (t === "dark") return darks === undefined ? tables.get("dark")![lane]! : waited(darks[lane]!);
          if (t === "flat") return tables.get("flat")![lane]!;
          const reasons = [
            ...(tables.has("mask") ? [tables.get("mask")![lane]!] : []),
            ...(padded !== undefined && lane > extra ? [waited(padded)] : []),
            ...(gone === undefined ? [] : [waited(gone)]),
          ];
          return m.any(reasons);
        }),
      ];
      const y = scalar.emit(f, args, k === 0 ? "value" : "clipped");
      return m.delay(y, plan.values - 1 - read - f.latency);
    }),
  );
  const behind = (v: Value, hint: string): Value => m.delay(v, plan.values - 1, { reset: 0, hint });
  const clip = results[1] === undefined ? zero : m.and(behind(validAt, "valid"), m.any(results[1]));
  // Flags of a frame gather until it ends; those of the beat that cuts it are the next frame's.
  const now = m.or(behind(marks, "marks"), flagWord(m, { clipped: clip }), "flags_now");
  const gathered = m.regDeclare(u(8), { reset: 0, hint: "flags" });
  const [done, cutAt] = [behind(side.complete, "complete"), behind(side.cut, "cut")];
  const all = m.or(gathered, now);
  m.connect(gathered, m.mux(cutAt, now, m.mux(done, m.constant(0, u(8)), all)));
  return m.finish({
    ...outputs,
    place_valid: validAt,
    place_row: rowAt,
    place_beat: beatAt,
    place_complete: side.complete,
    place_cut: side.cut,
    valid: behind(validAt, "valid"),
    values: m.concat([...results[0]!].reverse(), "values"),
    complete: done,
    cut: cutAt,
    flags: m.mux(cutAt, m.or(gathered, flagWord(m, { short: one })), all),
  });
}

/** Flags of a frame as a word of 8 bits. */
export function flagWord(m: RtlModuleBuilder, flags: Partial<Record<keyof typeof FRAME_FLAGS, Value>>): Value {
  const word = Array.from({ length: 8 }, () => m.constant(0, u(1)));
  for (const [name, value] of Object.entries(flags)) word[FRAME_FLAGS[name as keyof typeof FRAME_FLAGS]] = value;
  return m.concat(word.reverse());
}

/** A number per pixel as words of a beat, the first column lowest; zeros in what is padded. */
function planeWords(sensor: Sensor, plane: ArrayLike<number>, bits: number): Dense {
  const { rows, columns, pixelsPerBeat: lanes } = sensor;
  const beats = beatsPerRow(sensor);
  const elem = ufixed(bits, 0);
  const data = allocate(elem, rows * beats * lanes);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) data[r * beats * lanes + c] = plane[r * columns + c]!;
  return new Dense([rows * beats, lanes], elem, data);
}
