/**
 * Widths of weights and activations, as the user states them: `8`, `w8a12`, exceptions per layer as in
 * `w8a12,/conv1/Conv=w10`, or a record from YAML.
 *
 * ```yaml
 * precision:
 *   weights: 8
 *   activations: 10
 *   output: 16
 *   layers:
 *     /conv1/Conv: { weights: 10 }        # by ONNX node
 *     centre: w8a12                       # by tensor
 * ```
 */
import { UserError, type Sink } from "../../../diagnostics/index.js";
import { nearestName } from "../../../diagnostics/nearest.js";

/** Widths in bits of one layer; what is absent follows the network's. */
export interface LayerPrecision {
  readonly weights?: number;
  /** Of the layer's result. */
  readonly activations?: number;
  /** Of the tensor that the layer reads. */
  readonly input?: number;
  /** Of the layer's result; has precedence over `activations`. */
  readonly output?: number;
}

export interface PrecisionSpec {
  readonly weights: number;
  readonly activations: number;
  /** Of the network's inputs; `activations` where absent. */
  readonly input?: number;
  /** Of the network's outputs: at least 16 where absent, as a port costs little and its rounding shows directly. */
  readonly output?: number;
  /** By ONNX node or tensor name. */
  readonly layers: ReadonlyMap<string, LayerPrecision>;
}

/** Within 1% of the float error on the example networks, with a bit to spare: docs/quantization.md. */
export const defaultPrecision: PrecisionSpec = { weights: 8, activations: 10, layers: new Map() };

/** Whether `spec` says what is done anyway, so that stating it changes nothing. */
export function isDefaultPrecision(spec: PrecisionSpec): boolean {
  return formatPrecision(spec) === formatPrecision(defaultPrecision);
}

const LIMITS: Readonly<Record<keyof LayerPrecision, readonly [number, number]>> = {
  weights: [2, 24],
  activations: [2, 32],
  input: [1, 24],
  output: [2, 32],
};

/**
 * One entry of the text: `8` or `w8a12` for the network, `NAME=w8` for a layer. Names may hold commas and equals signs.
 */
const ENTRY = /^\s*(?:(.*?)=)??\s*((?:[waio]\d{1,4})+|\d{1,4})\s*(?:,|$)/i;

/**
 * Parses `8`, `w8a12`, and exceptions for single layers, `w8a12,/conv1/Conv=w10,centre=a14o16`: w stands for weights, a
 * for activations, i and o for what is read and what results. What the text does not state is as in `base`.
 *
 * @errors QU001, QU002
 */
export function parsePrecision(
  text: string,
  where = "--precision",
  base: PrecisionSpec = defaultPrecision,
): PrecisionSpec {
  const layers = new Map(base.layers);
  let whole: LayerPrecision = {};
  for (let at = 0; at === 0 || at < text.length; ) {
    const m = ENTRY.exec(text.slice(at));
    if (m === null || (m[1] === undefined && at > 0)) throw UserError.of("QU001", { where, text });
    at += m[0].length;
    if (m[1] !== undefined) layers.set(m[1].trim(), { ...layers.get(m[1].trim()), ...parseWidths(m[2]!, where) });
    else whole = parseNetworkWidths(m[2]!, where);
  }
  return { ...base, ...whole, layers };
}

function parseNetworkWidths(text: string, where: string): LayerPrecision {
  const widths = parseWidths(text, where);
  if (widths.weights === undefined || widths.activations === undefined) throw UserError.of("QU001", { where, text });
  return widths;
}

const LETTERS = { w: "weights", a: "activations", i: "input", o: "output" } as const;

function parseWidths(text: string, where: string): LayerPrecision {
  if (/^\s*\d{1,4}\s*$/.test(text))
    return { weights: width(Number(text), "weights", where), activations: width(Number(text), "activations", where) };
  if (!/^\s*(?:[waio]\d{1,4})+\s*$/i.test(text)) throw UserError.of("QU001", { where, text });
  const result: { -readonly [K in keyof LayerPrecision]: number } = {};
  for (const [, letter, bits] of text.matchAll(/([waio])(\d+)/gi)) {
    const key = LETTERS[letter!.toLowerCase() as keyof typeof LETTERS];
    if (result[key] !== undefined) throw UserError.of("QU001", { where, text });
    result[key] = width(Number(bits), key, where);
  }
  return result;
}

/** `w8a12` */
function formatWidths(p: LayerPrecision): string {
  return Object.entries(LETTERS)
    .map(([letter, key]) => (p[key] === undefined ? "" : `${letter}${p[key]}`))
    .join("");
}

/** The text that `parsePrecision` takes. */
export function formatPrecision(spec: PrecisionSpec): string {
  return [formatWidths(spec), ...[...spec.layers].map(([name, p]) => `${name}=${formatWidths(p)}`)].join(",");
}

function width(value: unknown, key: keyof LayerPrecision, where: string): number {
  const [min, max] = LIMITS[key];
  if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max)
    throw UserError.of("QU002", { where, what: key, value: String(value), min, max });
  return value;
}

/** The record that `precisionFromConfig` takes. */
export function precisionToConfig(spec: PrecisionSpec): Record<string, unknown> {
  const { layers, ...widths } = spec;
  return {
    ...widths,
    ...(layers.size > 0 && { layers: Object.fromEntries([...layers].map(([name, p]) => [name, formatWidths(p)])) }),
  };
}

/**
 * Reads the `precision` entry of a configuration: a number, text as for `--precision`, or a record.
 *
 * @errors QU001, QU002, QU003
 */
export function precisionFromConfig(
  value: unknown,
  where = "precision",
  base: PrecisionSpec = defaultPrecision,
): PrecisionSpec {
  if (typeof value === "number" || typeof value === "string") return parsePrecision(String(value), where, base);
  const record = asRecord(value, where);
  const { layers, ...widths } = record;
  const own = readLayer(widths, where, ["layers"]);
  const byName = new Map<string, LayerPrecision>();
  if (layers !== undefined && layers !== null) {
    for (const [name, entry] of Object.entries(asRecord(layers, `${where}.layers`)))
      byName.set(name, layerFromConfig(entry, `${where}.layers.${name}`));
  }
  const input = own.input ?? base.input;
  const output = own.output ?? base.output;
  return {
    weights: own.weights ?? base.weights,
    activations: own.activations ?? base.activations,
    ...(input !== undefined && { input }),
    ...(output !== undefined && { output }),
    layers: byName,
  };
}

function layerFromConfig(entry: unknown, where: string): LayerPrecision {
  if (typeof entry === "number" || typeof entry === "string") return parseWidths(String(entry), where);
  return readLayer(asRecord(entry, where), where, []);
}

function readLayer(record: Record<string, unknown>, where: string, more: readonly string[]): LayerPrecision {
  const known = Object.keys(LIMITS) as (keyof LayerPrecision)[];
  const result: { -readonly [K in keyof LayerPrecision]: number } = {};
  for (const [key, value] of Object.entries(record)) {
    const match = known.find((k) => k === key);
    if (match === undefined)
      throw UserError.of("QU003", {
        where,
        key,
        nearest: nearestName(key, [...known, ...more]),
        known: [...known, ...more].join(", "),
      });
    result[match] = width(value, match, `${where}.${key}`);
  }
  return result;
}

function asRecord(value: unknown, where: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw UserError.of("QU001", { where, text: JSON.stringify(value) ?? String(value) });
  return value as Record<string, unknown>;
}

/** Reports every layer of `spec` that the network does not have. `names` are its nodes and tensors. @errors QU004 */
export function checkLayerNames(spec: PrecisionSpec, names: ReadonlySet<string>, sink: Sink): void {
  for (const name of spec.layers.keys()) {
    if (!names.has(name)) sink.report("QU004", { name, nearest: nearestName(name, names) });
  }
}

/** `w8a10`, with the widths of ports and the exceptions where they are stated. */
export function showPrecision(spec: PrecisionSpec): string {
  const ports = [
    spec.input !== undefined ? `input ${spec.input}` : "",
    spec.output !== undefined ? `output ${spec.output}` : "",
  ].filter((s) => s !== "");
  const layers =
    spec.layers.size === 0 ? [] : [`${spec.layers.size} layer${spec.layers.size === 1 ? "" : "s"} of its own`];
  const more = [...ports, ...layers];
  return `w${spec.weights}a${spec.activations}${more.length === 0 ? "" : ` (${more.join(", ")})`}`;
}
