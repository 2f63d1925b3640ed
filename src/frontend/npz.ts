/** NumPy's .npy and .npz files. @source numpy.lib.format, versions 1 to 3 */
import { unzipSync, zipSync } from "fflate";
import { UserError } from "../diagnostics/index.js";
import { halfToNumber } from "./tensor-data.js";

export interface NumericArray {
  readonly shape: readonly number[];
  /** Row-major. */
  readonly data: Float64Array;
}

type Reader = (v: DataView, offset: number, little: boolean) => number;

const READERS: Readonly<Record<string, { readonly bytes: number; readonly read: Reader }>> = {
  f2: { bytes: 2, read: (v, o, l) => halfToNumber(v.getUint16(o, l)) },
  f4: { bytes: 4, read: (v, o, l) => v.getFloat32(o, l) },
  f8: { bytes: 8, read: (v, o, l) => v.getFloat64(o, l) },
  i1: { bytes: 1, read: (v, o) => v.getInt8(o) },
  i2: { bytes: 2, read: (v, o, l) => v.getInt16(o, l) },
  i4: { bytes: 4, read: (v, o, l) => v.getInt32(o, l) },
  i8: { bytes: 8, read: (v, o, l) => Number(v.getBigInt64(o, l)) },
  u1: { bytes: 1, read: (v, o) => v.getUint8(o) },
  u2: { bytes: 2, read: (v, o, l) => v.getUint16(o, l) },
  u4: { bytes: 4, read: (v, o, l) => v.getUint32(o, l) },
  u8: { bytes: 8, read: (v, o, l) => Number(v.getBigUint64(o, l)) },
  b1: { bytes: 1, read: (v, o) => v.getUint8(o) },
};

interface NpyHeader {
  readonly shape: readonly number[];
  /** Kind and bytes of an element, such as `u2`. */
  readonly type: string;
  readonly little: boolean;
  readonly fortran: boolean;
  /** First byte of the data, and how many elements there are. */
  readonly start: number;
  readonly count: number;
}

/** @errors NP001 */
function readHeader(bytes: Uint8Array, name: string): NpyHeader {
  const fail = (reason: string): UserError => UserError.of("NP001", { reason }, { file: name });
  if (bytes.length < 12 || bytes[0] !== 0x93 || String.fromCharCode(...bytes.subarray(1, 6)) !== "NUMPY")
    throw fail("it is not a NumPy array");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerBytes = bytes[6]! === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  const start = (bytes[6]! === 1 ? 10 : 12) + headerBytes;
  if (start > bytes.length) throw fail("it ends within its header");
  const header = new TextDecoder("latin1").decode(bytes.subarray(start - headerBytes, start));
  const descr = /'descr':\s*'([<>|=]?)([a-z])(\d+)'/.exec(header);
  const shapeText = /'shape':\s*\(([^)]*)\)/.exec(header);
  const reader = descr === null ? undefined : READERS[`${descr[2]}${descr[3]}`];
  if (reader === undefined || shapeText === null)
    throw fail(`its element type is not numeric (${/'descr':\s*([^,]+)/.exec(header)?.[1] ?? "unknown"})`);
  const shape = shapeText[1]!
    .split(",")
    .map((s) => s.trim())
    .filter((s) => s !== "")
    .map(Number);
  const count = shape.reduce((n, d) => n * d, 1);
  if (!Number.isSafeInteger(count) || start + count * reader.bytes > bytes.length)
    throw fail(`it has fewer data than its shape [${shape.join(", ")}] says; it may be truncated`);
  return {
    shape,
    type: `${descr![2]}${descr![3]}`,
    little: descr![1] !== ">",
    fortran: /'fortran_order':\s*True/.test(header),
    start,
    count,
  };
}

/** Reads a .npy file. @errors NP001 */
export function readNpy(bytes: Uint8Array, name: string): NumericArray {
  const { shape, type, little, fortran, start, count } = readHeader(bytes, name);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const reader = READERS[type]!;
  const data = new Float64Array(count);
  for (let i = 0; i < count; i++) data[i] = reader.read(view, start + i * reader.bytes, little);
  return { shape, data: fortran ? fromFortran(shape, data) : data };
}

const ARRAYS = {
  u1: Uint8Array,
  b1: Uint8Array,
  i1: Int8Array,
  u2: Uint16Array,
  i2: Int16Array,
  u4: Uint32Array,
  i4: Int32Array,
  f4: Float32Array,
  f8: Float64Array,
} as const;

/** Numbers in the type of the file, where JavaScript has it; otherwise in double precision. */
export interface TypedNumbers {
  readonly shape: readonly number[];
  readonly data:
    | Uint8Array
    | Int8Array
    | Uint16Array
    | Int16Array
    | Uint32Array
    | Int32Array
    | Float32Array
    | Float64Array;
  /** As NumPy calls it, such as `uint16`. */
  readonly type: string;
}

const NUMPY_KINDS: Readonly<Record<string, string>> = { u: "uint", i: "int", f: "float", b: "bool" };

/** As `readNpy`, without a detour through doubles: for arrays of many numbers. @errors NP001 */
export function readTypedNpy(bytes: Uint8Array, name: string): TypedNumbers {
  const { shape, type, little, fortran, start, count } = readHeader(bytes, name);
  const numpy = `${NUMPY_KINDS[type[0]!]}${type[0] === "b" ? "" : 8 * Number(type.slice(1))}`;
  const make = ARRAYS[type as keyof typeof ARRAYS] as (typeof ARRAYS)[keyof typeof ARRAYS] | undefined;
  if (make === undefined || fortran || (!little && make.BYTES_PER_ELEMENT > 1))
    return { shape, data: readNpy(bytes, name).data, type: numpy };
  const from = bytes.byteOffset + start;
  const buffer = bytes.buffer.slice(from, from + count * make.BYTES_PER_ELEMENT) as ArrayBuffer;
  return { shape, data: new make(buffer), type: numpy };
}

/** The .npy files in a .npz file by name, or the file itself under an empty name. @errors NP001 */
export function npyFiles(bytes: Uint8Array, file: string): Map<string, Uint8Array> {
  if (bytes[0] === 0x93) return new Map([["", bytes]]);
  try {
    const entries = Object.entries(unzipSync(bytes));
    return new Map(entries.map(([entry, content]) => [entry.replace(/\.npy$/, ""), content]));
  } catch {
    throw UserError.of("NP001", { reason: "it is neither a .npy nor a .npz file, or it is truncated" }, { file });
  }
}

function fromFortran(shape: readonly number[], data: Float64Array): Float64Array {
  const out = new Float64Array(data.length);
  const p = shape.map(() => 0);
  const strides = shape.map((_, d) => shape.slice(0, d).reduce((n, v) => n * v, 1));
  for (let i = 0; i < out.length; i++) {
    out[i] = data[p.reduce((o, v, d) => o + v * strides[d]!, 0)]!;
    for (let d = p.length - 1; d >= 0 && ++p[d]! === shape[d]; d--) p[d] = 0;
  }
  return out;
}

/**
 * Arrays by name; a .npy file gives one array with an empty name. Arrays that are not numeric are left out. @errors
 * NP001
 */
export function readArrays(bytes: Uint8Array, file: string): Map<string, NumericArray> {
  const files = npyFiles(bytes, file);
  if (files.has("")) return new Map([["", readNpy(bytes, file)]]);
  const arrays = new Map<string, NumericArray>();
  for (const [name, content] of files) {
    try {
      arrays.set(name, readNpy(content, `${file}:${name}`));
    } catch (e) {
      // Texts and objects may lie beside the numbers; they are nobody's input.
      if (!(e instanceof UserError) || !/not numeric/.test(e.message)) throw e;
    }
  }
  return arrays;
}

export interface OutputArray {
  readonly shape: readonly number[];
  readonly data: Float32Array | Float64Array | Int32Array;
}

/** A .npy file: float32 for Float32Array, float64, or int32. */
export function writeNpy(a: OutputArray): Uint8Array {
  const descr = a.data instanceof Float32Array ? "<f4" : a.data instanceof Int32Array ? "<i4" : "<f8";
  const shape = a.shape.length === 1 ? `${a.shape[0]},` : a.shape.join(", ");
  let header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape}), }`;
  header += `${" ".repeat(63 - ((10 + header.length) % 64))}\n`;
  const out = new Uint8Array(10 + header.length + a.data.byteLength);
  out.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length & 255, header.length >> 8]);
  out.set(new TextEncoder().encode(header), 10);
  out.set(new Uint8Array(a.data.buffer, a.data.byteOffset, a.data.byteLength), 10 + header.length);
  return out;
}

export function writeNpz(arrays: ReadonlyMap<string, OutputArray>): Uint8Array {
  // A fixed date keeps the file the same for the same numbers.
  return zipSync(Object.fromEntries([...arrays].map(([name, a]) => [`${name}.npy`, writeNpy(a)])), {
    mtime: "1980-01-01T00:00:00",
  });
}

export interface InputSpec {
  readonly name: string;
  readonly shape: readonly number[];
}

export interface InputData {
  readonly samples: number;
  /** Per input, all samples one after the other. */
  readonly data: readonly Float64Array[];
}

/**
 * Finds the arrays of the network's inputs: by name, or the only array for an only input. The first axis counts
 * samples.
 *
 * @errors NP002 missing array, NP003 shape, NP004 NaN or infinity, NP005 different numbers of samples
 */
export function matchInputs(
  arrays: ReadonlyMap<string, NumericArray>,
  inputs: readonly InputSpec[],
  file: string,
): InputData {
  let samples: number | undefined;
  const data = inputs.map((input) => {
    const [name, array] = findArray(arrays, input, inputs.length, file);
    const size = input.shape.reduce((n, d) => n * d, 1);
    const n = samplesIn(array, input);
    if (n === undefined)
      throw UserError.of(
        "NP003",
        {
          name: name === "" ? input.name : name,
          have: array.shape.join(", "),
          want: ["N", ...sampleShape(input.shape)].join(", "),
        },
        { file, tensor: input.name },
      );
    if (n === 0) throw UserError.of("NP002", { want: input.name, have: `an empty array ${name}` }, { file });
    samples ??= n;
    if (samples !== n)
      throw UserError.of("NP005", { name: input.name, have: n, want: samples }, { file, tensor: input.name });
    const bad = array.data.findIndex((v) => !Number.isFinite(v));
    if (bad >= 0)
      throw UserError.of(
        "NP004",
        {
          name: name === "" ? input.name : name,
          value: Number.isNaN(array.data[bad]) ? "NaN" : "infinite",
          sample: Math.floor(bad / size),
        },
        { file, tensor: input.name },
      );
    return array.data;
  });
  return { samples: samples ?? 0, data };
}

function sampleShape(shape: readonly number[]): readonly number[] {
  return shape[0] === 1 ? shape.slice(1) : shape;
}

/** Samples that an array holds for an input; undefined where the shapes do not fit. */
function samplesIn(array: NumericArray, input: InputSpec): number | undefined {
  const significant = (s: readonly number[]): string => s.filter((d) => d !== 1).join();
  const size = input.shape.reduce((n, d) => n * d, 1);
  const [first, ...rest] = array.shape;
  if (first === undefined) return undefined;
  if (input.shape[0] === 1 || array.shape.length > input.shape.length) {
    if (significant(rest) === significant(input.shape)) return first;
  } else if (
    array.shape.length === input.shape.length &&
    first % input.shape[0]! === 0 &&
    rest.join() === input.shape.slice(1).join()
  ) {
    return first / input.shape[0]!;
  }
  // A single sample without the counting axis.
  return significant(array.shape) === significant(input.shape) && array.data.length === size ? 1 : undefined;
}

function findArray(
  arrays: ReadonlyMap<string, NumericArray>,
  input: InputSpec,
  inputCount: number,
  file: string,
): [string, NumericArray] {
  const exact = arrays.get(input.name);
  if (exact !== undefined) return [input.name, exact];
  const have = [...arrays.keys()].filter((k) => k !== "");
  if (inputCount === 1) {
    if (arrays.size === 1) return [...arrays][0]!;
    // Data sets come with truth and references; the only array that fits is meant.
    const fitting = [...arrays].filter(([, a]) => samplesIn(a, input) !== undefined && a.shape.length >= 2);
    if (fitting.length === 1) return fitting[0]!;
  }
  throw UserError.of(
    "NP002",
    { want: input.name, have: have.length === 0 ? "no named arrays" : have.join(", ") },
    { file },
  );
}
