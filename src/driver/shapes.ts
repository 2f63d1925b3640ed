/**
 * `--shape NAME=1x576` and `--dim NAME=VALUE`: shapes that are stated over what the model leaves open, or over its
 * batch. `--bind NAME=VALUE`: inputs that are constants.
 */
import { UserError } from "../diagnostics/index.js";
import type { BoundTensor } from "../frontend/bind.js";
import { readNpy } from "../frontend/npz.js";
import type { GivenShapes } from "../frontend/shapes.js";
import type { BoundValue, ShapeOptions } from "./options.js";
import { readBytes, type Session } from "./session.js";

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

/** `0.5`, `true`, `1,2,3`, or `FILE.npy`, as it is stated; undefined for anything else. */
export function parseBound(text: string): BoundValue | undefined {
  const t = text.trim();
  if (t === "true" || t === "false") return t === "true";
  const numbers = t.split(",").map((n) => (n.trim() === "" ? NaN : Number(n)));
  if (!numbers.some(Number.isNaN)) return numbers;
  return t.endsWith(".npy") ? t : undefined;
}

/** The numbers that are stated. @errors IO001, NP001 */
function boundTensor(value: BoundValue, session: Session): BoundTensor {
  if (typeof value === "string") {
    const { shape, data } = readNpy(readBytes(session.host, value), value);
    return { shape, data: [...data] };
  }
  if (typeof value === "number" || typeof value === "boolean") return { data: [Number(value)] };
  return "data" in value ? value : { data: value };
}

function boundTensors(bind: ShapeOptions["bind"], session: Session): GivenShapes["bind"] {
  return bind === undefined
    ? undefined
    : Object.fromEntries(Object.entries(bind).map(([name, v]) => [name, boundTensor(v, session)]));
}

/** What options state, files read. @errors IO001, NP001 */
export function statedShapes(options: ShapeOptions, session: Session): GivenShapes {
  return given(options.shapes, options.dims, boundTensors(options.bind, session));
}

/** Shapes, sizes and values of a YAML file. @errors CF003, IO001, NP001 */
export function shapesFromConfig(
  { shape, dim, bind }: { readonly shape?: unknown; readonly dim?: unknown; readonly bind?: unknown },
  file: string,
  session: Session,
): GivenShapes {
  const examples: Readonly<Record<string, string>> = {
    shape: "{input: 1x576}",
    dim: "{seq: 16}",
    bind: "{rate: 16000}",
  };
  const entries = (key: string, value: unknown): [string, unknown][] => {
    if (value === undefined) return [];
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw wrongValue(key, value, `${examples[key]} for example is needed`, file);
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
  const values = entries("bind", bind).map(([name, value]): [string, BoundValue] => {
    const isList = Array.isArray(value) && value.every((n) => typeof n === "number");
    const stated = isList ? (value as number[]) : Array.isArray(value) ? undefined : parseBound(String(value));
    if (stated === undefined) throw fail("bind", name, value, "a number, a list of numbers or FILE.npy is needed");
    return [name, stated];
  });
  return given(Object.fromEntries(shapes), Object.fromEntries(dims), boundTensors(Object.fromEntries(values), session));
}

/** Without what is empty, as files record it. */
function given(
  shapes: GivenShapes["shapes"] = {},
  dims: GivenShapes["dims"] = {},
  bind: GivenShapes["bind"] = {},
): GivenShapes {
  return {
    ...(Object.keys(shapes).length > 0 && { shapes }),
    ...(Object.keys(dims).length > 0 && { dims }),
    ...(Object.keys(bind).length > 0 && { bind }),
  };
}

/** What is stated in two places; by name the second one holds. */
export function mergeShapes(a: GivenShapes, b: GivenShapes): GivenShapes {
  return given({ ...a.shapes, ...b.shapes }, { ...a.dims, ...b.dims }, { ...a.bind, ...b.bind });
}

/** The options that state the same. */
export function shapeArguments(g: GivenShapes): string[] {
  return [
    ...Object.entries(g.shapes ?? {}).flatMap(([name, shape]) => ["--shape", `${name}=${shape.join("x")}`]),
    ...Object.entries(g.dims ?? {}).flatMap(([name, size]) => ["--dim", `${name}=${size}`]),
    ...Object.entries(g.bind ?? {}).flatMap(([name, { data }]) => ["--bind", `${name}=${data.join(",")}`]),
  ];
}
