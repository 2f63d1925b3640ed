/** Payloads of ONNX tensors: raw bytes, typed fields, or a file beside the model. */
import { lstatSync, openSync, readSync, closeSync, realpathSync } from "node:fs";
import { dirname, isAbsolute, join, sep } from "node:path";
import { UserError } from "../diagnostics/index.js";
import { toNumber, type TensorProto } from "./onnx-proto.js";

/** A constant known at import. Integers up to 2^53 are exact. */
export interface ConstTensor {
  readonly shape: readonly number[];
  readonly data: Float64Array;
  readonly integer: boolean;
}

interface DataType {
  readonly name: string;
  readonly bytes: number;
  readonly integer: boolean;
  readonly read?: (view: DataView, offset: number) => number;
}

/** By ONNX's numbers. @source onnx.proto, TensorProto.DataType */
const DATA_TYPES: Readonly<Record<number, DataType>> = {
  1: { name: "float", bytes: 4, integer: false, read: (v, o) => v.getFloat32(o, true) },
  2: { name: "uint8", bytes: 1, integer: true, read: (v, o) => v.getUint8(o) },
  3: { name: "int8", bytes: 1, integer: true, read: (v, o) => v.getInt8(o) },
  4: { name: "uint16", bytes: 2, integer: true, read: (v, o) => v.getUint16(o, true) },
  5: { name: "int16", bytes: 2, integer: true, read: (v, o) => v.getInt16(o, true) },
  6: { name: "int32", bytes: 4, integer: true, read: (v, o) => v.getInt32(o, true) },
  7: { name: "int64", bytes: 8, integer: true, read: (v, o) => Number(v.getBigInt64(o, true)) },
  8: { name: "string", bytes: 0, integer: false },
  9: { name: "bool", bytes: 1, integer: true, read: (v, o) => (v.getUint8(o) === 0 ? 0 : 1) },
  10: { name: "float16", bytes: 2, integer: false, read: (v, o) => halfToNumber(v.getUint16(o, true)) },
  11: { name: "double", bytes: 8, integer: false, read: (v, o) => v.getFloat64(o, true) },
  12: { name: "uint32", bytes: 4, integer: true, read: (v, o) => v.getUint32(o, true) },
  13: { name: "uint64", bytes: 8, integer: true, read: (v, o) => Number(v.getBigUint64(o, true)) },
  21: {
    name: "uint4",
    bytes: 0.5,
    integer: true,
    read: (v, o) => (v.getUint8(Math.floor(o)) >> (o % 1 === 0 ? 0 : 4)) & 15,
  },
  22: {
    name: "int4",
    bytes: 0.5,
    integer: true,
    read: (v, o) => (((v.getUint8(Math.floor(o)) >> (o % 1 === 0 ? 0 : 4)) & 15) ^ 8) - 8,
  },
  16: { name: "bfloat16", bytes: 2, integer: false, read: (v, o) => bfloatToNumber(v.getUint16(o, true)) },
};

export function dataTypeName(type: number): string {
  return DATA_TYPES[type]?.name ?? `number ${type}`;
}
/** Floating point, integers, truth values; not strings and complex numbers. */
export function isNumberType(type: number): boolean {
  return DATA_TYPES[type] !== undefined && type !== 8;
}

export function isIntegerType(type: number): boolean {
  return DATA_TYPES[type]?.integer === true;
}

/** Limits of an integer type of up to 16 bits. */
export function integerRange(type: number): { lo: number; hi: number } | undefined {
  const bits = { 2: 8, 3: 8, 4: 16, 5: 16, 21: 4, 22: 4 }[type];
  if (bits === undefined) return undefined;
  const signed = type === 3 || type === 5 || type === 22;
  return signed ? { lo: -(2 ** (bits - 1)), hi: 2 ** (bits - 1) - 1 } : { lo: 0, hi: 2 ** bits - 1 };
}

/** IEEE half precision. */
export function halfToNumber(h: number): number {
  const sign = h & 0x8000 ? -1 : 1;
  const exp = (h >> 10) & 31;
  const man = h & 1023;
  if (exp === 31) return man === 0 ? sign * Infinity : NaN;
  return exp === 0 ? sign * man * 2 ** -24 : sign * (1 + man / 1024) * 2 ** (exp - 15);
}
const scratch = new DataView(new ArrayBuffer(4));
function bfloatToNumber(b: number): number {
  scratch.setUint16(0, b);
  scratch.setUint16(2, 0);
  return scratch.getFloat32(0);
}

/** Elements beyond this are no network for a microsecond. */
const MAX_ELEMENTS = 2 ** 28;

/** Decodes and checks a tensor. @errors ON010 .. ON014 */
export function readTensor(t: TensorProto, name: string, modelFile: string): ConstTensor {
  const fail = (what: string, hint = "export the model again"): UserError =>
    UserError.of("ON010", { what, hint }, { file: modelFile, tensor: name });
  const type = DATA_TYPES[t.dataType];
  if (type === undefined)
    throw fail(`has data type ${t.dataType}, which ONNX does not define or this compiler does not read`);
  if (type.read === undefined) throw fail(`holds ${type.name} data, which has no numbers`);
  const shape = t.dims.map(toNumber);
  const bad = shape.find((d) => d < 0 || !Number.isSafeInteger(d));
  if (bad !== undefined) throw fail(`has a dimension of ${bad}`);
  const count = shape.reduce((n, d) => n * d, 1);
  if (count > MAX_ELEMENTS) throw fail(`has ${shape.join("x")} = ${count} elements, more than ${MAX_ELEMENTS}`);
  const size = Math.ceil(count * type.bytes);
  const raw = t.dataLocation === 1 ? externalBytes(t, modelFile, size, fail) : t.rawData;
  const typed = type.bytes === 0.5 ? nibbles(t.int32Data, type, count) : typedField(t);
  if (raw.length > 0 && typed.length > 0) throw fail("holds its data twice, as raw_data and in a typed field");
  const data = new Float64Array(count);
  if (raw.length > 0) {
    if (raw.length !== size) throw fail(`has ${raw.length} bytes of data for ${count} elements of ${type.bytes} bytes`);
    const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
    for (let i = 0; i < count; i++) data[i] = type.read(view, i * type.bytes);
  } else {
    if (typed.length !== count)
      throw fail(
        typed.length === 0
          ? `has no data for its ${count} elements`
          : `has ${typed.length} values for ${count} elements`,
      );
    const bits = t.dataType === 10 ? halfToNumber : t.dataType === 16 ? bfloatToNumber : (v: number): number => v;
    for (let i = 0; i < count; i++) data[i] = bits(typed[i]!);
  }
  return { shape, data, integer: type.integer };
}

/** Two numbers of 4 bits in each byte, the first in the low half. */
function nibbles(bytes: readonly number[], type: DataType, count: number): number[] {
  const view = new DataView(Uint8Array.from(bytes).buffer);
  return Array.from({ length: Math.min(count, 2 * bytes.length) }, (_, i) => type.read!(view, i / 2));
}

function typedField(t: TensorProto): readonly number[] {
  switch (t.dataType) {
    case 1:
      return t.floatData;
    case 7:
      return t.int64Data.map(toNumber);
    case 11:
      return t.doubleData;
    case 12:
    case 13:
      return t.uint64Data.map(toNumber);
    default:
      return t.int32Data;
  }
}

/** Bytes from a file inside the model's folder; links that lead out of it are refused. */
function externalBytes(
  t: TensorProto,
  modelFile: string,
  expected: number,
  fail: (what: string, hint?: string) => UserError,
): Uint8Array {
  const entry = (key: string): string | undefined => t.externalData.find((e) => e.key === key)?.value;
  const location = entry("location");
  if (location === undefined || location === "") throw fail("keeps its data outside the model but names no location");
  const parts = location.split(/[\\/]/);
  if (isAbsolute(location) || location.includes("\\") || location.includes(":") || parts.includes(".."))
    throw fail(`keeps its data at "${location}", outside the model's folder`, "keep external data beside the model");
  const folder = dirname(modelFile);
  const path = join(folder, location);
  let size: number;
  try {
    const info = lstatSync(path);
    if (!info.isFile()) throw fail(`keeps its data at "${location}", which is not a plain file`);
    if (!realpathSync(path).startsWith(realpathSync(folder) + sep))
      throw fail(`keeps its data at "${location}", which leads out of the model's folder`);
    size = info.size;
  } catch (e) {
    if (e instanceof UserError) throw e;
    throw fail(`keeps its data at "${location}", which cannot be read`, "put the file beside the model");
  }
  const offset = Number(entry("offset") ?? 0);
  const length = Number(entry("length") ?? size - offset);
  if (length !== expected) throw fail(`has ${length} bytes of external data where ${expected} are needed`);
  if (!(offset >= 0) || offset + length > size) throw fail(`reaches beyond the end of "${location}" (${size} bytes)`);
  const bytes = new Uint8Array(length);
  const fd = openSync(path, "r");
  try {
    readSync(fd, bytes, 0, length, offset);
  } finally {
    closeSync(fd);
  }
  return bytes;
}
