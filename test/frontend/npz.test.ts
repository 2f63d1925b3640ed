/** NumPy files: round trip, all element types, and data that does not fit the network. */
import fc from "fast-check";
import { zipSync } from "fflate";
import { describe, expect, it } from "vitest";
import { UserError } from "../../src/diagnostics/index.js";
import { matchInputs, readArrays, readNpy, writeNpy, writeNpz, type NumericArray } from "../../src/frontend/npz.js";

/** A .npy file as numpy lays it out, version 1. */
function npy(descr: string, shape: string, data: Uint8Array, fortran = "False"): Uint8Array {
  const header = `${`{'descr': '${descr}', 'fortran_order': ${fortran}, 'shape': (${shape}), }`.padEnd(117)}\n`;
  const length = new Uint8Array(2);
  new DataView(length.buffer).setUint16(0, header.length, true);
  return Uint8Array.of(
    0x93,
    ...new TextEncoder().encode("NUMPY"),
    1,
    0,
    ...length,
    ...new TextEncoder().encode(header),
    ...data,
  );
}
const bytesOf = (a: ArrayBufferView): Uint8Array => new Uint8Array(a.buffer, a.byteOffset, a.byteLength);
const swapped = (a: ArrayBufferView, size: number): Uint8Array => {
  const b = bytesOf(a).slice();
  for (let i = 0; i < b.length; i += size) b.subarray(i, i + size).reverse();
  return b;
};

describe("reading", () => {
  it.each([
    ["<f4", new Float32Array([1.5, -2])],
    ["<f8", new Float64Array([0.1, -2])],
    ["|i1", new Int8Array([-1, 7])],
    ["<i2", new Int16Array([-1, 300])],
    ["<i4", new Int32Array([-1, 1 << 20])],
    ["|u1", new Uint8Array([200, 7])],
    ["<u2", new Uint16Array([65535, 7])],
    ["<u4", new Uint32Array([2 ** 32 - 1, 7])],
  ] as const)("%s, and the other byte order", (descr, data) => {
    expect([...readNpy(npy(descr, "2,", bytesOf(data)), "a").data]).toEqual([...data]);
    if (descr.startsWith("<"))
      expect([...readNpy(npy(descr.replace("<", ">"), "2,", swapped(data, data.BYTES_PER_ELEMENT)), "a").data]).toEqual(
        [...data],
      );
  });
  it("64-bit integers, half precision and booleans", () => {
    expect([...readNpy(npy("<i8", "2,", bytesOf(new BigInt64Array([-3n, 1n << 40n]))), "a").data]).toEqual([
      -3,
      2 ** 40,
    ]);
    expect([...readNpy(npy("<f2", "2,", bytesOf(new Uint16Array([0x3c00, 0xc100]))), "a").data]).toEqual([1, -2.5]);
    expect([...readNpy(npy("|b1", "2,", Uint8Array.of(0, 1)), "a").data]).toEqual([0, 1]);
  });
  it("column-major order is turned", () => {
    expect([...readNpy(npy("|u1", "2, 3", Uint8Array.of(1, 4, 2, 5, 3, 6), "True"), "a").data]).toEqual([
      1, 2, 3, 4, 5, 6,
    ]);
  });
  it("a scalar has no axes", () =>
    expect(readNpy(npy("<f4", "", bytesOf(new Float32Array([3]))), "a")).toEqual({
      shape: [],
      data: Float64Array.of(3),
    }));
  it("texts in an archive are passed over", () => {
    const file = zipSync({
      "names.npy": npy("<U3", "1,", new Uint8Array(12)),
      "x.npy": npy("|u1", "1,", Uint8Array.of(5)),
    });
    expect([...readArrays(file, "a.npz").keys()]).toEqual(["x"]);
  });
  it.each([
    ["no NumPy file", new TextEncoder().encode("x,y\n1,2\n"), /neither a \.npy nor a \.npz/],
    ["truncated data", npy("<f4", "2,", new Uint8Array(7)), /fewer data than its shape \[2\]/],
    ["truncated header", npy("<f4", "2,", new Uint8Array(8)).subarray(0, 40), /within its header/],
    ["objects", npy("|O", "2,", new Uint8Array(8)), /not numeric/],
    [
      "truncated archive",
      writeNpz(new Map([["x", { shape: [2], data: new Float32Array(2) }]])).subarray(0, 50),
      /truncated/,
    ],
  ] as const)("refuses %s", (_, bytes, says) => {
    expect(() => readArrays(bytes, "data.npz")).toThrow(UserError);
    expect(() => readArrays(bytes, "data.npz")).toThrow(says);
  });
});

describe("writing", () => {
  it("round-trips", () => {
    const array = fc.array(fc.nat({ max: 4 }), { maxLength: 4 }).chain((shape) => {
      const n = shape.reduce((a, b) => a * b, 1);
      return fc
        .array(fc.double({ noNaN: true }), { minLength: n, maxLength: n })
        .map((values) => ({ shape, data: Float64Array.from(values) }));
    });
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.string({ minLength: 1 }).filter((s) => !/[\u0000-\u001f]|__proto__/.test(s) && !s.endsWith("/")),
          array,
          { maxKeys: 3 },
        ),
        (arrays) => {
          const back = readArrays(writeNpz(new Map(Object.entries(arrays))), "a.npz");
          expect([...back.keys()].sort()).toEqual(Object.keys(arrays).sort());
          for (const [name, a] of Object.entries(arrays)) {
            expect(back.get(name)!.shape).toEqual(a.shape);
            // Object.is tells -0 from 0.
            expect(back.get(name)!.data.every((v, i) => Object.is(v, a.data[i]))).toBe(true);
          }
        },
      ),
      { seed: 7, numRuns: 60 },
    );
  });
  it("chooses the element type by the array", () => {
    const header = (data: Float32Array | Float64Array | Int32Array): string =>
      new TextDecoder("latin1").decode(writeNpy({ shape: [1], data }).subarray(0, 64));
    expect(header(new Float32Array(1))).toContain("'<f4'");
    expect(header(new Int32Array(1))).toContain("'<i4'");
    expect(header(new Float64Array(1))).toContain("'<f8'");
  });
  it("aligns the data as numpy asks", () =>
    expect((writeNpy({ shape: [3, 1], data: new Float32Array(3) }).length - 12) % 64).toBe(0));
});

const array = (shape: readonly number[], data?: readonly number[]): NumericArray => ({
  shape,
  data: Float64Array.from(data ?? new Array<number>(shape.reduce((n, d) => n * d, 1)).fill(0)),
});
const image = { name: "image", shape: [1, 1, 3, 4] };

describe("matching arrays with inputs", () => {
  it.each([
    ["all axes", [5, 1, 3, 4], 5],
    ["without the channel", [5, 3, 4], 5],
    ["a single sample", [1, 3, 4], 1],
    ["a single sample without any leading axis", [3, 4], 1],
  ] as const)("%s", (_, shape, samples) =>
    expect(matchInputs(new Map([["image", array(shape)]]), [image], "d.npz").samples).toBe(samples),
  );

  it("a single array may have any name", () =>
    expect(matchInputs(new Map([["x_test", array([2, 1, 3, 4])]]), [image], "d.npz").samples).toBe(2));
  it("names decide where there are several", () => {
    const arrays = new Map([
      ["truth", array([2, 3, 4], new Array<number>(24).fill(1))],
      ["image", array([2, 3, 4])],
    ]);
    expect([...matchInputs(arrays, [image], "d.npz").data[0]!]).toEqual(new Array(24).fill(0));
  });
  it.each([
    ["another shape", new Map([["image", array([5, 1, 4, 3])]]), "NP003", /\[5, 1, 4, 3\].*\[N, 1, 3, 4\]/],
    [
      "NaN",
      new Map([["image", array([2, 3, 4], [...new Array<number>(13).fill(0), NaN, ...new Array<number>(10).fill(0)])]]),
      "NP004",
      /NaN, in sample 1/,
    ],
    [
      "an infinite value",
      new Map([["image", array([1, 3, 4], [Infinity, ...new Array<number>(11).fill(0)])]]),
      "NP004",
      /infinite, in sample 0/,
    ],
    [
      "no fitting array",
      new Map([
        ["a", array([2])],
        ["b", array([3])],
      ]),
      "NP002",
      /"image"; it holds a, b/,
    ],
    ["no samples", new Map([["image", array([0, 3, 4])]]), "NP002", /empty/],
  ] as const)("refuses %s", (_, arrays, code, says) => {
    try {
      matchInputs(arrays, [image], "d.npz");
    } catch (e) {
      expect((e as UserError).diagnostics[0]).toMatchObject({ code, place: { file: "d.npz" } });
      expect((e as UserError).diagnostics[0]!.message).toMatch(says);
      return;
    }
    throw new Error("accepted");
  });
  it("refuses inputs with different numbers of samples", () => {
    const arrays = new Map([
      ["a", array([2, 3])],
      ["b", array([4, 3])],
    ]);
    expect(() =>
      matchInputs(
        arrays,
        [
          { name: "a", shape: [1, 3] },
          { name: "b", shape: [1, 3] },
        ],
        "d.npz",
      ),
    ).toThrow(/NP005.*b has 4 samples, the inputs before it have 2/);
  });
});
