/** The cases that `fixtures/make-operators.py` wrote, of every file of its. */
import { readdirSync, readFileSync } from "node:fs";
import { readArrays } from "../../src/frontend/npz.js";

type Arrays = ReturnType<typeof readArrays>;
const folder = new URL("fixtures/", import.meta.url);

export const arrays: Arrays = new Map(
  readdirSync(folder)
    .filter((file) => /^operators.*\.npz$/.test(file))
    .sort()
    .flatMap((file) => [...readArrays(readFileSync(new URL(file, folder)), file)]),
);
export const names = [...arrays.keys()].filter((k) => k.endsWith(".model")).map((k) => k.slice(0, -".model".length));
export const modelOf = (name: string): Uint8Array => Uint8Array.from(arrays.get(`${name}.model`)!.data);

/** Inputs to simulate: those that the case names, or variations of its own. */
export function samplesOf(name: string, varied: (x: Float64Array) => readonly Float64Array[]): readonly Float64Array[] {
  const x = Float64Array.from(arrays.get(`${name}.x`)!.data);
  const given = arrays.get(`${name}.samples`);
  if (given === undefined) return varied(x);
  return Array.from({ length: given.shape[0]! }, (_, s) =>
    Float64Array.from(given.data.subarray(s * x.length, (s + 1) * x.length)),
  );
}
