/** Sensor descriptions: from YAML or from an object of a program, every mistake by line and key. */
import { dirname, resolve } from "node:path";
import { isMap, isScalar, LineCounter, parseDocument, type Node, type YAMLMap } from "yaml";
import { Sink, type Place } from "../diagnostics/index.js";
import { nearestName } from "../diagnostics/nearest.js";
import { DISPERSION_KEYS, FIND_KEYS, OUTPUT_KEYS, SENSOR_KEYS, type KeySpec } from "./keys.js";
import type {
  Component,
  Dark,
  Dispersion,
  LocalMaximum,
  PixelBits,
  PixelsPerBeat,
  PositionOutput,
  Sensor,
} from "./sensor.js";

/** A description as YAML has it: keys of `SENSOR_KEYS`, all but rows and columns may be absent. */
export type SensorInput = Readonly<Record<string, unknown>>;

type Values = Readonly<Record<string, unknown>>;

/** Where a node stands. */
type Locate = (node: Node | undefined) => Place;
/** Where a key stands, with those of the groups around it; the file where it is not known. */
type Places = (key: string | undefined) => Place;

/**
 * Reads a description. Paths in it are relative to the file.
 *
 * @errors SE001 no YAML, SE002 unknown key, SE003 missing key, SE004 unfit value; all that are found, in one go
 */
export function parseSensor(text: string, file: string): Sensor {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const sink = new Sink();
  const known = new Map<string, Place>();
  const at: Locate = (node) => {
    const offset = node?.range?.[0];
    if (offset === undefined) return { file };
    const { line, col } = lines.linePos(offset);
    return { file, line, column: col };
  };
  const broken = document.errors[0];
  if (broken !== undefined) {
    const { line, col } = lines.linePos(broken.pos[0]);
    sink.report("SE001", { reason: broken.message.split("\n")[0]! }, { file, line, column: col });
  } else if (!isMap(document.contents)) sink.report("SE001", { reason: "it does not hold keys and values" }, { file });
  sink.throwIfErrors();
  const values = readGroup(document.contents as YAMLMap<unknown, unknown>, SENSOR_KEYS, "", at, known, sink);
  const places: Places = (key) => (key === undefined ? undefined : known.get(key)) ?? { file };
  const sensor = build(values, dirname(file), places, sink);
  sink.throwIfErrors();
  return sensor;
}

/** As `parseSensor`, from an object with the same keys. @errors SE001 to SE004 */
export function sensorFrom(description: SensorInput, folder = "."): Sensor {
  return parseSensor(JSON.stringify(description), resolve(folder, "sensor"));
}

function readGroup(
  map: YAMLMap<unknown, unknown>,
  keys: Readonly<Record<string, KeySpec>>,
  prefix: string,
  at: Locate,
  places: Map<string, Place>,
  sink: Sink,
): Values {
  const values: Record<string, unknown> = {};
  for (const pair of map.items) {
    const key = isScalar(pair.key) ? String(pair.key.value) : "";
    places.set(`${prefix}${key}`, at(pair.key as Node));
    const spec = Object.hasOwn(keys, key) ? keys[key] : undefined;
    if (spec === undefined) {
      const known = Object.keys(keys);
      sink.report(
        "SE002",
        { key: `${prefix}${key}`, nearest: nearestName(key, known), known: known.join(", ") },
        at(pair.key as Node),
      );
    } else values[key] = readValue(pair.value as Node | undefined, spec, `${prefix}${key}`, at, places, sink);
  }
  return values;
}

/** The value, or undefined where it has been reported or is the absence itself. */
function readValue(
  node: Node | undefined,
  spec: KeySpec,
  key: string,
  at: Locate,
  places: Map<string, Place>,
  sink: Sink,
): unknown {
  const value: unknown = isScalar(node) ? node.value : undefined;
  if (value === "none" && spec.default === "none") return undefined;
  const { value: want } = spec;
  const refuse = (wanted: string, nearest?: string): undefined => {
    const have = isScalar(node) ? JSON.stringify(value) : (node?.toString() ?? "empty").split("\n")[0]!;
    sink.report("SE004", { key, have, want: wanted, nearest }, at(node));
    return undefined;
  };
  switch (want.kind) {
    case "whole":
      if (typeof value === "number" && Number.isInteger(value) && value >= want.from && value <= want.to) return value;
      return refuse(
        `a whole number from ${want.from} to ${want.to}`,
        typeof value === "number" ? String(Math.min(want.to, Math.max(want.from, Math.round(value)))) : undefined,
      );
    case "one-of": {
      if (want.values.includes(value as string | number)) return value;
      const names = want.values.map(String);
      const nearest =
        typeof value === "number" && typeof want.values[0] === "number"
          ? // The next larger one loses nothing.
            (want.values.find((v) => (v as number) >= value) ?? want.values.at(-1))
          : nearestName(String(value), names);
      return refuse(
        `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`,
        nearest === undefined ? undefined : String(nearest),
      );
    }
    case "file":
      return typeof value === "string" && value !== "" ? value : refuse("a file");
    case "dark":
      if (typeof value === "number" ? Number.isInteger(value) && value >= 0 && value < 2 ** 32 : value === "stream")
        return value;
      return typeof value === "string" && value !== "" ? value : refuse("a whole number of counts, a file or stream");
    case "group": {
      if (isMap(node)) return readGroup(node, want.keys, `${key}.`, at, places, sink);
      const word = want.word === undefined ? undefined : want.keys[want.word]!;
      if (word === undefined)
        return refuse(
          `a group of keys, such as {${Object.entries(want.keys)
            .map(([name, k]) => `${name}: ${k.default}`)
            .join(", ")}}`,
        );
      return { [want.word!]: readValue(node, word, key, at, places, sink) };
    }
  }
}

function build(given: Values, folder: string, places: Places, sink: Sink): Sensor {
  for (const [key, spec] of Object.entries(SENSOR_KEYS))
    if (spec.default === undefined && !(key in given)) sink.report("SE003", { key }, places(undefined));
  const all = withDefaults(given, SENSOR_KEYS);
  const path = (text: string): string => resolve(folder, text);
  const [mask, flat] = [given["mask"], given["flat"]] as (string | undefined)[];
  const dispersion = given["dispersion"] as Values | undefined;
  return {
    rows: all["rows"] as number,
    columns: all["columns"] as number,
    pixelBits: all["pixel_bits"] as PixelBits,
    pixelsPerBeat: all["pixels_per_beat"] as PixelsPerBeat,
    endOf: all["end_of"] as Sensor["endOf"],
    dark: darkOf(all["dark"] as number | string, path),
    ...(mask !== undefined && { mask: path(mask) }),
    ...(flat !== undefined && { flat: path(flat) }),
    threshold: all["threshold"] as number,
    ...(dispersion !== undefined && { dispersion: dispersionOf(withDefaults(dispersion, DISPERSION_KEYS)) }),
    find: findOf((given["find"] ?? {}) as Values, all["threshold"] as number, places, sink),
    patch: all["patch"] as number,
    normalisation: all["normalisation"] as Sensor["normalisation"],
    queue: all["queue"] as number,
    output: withDefaults((given["output"] ?? {}) as Values, OUTPUT_KEYS) as unknown as PositionOutput,
  };
}

function withDefaults(given: Values, keys: Readonly<Record<string, KeySpec>>): Values {
  return Object.fromEntries(Object.entries(keys).map(([key, spec]) => [key, given[key] ?? spec.default]));
}

function darkOf(value: number | string, path: (text: string) => string): Dark {
  if (typeof value === "number") return { kind: "number", counts: value };
  return value === "stream" ? { kind: "stream" } : { kind: "file", path: path(value) };
}

function dispersionOf(all: Values): Dispersion {
  return {
    window: all["window"] as Dispersion["window"],
    background: all["background"] as number,
    signal: all["signal"] as number,
    minCount: all["min_count"] as number,
  };
}

/** Keys that only one of the rules has. */
const KEYS_OF_RULE: Readonly<Record<string, readonly string[]>> = {
  "local-maximum": ["rule", "window", "peak_min", "edges"],
  component: ["rule", "min_pixels", "open_regions"],
};

function findOf(given: Values, threshold: number, places: Places, sink: Sink): LocalMaximum | Component {
  const all = withDefaults(given, FIND_KEYS);
  const rule = all["rule"] as Sensor["find"]["rule"];
  const known = KEYS_OF_RULE[rule]!;
  for (const key of Object.keys(given))
    if (!known.includes(key))
      sink.report(
        "SE002",
        { key: `find.${key} of the rule ${rule}`, nearest: undefined, known: known.join(", ") },
        places(`find.${key}`),
      );
  if (rule === "component")
    return { rule, minPixels: all["min_pixels"] as number, openRegions: all["open_regions"] as number };
  return {
    rule,
    window: all["window"] as LocalMaximum["window"],
    // Without a threshold every pixel would be a peak of 0.
    peakMin: (given["peak_min"] as number | undefined) ?? Math.max(1, threshold),
    edges: all["edges"] as LocalMaximum["edges"],
  };
}
