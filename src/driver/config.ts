/** Compile options from a YAML file and the command line; the command line has precedence. */
import { dirname, resolve } from "node:path";
import { parse } from "yaml";
import { UserError } from "../diagnostics/index.js";
import { nearestName } from "../diagnostics/nearest.js";
import type { GivenShapes } from "../frontend/shapes.js";
import { boundOf, type ErrorBound } from "../passes/nn/quantize/bounds.js";
import {
  defaultPrecision,
  isDefaultPrecision,
  parsePrecision,
  precisionFromConfig,
  type PrecisionSpec,
} from "../passes/nn/quantize/precision.js";
import {
  WIDTHS_CHOICES,
  type AxisWidth,
  type CompileOptions,
  type Minimize,
  type Target,
  type WidthsChoice,
} from "./options.js";
import { readText, type Session } from "./session.js";
import { parseAxisWidth } from "../backend-hls/design/port-limits.js";
import { extraPass, type ExtraPasses, joinExtraPasses, STAGES } from "./stages.js";
import { mergeShapes, shapesFromConfig, statedShapes, wrongValue as wrong } from "./shapes.js";

export interface Settings {
  readonly device: string;
  readonly clockMhz: number;
  readonly target: Target | undefined;
  readonly minimize: Minimize | undefined;
  readonly axis: AxisWidth | undefined;
  readonly calib: string | undefined;
  readonly precision: PrecisionSpec;
  /** Whether the user has stated another one than that without any option: then no other one takes its place. */
  readonly precisionStated: boolean;
  /** Whether any was stated. */
  readonly precisionGiven: boolean;
  /** What decides widths that are not stated. */
  readonly widths: WidthsChoice;
  readonly maxError: readonly ErrorBound[];
  /** Bounds that take the place of the least accuracy. */
  readonly acceptAccuracy: readonly ErrorBound[];
  /** Undefined: as many as calibration can do without. */
  readonly holdOut: number | undefined;
  /** Shapes that are stated for the model's inputs. */
  readonly given: GivenShapes;
  /** Pipelines of the user behind stages. */
  readonly extraPasses: ExtraPasses;
  /** The package holds all its Verilog in one file as well. */
  readonly singleFile: boolean;
}

/** Half of the samples tell whether the other half has told the truth. */
const HELD_OUT = 0.5;

const KEYS = [
  "device",
  "clock_mhz",
  "target_ii",
  "target_rate",
  "budget",
  "unroll",
  "minimize",
  "axis_width",
  "calib",
  "precision",
  "widths",
  "max_error",
  "accept_accuracy",
  "hold_out",
  "shape",
  "dim",
  "bind",
  "passes_after",
];

/** Of these one says how fast a design is. */
const TARGETS = ["target_ii", "target_rate", "budget", "unroll"];

/** @errors CF003, CF006, CF007, CF008 */
export function resolveSettings(options: CompileOptions, session: Session): Settings {
  const file = options.config === undefined ? {} : readConfig(options.config, session);
  const at = options.config ?? "";
  const number = (key: string): number | undefined => {
    const v = file[key];
    if (v === undefined) return undefined;
    if (typeof v !== "number" || !(v > 0)) throw wrong(key, v, "a positive number is needed", at);
    return v;
  };
  const text = (key: string): string | undefined => {
    const v = file[key];
    if (v === undefined) return undefined;
    if (typeof v !== "string") throw wrong(key, v, "a text is needed", at);
    return v;
  };
  const fromFile = (): Target | undefined => {
    const stated = TARGETS.filter((key) => file[key] !== undefined);
    if (stated.length > 1) throw UserError.of("CF006", { keys: stated }, { file: at });
    const [ii, rate, unroll] = [number("target_ii"), number("target_rate"), text("unroll")];
    if (ii !== undefined) return { kind: "ii", cycles: Math.floor(ii) };
    if (rate !== undefined) return { kind: "rate", hz: rate };
    if (unroll !== undefined) return { kind: "unroll", options: unroll };
    return file["budget"] === undefined ? undefined : { kind: "budget", limits: budgetOf(file["budget"], at) };
  };
  const calib = text("calib");
  const minimize = text("minimize");
  if (minimize !== undefined && minimize !== "latency" && minimize !== "area" && minimize !== "multipliers")
    throw wrong("minimize", minimize, "latency, area or multipliers is needed", at);
  const inFile =
    file["precision"] === undefined ? defaultPrecision : precisionFromConfig(file["precision"], "precision");
  const stated = options.precision === undefined ? inFile : parsePrecision(options.precision, "--precision", inFile);
  const bounds = (given: readonly string[] | undefined, key: string, option: string): ErrorBound[] => {
    const inFile =
      file[key] === undefined
        ? []
        : Array.isArray(file[key])
          ? (file[key] as unknown[]).map(String)
          : [String(file[key])];
    return (given ?? inFile).map((text) => boundOf(text, option));
  };
  const maxError = bounds(options.maxError, "max_error", "--max-error");
  const acceptAccuracy = bounds(options.acceptAccuracy, "accept_accuracy", "--accept-accuracy");
  const holdOut =
    options.holdOut ??
    (file["hold_out"] === undefined ? (maxError.length > 0 ? HELD_OUT : undefined) : Number(file["hold_out"]));
  if (holdOut !== undefined && !(holdOut >= 0 && holdOut <= 0.9))
    throw wrong("hold_out", file["hold_out"] ?? holdOut, "a share from 0 to 0.9 is needed", at);
  const widthsText = text("widths") ?? "rules";
  const widths = options.widths ?? WIDTHS_CHOICES.find((w) => w === widthsText);
  if (widths === undefined) throw wrong("widths", widthsText, `${WIDTHS_CHOICES.join(" or ")} is needed`, at);
  return {
    maxError,
    widths,
    acceptAccuracy,
    holdOut,
    singleFile: options.singleFile ?? false,
    extraPasses: joinExtraPasses([
      extraPassesOf(file["passes_after"], at),
      ...STAGES.flatMap((stage) =>
        options.extraPasses?.[stage] === undefined ? [] : [extraPass(stage, options.extraPasses[stage])],
      ),
    ]),
    given: mergeShapes(shapesFromConfig(file, at, session), statedShapes(options, session)),
    precisionGiven: options.precision !== undefined || file["precision"] !== undefined,
    precisionStated: !isDefaultPrecision(stated),
    device: options.device ?? text("device") ?? "xcu280",
    clockMhz: options.clockMhz ?? number("clock_mhz") ?? 250,
    target: options.target ?? fromFile(),
    minimize: options.minimize ?? minimize,
    axis: options.axisWidth ?? (file["axis_width"] === undefined ? undefined : axisOf(file["axis_width"], at)),
    // Paths in the file are relative to it.
    calib: options.calib ?? (calib === undefined ? undefined : resolve(dirname(at), calib)),
    precision: stated,
  };
}

/** `passes_after`: a pipeline by stage. @errors CF003, CF004 */
function extraPassesOf(value: unknown, file: string): ExtraPasses {
  if (value === undefined) return {};
  if (value === null || typeof value !== "object" || Array.isArray(value))
    throw wrong("passes_after", value, "pipelines by stage are needed", file);
  return joinExtraPasses(Object.entries(value).map(([stage, pipeline]) => extraPass(stage, String(pipeline))));
}

function readConfig(path: string, session: Session): Readonly<Record<string, unknown>> {
  let parsed: unknown;
  try {
    parsed = parse(readText(session.host, path));
  } catch (e) {
    if (e instanceof UserError) throw e;
    throw UserError.of("CF007", { problem: `it is not YAML: ${(e as Error).message.split("\n")[0]}` }, { file: path });
  }
  if (parsed === null) return {};
  if (typeof parsed !== "object" || Array.isArray(parsed))
    throw UserError.of("CF007", { problem: "it does not hold keys and values" }, { file: path });
  for (const key of Object.keys(parsed)) {
    if (!KEYS.includes(key))
      throw UserError.of("CF008", { key, known: KEYS, nearest: nearestName(key, KEYS) }, { file: path });
  }
  return parsed as Record<string, unknown>;
}

function axisOf(value: unknown, file: string): AxisWidth {
  const axis = parseAxisWidth(String(value));
  if (axis === undefined) throw wrong("axis_width", value, "bits (128) or elements (16e) are needed", file);
  return axis;
}

function budgetOf(value: unknown, file: string): Readonly<Record<string, number>> {
  const entries = typeof value === "object" && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
  const bad = entries.find(([k, v]) => !["lut", "ff", "dsp", "bram"].includes(k) || typeof v !== "number" || v < 0);
  if (entries.length === 0 || bad !== undefined)
    throw wrong("budget", value, "limits such as {dsp: 100, lut: 20000} are needed", file);
  return Object.fromEntries(entries) as Record<string, number>;
}
