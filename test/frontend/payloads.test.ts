/** All ways in which ONNX stores the numbers of a tensor. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UserError } from "../../src/diagnostics/index.js";
import { messageType, type TensorProto } from "../../src/frontend/onnx-proto.js";
import { halfToNumber, readTensor } from "../../src/frontend/tensor-data.js";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "payloads-"));
  mkdirSync(join(folder, "model"));
  writeFileSync(join(folder, "secret.bin"), Buffer.alloc(8));
  writeFileSync(join(folder, "model", "w.bin"), Buffer.from(new Float32Array([9, 1.5, -2, 9]).buffer));
  symlinkSync(join(folder, "secret.bin"), join(folder, "model", "link.bin"));
  symlinkSync(folder, join(folder, "model", "up"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Reads a tensor of two elements through the wire format. */
function read(fields: object): number[] {
  const type = messageType("onnx.TensorProto");
  const proto = type.decode(
    type.encode(type.fromObject({ name: "w", dims: [2], ...fields })).finish(),
  ) as unknown as TensorProto;
  return [...readTensor(proto, "w", join(folder, "model", "m.onnx")).data];
}
const raw = (a: ArrayBufferView): Buffer => Buffer.from(a.buffer, a.byteOffset, a.byteLength);

describe("payloads", () => {
  it.each([
    ["float, raw", { dataType: 1, rawData: raw(new Float32Array([1.5, -2])) }, [1.5, -2]],
    ["float, typed", { dataType: 1, floatData: [1.5, -2] }, [1.5, -2]],
    ["uint8", { dataType: 2, rawData: Buffer.from([255, 1]) }, [255, 1]],
    ["int8", { dataType: 3, rawData: Buffer.from([255, 1]) }, [-1, 1]],
    ["int8, typed", { dataType: 3, int32Data: [-1, 1] }, [-1, 1]],
    ["uint16", { dataType: 4, rawData: raw(new Uint16Array([65535, 1])) }, [65535, 1]],
    ["int16", { dataType: 5, rawData: raw(new Int16Array([-2, 1])) }, [-2, 1]],
    ["int32", { dataType: 6, rawData: raw(new Int32Array([-2, 1])) }, [-2, 1]],
    ["int64", { dataType: 7, rawData: raw(new BigInt64Array([-2n, 1n << 40n])) }, [-2, 2 ** 40]],
    ["int64, typed", { dataType: 7, int64Data: [-2, 2 ** 40] }, [-2, 2 ** 40]],
    ["bool", { dataType: 9, rawData: Buffer.from([0, 1]) }, [0, 1]],
    ["float16", { dataType: 10, rawData: raw(new Uint16Array([0x3c00, 0xc100])) }, [1, -2.5]],
    ["float16 as integers", { dataType: 10, int32Data: [0x3c00, 0xc100] }, [1, -2.5]],
    ["double", { dataType: 11, rawData: raw(new Float64Array([0.1, -2])) }, [0.1, -2]],
    ["double, typed", { dataType: 11, doubleData: [0.1, -2] }, [0.1, -2]],
    ["uint32, typed", { dataType: 12, uint64Data: [2 ** 32 - 1, 1] }, [2 ** 32 - 1, 1]],
    ["uint64", { dataType: 13, rawData: raw(new BigUint64Array([1n << 52n, 1n])) }, [2 ** 52, 1]],
    ["bfloat16", { dataType: 16, rawData: raw(new Uint16Array([0x3fc0, 0xc000])) }, [1.5, -2]],
  ] as const)("%s", (_, fields, want) => expect(read(fields)).toEqual(want));

  it("half precision: subnormal, largest, infinite", () => {
    expect([0x0001, 0x7bff, 0xfc00, 0x8000].map(halfToNumber)).toEqual([2 ** -24, 65504, -Infinity, -0]);
    expect(halfToNumber(0x7e00)).toBeNaN();
  });
});

const external = (location: string, more: Readonly<Record<string, string>> = {}): object => ({
  dataType: 1,
  dataLocation: 1,
  externalData: Object.entries({ location, ...more }).map(([key, value]) => ({ key, value })),
});

describe("external data", () => {
  it("is read at its offset", () => expect(read(external("w.bin", { offset: "4", length: "8" }))).toEqual([1.5, -2]));

  it.each([
    ["a parent folder", external("../secret.bin"), /outside the model's folder/],
    ["a backslash", external("..\\secret.bin"), /outside the model's folder/],
    ["an absolute path", external("/etc/hostname"), /outside the model's folder/],
    ["a URL", external("http://example.invalid/w.bin"), /outside the model's folder/],
    ["a link", external("link.bin"), /not a plain file/],
    ["a folder behind a link", external("up/secret.bin"), /leads out of the model's folder/],
    ["a folder", external("."), /not a plain file/],
    ["nothing", external(""), /no location/],
    ["a missing file", external("none.bin"), /cannot be read/],
    ["another length", external("w.bin", { length: "4" }), /4 bytes of external data where 8 are needed/],
    ["a length beyond the end", external("w.bin", { offset: "12", length: "8" }), /beyond the end/],
    ["an offset that is no number", external("w.bin", { offset: "x", length: "8" }), /beyond the end/],
  ] as const)("refuses %s", (_, fields, says) => {
    expect(() => read(fields)).toThrow(UserError);
    expect(() => read(fields)).toThrow(says);
  });
});

describe("damaged payloads", () => {
  it.each([
    [
      "bytes that are no whole number of elements",
      { dataType: 1, rawData: Buffer.alloc(7) },
      /7 bytes of data for 2 elements of 4 bytes/,
    ],
    ["two payloads", { dataType: 1, rawData: Buffer.alloc(8), floatData: [1, 2] }, /twice/],
    ["an undefined type", { dataType: 99 }, /data type 99/],
    ["texts", { dataType: 8, stringData: [Buffer.from("a")] }, /string data/],
    ["a shape beyond memory", { dims: [2 ** 32, 2 ** 32], dataType: 1 }, /elements, more than/],
  ] as const)("refuses %s", (_, fields, says) => expect(() => read(fields)).toThrow(says));
});
