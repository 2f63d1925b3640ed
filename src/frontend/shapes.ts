/**
 * Shapes of a model's inputs: what the file says, and what the user states over open dimensions and over a baked batch.
 */
import { printable, UserError } from "../diagnostics/index.js";
import type { Bindings } from "./bind.js";
import { nearestName } from "../diagnostics/nearest.js";
import { toNumber, type DimensionProto, type ValueInfoProto } from "./onnx-proto.js";
import { dataTypeName, isNumberType } from "./tensor-data.js";

/** Shapes of inputs by their names, and sizes of symbolic dimensions by theirs. */
export interface GivenShapes {
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  readonly dims?: Readonly<Record<string, number>>;
  /** Inputs that are constants. */
  readonly bind?: Bindings;
}

/** A first dimension that the file fixes at `from` samples and that is to be `to`. */
export interface Rebatching {
  readonly from: number;
  readonly to: number;
}

export interface InputShapes {
  /** In the order of the inputs. */
  readonly shapes: readonly (readonly number[])[];
  readonly rebatching: Rebatching | undefined;
  /** Inputs whose first dimension is another than the file's. */
  readonly rebatched: readonly number[];
}

/** Elements of an input beyond which it is not meant. */
export const MAX_INPUT = 2 ** 24;

/**
 * A dimension as the file says it: a size, a symbol, or nothing. What has no letter, as the "?" of Paddle's exporter,
 * names nothing.
 */
function sizeOf(d: DimensionProto): number | string | undefined {
  if (d.value === "dimParam" && /[\p{L}\p{N}]/u.test(d.dimParam)) return d.dimParam;
  const n = d.value === "dimValue" ? toNumber(d.dimValue) : 0;
  return n > 0 ? n : undefined;
}

/** The text to type for an option, quoted where a shell would take it apart. */
export function typed(option: string, name: string, value: string): string {
  const text = `${name}=${value}`;
  return `${option} ${/^[\w.:/=-]+$/.test(text) ? text : `'${text.replace(/'/g, `'\\''`)}'`}`;
}

/** `--shape NAME=1x576`. */
export function shapeOption(name: string, shape: readonly (number | string)[]): string {
  return typed("--shape", name, shape.join("x"));
}

/**
 * Shapes of the inputs, all dimensions known. A first dimension that is open and not stated is one sample.
 *
 * @errors ON005 for dimensions that are open, ON026 for stated shapes that do not fit the model
 */
export function resolveInputShapes(
  inputs: readonly ValueInfoProto[],
  given: GivenShapes,
  file: string,
  limit: number,
): InputShapes {
  const declared = inputs.map((input) => declaredShape(input, given, file));
  const sizes = symbolSizes(inputs, declared, given, file);
  const open: string[] = [];
  const remedies = new Set<string>();
  const changes = new Set<string>();
  const rebatched: number[] = [];
  let rebatching: Rebatching | undefined;
  const shapes = inputs.map((input, k) => {
    const stated = given.shapes?.[input.name];
    const shape = declared[k]!.map((d, i) => {
      if (stated !== undefined) {
        if (i === 0 && typeof d === "number" && d !== stated[0]) {
          rebatching = { from: d, to: stated[0]! };
          changes.add(`${d} to ${stated[0]!}`);
          rebatched.push(k);
        }
        return stated[i]!;
      }
      if (typeof d === "number") return d;
      const size = d === undefined ? undefined : sizes.get(d);
      // An open first dimension counts samples: the design processes a stream of them.
      if (size !== undefined || i === 0) return size ?? 1;
      open.push(
        `dimension ${i} of input "${printable(input.name)}" is ${d === undefined ? "open" : `the symbol "${printable(d)}"`}`,
      );
      remedies.add(
        d === undefined
          ? shapeOption(
              input.name,
              declared[k]!.map((e, j) => (typeof e === "number" ? e : j === 0 ? 1 : 16)),
            )
          : typed("--dim", d, "16"),
      );
      return 1;
    });
    const total = shape.reduce((n, d) => n * d, 1);
    if (total > limit)
      throw UserError.of(
        "ON005",
        {
          what: `input "${printable(input.name)}" has ${shape.join(" x ")} elements a sample`,
          hint: "export with the shape of one sample",
        },
        { file, tensor: input.name },
      );
    return shape;
  });
  if (open.length > 0)
    throw UserError.of(
      "ON005",
      {
        what: `${open.join(", ")}; only the first may be open`,
        hint: `state the size that the hardware is for, here 16: ${[...remedies].join(" ")}`,
      },
      { file, tensor: inputs.find((i) => open[0]!.includes(`input "${printable(i.name)}"`))!.name },
    );
  if (changes.size > 1)
    throw UserError.of(
      "ON026",
      {
        what: `the stated shapes change the batch in different ways: ${[...changes].join(", ")}`,
        hint: "state one batch for all inputs",
      },
      { file },
    );
  const left =
    rebatching === undefined
      ? -1
      : inputs.findIndex((input, k) => given.shapes?.[input.name] === undefined && shapes[k]![0] === rebatching!.from);
  if (left >= 0)
    throw UserError.of(
      "ON026",
      {
        what: `input "${printable(inputs[left]!.name)}" still has the batch of ${rebatching!.from}`,
        hint: `state its shape as well: ${shapeOption(inputs[left]!.name, [rebatching!.to, ...shapes[left]!.slice(1)])}`,
      },
      { file, tensor: inputs[left]!.name },
    );
  return { shapes, rebatching, rebatched };
}

function declaredShape(
  input: ValueInfoProto,
  given: GivenShapes,
  file: string,
): readonly (number | string | undefined)[] {
  const fail = (
    what: string,
    hint = "export with fixed shapes; only the first dimension, which counts samples, may be open",
  ): UserError => UserError.of("ON005", { what, hint }, { file, tensor: input.name });
  const name = printable(input.name);
  const type = input.type?.tensorType;
  if (type == null)
    throw fail(
      `input "${name}" is not a tensor, or has no type (sequences and nested types are not supported)`,
      "export with tensors as inputs",
    );
  if (!isNumberType(type.elemType))
    throw fail(
      `input "${name}" holds ${dataTypeName(type.elemType)} values; inputs must be numbers or truth values`,
      "encode them as numbers before the network",
    );
  const stated = given.shapes?.[input.name];
  if (type.shape == null) {
    if (stated === undefined)
      throw fail(`input "${name}" has no shape`, `state it, for example ${shapeOption(input.name, [1, 16])}`);
    return stated.map(() => undefined);
  }
  const shape = type.shape.dim.map(sizeOf);
  if (stated === undefined) return shape;
  const refuse = (what: string, hint: string): UserError =>
    UserError.of("ON026", { what, hint }, { file, tensor: input.name });
  const shown = shape.map((d) => d ?? "?").join("x");
  if (stated.length !== shape.length)
    throw refuse(
      `input "${name}" has ${shape.length} dimensions (${shown}), the stated shape ${stated.join("x")} has ${stated.length}`,
      `state ${shape.length} sizes`,
    );
  const odd = shape.findIndex((d, i) => typeof d === "number" && d !== stated[i] && !(i === 0 && d > 1));
  if (odd >= 0)
    throw refuse(
      `dimension ${odd} of input "${name}" is ${shape[odd]}, the stated shape says ${stated[odd]}`,
      `only open dimensions and a baked batch can be stated; the model has ${shown}`,
    );
  return shape;
}

/** Sizes of symbols: as stated, and as the stated shapes of inputs say. */
function symbolSizes(
  inputs: readonly ValueInfoProto[],
  declared: readonly (readonly (number | string | undefined)[])[],
  given: GivenShapes,
  file: string,
): Map<string, number> {
  const names = inputs.map((i) => i.name);
  const symbols = [...new Set(declared.flat().filter((d): d is string => typeof d === "string"))];
  const refuse = (what: string, hint: string): UserError => UserError.of("ON026", { what, hint }, { file });
  const check = (what: string, size: number): void => {
    if (!Number.isSafeInteger(size) || size < 1)
      throw refuse(`${what} is stated as ${size}`, "sizes are whole numbers of at least 1");
  };
  for (const [name, shape] of Object.entries(given.shapes ?? {})) {
    if (!names.includes(name)) {
      const near = nearestName(name, names);
      throw refuse(
        `a shape is stated for "${printable(name)}", but the model has no such input`,
        near === undefined
          ? `its inputs are ${names.map((n) => printable(n)).join(", ")}`
          : `did you mean ${printable(near)}?`,
      );
    }
    shape.forEach((size, i) => check(`dimension ${i} of input "${printable(name)}"`, size));
  }
  const sizes = new Map<string, number>();
  for (const [name, size] of Object.entries(given.dims ?? {})) {
    if (!symbols.includes(name)) {
      const near = nearestName(name, symbols);
      throw refuse(
        `a size is stated for the dimension "${printable(name)}", but no input has one of that name`,
        near !== undefined
          ? `did you mean ${printable(near)}?`
          : symbols.length === 0
            ? "the model's inputs have no symbolic dimensions"
            : `its symbolic dimensions are ${symbols.map((n) => printable(n)).join(", ")}`,
      );
    }
    check(`dimension "${printable(name)}"`, size);
    sizes.set(name, size);
  }
  inputs.forEach((input, k) => {
    given.shapes?.[input.name]?.forEach((size, i) => {
      const symbol = declared[k]![i];
      if (typeof symbol !== "string") return;
      const before = sizes.get(symbol);
      if (before !== undefined && before !== size)
        throw refuse(
          `the dimension "${printable(symbol)}" is stated as ${before} and, in the shape of input "${printable(input.name)}", as ${size}`,
          "state it once",
        );
      sizes.set(symbol, size);
    });
  });
  return sizes;
}
