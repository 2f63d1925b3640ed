/**
 * `--shape NAME=1x576` and `--dim NAME=VALUE`: shapes that are stated over what the model leaves open, or over its
 * batch.
 */
import { UserError } from "../diagnostics/index.js";
import type { GivenShapes } from "../frontend/shapes.js";

/** `1x576` as sizes; undefined for anything else. */
export function parseShape(text: string): number[] | undefined {
  return /^\d+(x\d+)*$/i.test(text.trim()) ? text.trim().toLowerCase().split("x").map(Number) : undefined;
}

/** What stands before and behind the last `=`: names of tensors may hold one. */
export function splitNamed(text: string): readonly [name: string, value: string] | undefined {
  const at = text.lastIndexOf("=");
  return at < 1 ? undefined : [text.slice(0, at).trim(), text.slice(at + 1).trim()];
}

/** A value of a YAML file (or, where `file` is empty, of an option) that cannot be used. */
export function wrongValue(key: string, value: unknown, needed: string, file: string): UserError {
  const place = file === "" ? {} : { file };
  return UserError.of("CF003", { key, value: JSON.stringify(value) ?? "absent", needed }, place);
}

/** Shapes and sizes of a YAML file. @errors CF003 */
export function shapesFromConfig(shape: unknown, dim: unknown, file: string): GivenShapes {
  const entries = (key: string, value: unknown): [string, unknown][] => {
    if (value === undefined) return [];
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw wrongValue(key, value, `${key === "shape" ? "{input: 1x576}" : "{seq: 16}"} for example is needed`, file);
    return Object.entries(value);
  };
  const fail = (key: string, name: string, value: unknown, needed: string): UserError =>
    wrongValue(`${key} of ${name}`, value, needed, file);
  const shapes = entries("shape", shape).map(([name, value]): [string, readonly number[]] => {
    const sizes = Array.isArray(value) ? value : parseShape(String(value));
    if (sizes === undefined || !sizes.every((n) => typeof n === "number"))
      throw fail("shape", name, value, "sizes such as 1x576 are needed");
    return [name, sizes as number[]];
  });
  const dims = entries("dim", dim).map(([name, value]): [string, number] => {
    if (typeof value !== "number") throw fail("dim", name, value, "a whole number is needed");
    return [name, value];
  });
  return given(Object.fromEntries(shapes), Object.fromEntries(dims));
}

/** Without what is empty, as files record it. */
function given(
  shapes: Readonly<Record<string, readonly number[]>>,
  dims: Readonly<Record<string, number>>,
): GivenShapes {
  return { ...(Object.keys(shapes).length > 0 && { shapes }), ...(Object.keys(dims).length > 0 && { dims }) };
}

/** What is stated in two places; by name the second one holds. */
export function mergeShapes(a: GivenShapes, b: GivenShapes): GivenShapes {
  return given({ ...a.shapes, ...b.shapes }, { ...a.dims, ...b.dims });
}

/** The options that state the same. */
export function shapeArguments(g: GivenShapes): string[] {
  return [
    ...Object.entries(g.shapes ?? {}).flatMap(([name, shape]) => ["--shape", `${name}=${shape.join("x")}`]),
    ...Object.entries(g.dims ?? {}).flatMap(([name, size]) => ["--dim", `${name}=${size}`]),
  ];
}
