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
  /** Of inputs with open dimensions, as the user of the model would state them. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
}

export type Outcome =
  | "compiled"
  /** One or more messages with a code. */
  | "refused"
  | "timeout"
  /** The process ended otherwise: out of memory, or an internal error. */
  | "crash";

export interface RealFileRecord {
  readonly name: string;
  readonly outcome: Outcome;
  readonly macs?: number;
  readonly seconds?: number;
  readonly errors?: readonly { readonly code: string; readonly message: string; readonly hint?: string }[];
  /** Codes of warnings. */
  readonly warnings?: readonly string[];
  /** The float interpreter against ONNX Runtime; absent where that cannot run the file. */
  readonly float?: readonly Distance[];
  /** The compiled design against ONNX Runtime, on samples that did not calibrate. */
  readonly fixed?: readonly Distance[];
  readonly against?: "onnxruntime" | "float interpreter";
  readonly note?: string;
}

/** How far outputs are from those expected, over all samples. */
export interface Distance {
  readonly output: string;
  /** Root of the mean squared error over that of the expected values. */
  readonly nrmse: number;
  /** Largest error over the largest expected magnitude. */
  readonly max_error: number;
  readonly sqnr_db: number | null;
  /** Share of rows (last axis of at least 3) with their largest element at the same place. */
  readonly argmax?: number;
}

export type StepResult =
  | { readonly refused: { readonly code: string; readonly message: string; readonly hint?: string }[] }
  | { readonly macs: number }
  | { readonly distances: Distance[]; readonly against: "onnxruntime" | "float interpreter"; readonly note?: string };

/** Differs from ONNX Runtime before anything is quantized. */
export function isWrong(r: RealFileRecord): boolean {
  return r.float !== undefined && r.float.some((d) => !(d.nrmse <= 1e-3));
}

/** Below the limits of accuracy, and not a word of it. */
export function isSilent(r: RealFileRecord): boolean {
  return r.outcome === "compiled" && (r.warnings ?? []).length === 0 && r.fixed !== undefined && r.fixed.some((d) => (d.sqnr_db !== null && !(d.sqnr_db >= 20)) || (d.argmax !== undefined && d.argmax < 0.9));
}
