/** What is recorded of a real file, and what is called wrong. */

/** A file of the list. */
export interface RealFile {
  readonly name: string;
  readonly sha256: string;
  readonly size: number;
  /** Package and version, or repository. */
  readonly origin: string;
  readonly path: string;
  readonly licence: string;
  /** Producer, as the file says. */
  readonly exporter: string;
  /** Operator sets by domain. */
  readonly opset: Readonly<Record<string, number>>;
  /** Of inputs with open dimensions or a baked batch, as the user of the model would state them. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  /** Values of inputs that hardware is for one of, as the user of the model would state them. */
  readonly bind?: Readonly<Record<string, number>>;
  /**
   * Of the float networks by which accuracy at defaults is judged: trained, of many exporters, none at hand while the
   * compiler was built.
   */
  readonly judged?: boolean;
}

/** A file with its data: a folder of bench/real-files-reference.py. */
export interface Job {
  readonly name: string;
  readonly model: string;
  readonly data: string;
  readonly shapes?: RealFile["shapes"];
  readonly bind?: RealFile["bind"];
}

/** How far an output is from what is expected, over all samples. */
export interface Distance {
  readonly output: string;
  /** Root of the mean squared error over that of the expected values; null where a value is no number. */
  readonly nrmse: number | null;
  readonly max_error: number | null;
  /** Null where all values are equal, and of labels. */
  readonly sqnr_db: number | null;
  /** Of scores, share of rows with their largest element at the same place; of labels, share of those that are equal. */
  readonly argmax?: number;
  /** Share of rows that count as the same because the two elements differ by less than the output's last bit. */
  readonly ties?: number;
}

export type Outcome =
  | "compiled"
  /** One or more messages with a code. */
  | "refused"
  | "timeout"
  /** Out of memory, or an internal error. */
  | "crash";

export interface Message {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

export interface RealFileRecord {
  readonly name: string;
  readonly outcome: Outcome;
  readonly macs?: number;
  /** Processor time of the compilation. */
  readonly seconds?: number;
  readonly errors?: readonly Message[];
  /** Codes of warnings. */
  readonly warnings?: readonly string[];
  /** The float interpreter against ONNX Runtime; absent where that cannot run the file. */
  readonly float?: readonly Distance[];
  /** The compiled design on samples that did not calibrate. */
  readonly fixed?: readonly Distance[];
  /** What the compiled design is compared with. */
  readonly against?: "onnxruntime" | "float interpreter";
  readonly note?: string;
}

/** Relative errors beyond are no rounding of float32. */
const FLOAT_ERROR = 1e-3;
/** Of ONNX Runtime's own approximations of exp and its like: what lies below says nothing. */
const FLOAT_FLOOR = 1e-6;
/** Of an accurate output. */
export const LEAST_DB = 20;
export const LEAST_ARGMAX = 0.9;

/** Differs from ONNX Runtime before anything is quantized. */
export function isWrong(r: RealFileRecord): boolean {
  return (r.float ?? []).some(
    (d) => d.nrmse === null || d.max_error === null || (d.nrmse > FLOAT_ERROR && d.max_error > FLOAT_FLOOR),
  );
}

/** Below the limits of accuracy. */
export function isInaccurate(r: RealFileRecord): boolean {
  return (r.fixed ?? []).some(
    (d) =>
      d.nrmse === null ||
      (d.sqnr_db !== null && d.sqnr_db < LEAST_DB) ||
      (d.argmax !== undefined && d.argmax < LEAST_ARGMAX),
  );
}

/** Warnings that say that outputs are, or may be, inaccurate. */
const SAID = new Set(["QU021", "QU023", "QU025"]);

/** Inaccurate, and not a word of it. */
export function isSilent(r: RealFileRecord): boolean {
  return r.outcome === "compiled" && isInaccurate(r) && !(r.warnings ?? []).some((w) => SAID.has(w));
}
