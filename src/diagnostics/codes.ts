/**
 * Every message that a user can get, in one table. Two letters for the area, three digits, never reused:
 * ON reading ONNX, NP data files, QU quantization, FL lowering and scheduling, TX textual IR and pass pipelines,
 * TO external tools, IO files and folders, CF configuration and command line.
 * Style: lower case, no full stop, actual values in the text; the hint says what to type.
 */
import type { Severity } from "./index.js";

interface CodeDef<P> {
  readonly severity: Severity;
  readonly text: (p: P) => string;
  readonly hint?: (p: P) => string;
}

function error<P>(def: Omit<CodeDef<P>, "severity">): CodeDef<P> {
  return { severity: "error", ...def };
}
function warning<P>(def: Omit<CodeDef<P>, "severity">): CodeDef<P> {
  return { severity: "warning", ...def };
}

export const codes = {
  IO001: error({
    text: (p: { path: string; reason: string }) => `cannot read ${p.path}: ${p.reason}`,
    hint: () => "check the path and its permissions",
  }),
  IO002: error({
    text: (p: { path: string; reason: string }) => `cannot write ${p.path}: ${p.reason}`,
    hint: () => "choose a folder that you may write to with -o",
  }),
  CF001: warning({
    text: () => "no calibration data: ranges come from seeded random inputs, accuracy is not known",
    hint: () => "give representative inputs with --calib DATA.npz",
  }),
} as const;

export type Code = keyof typeof codes;
export type ParamsOf<C extends Code> = (typeof codes)[C] extends CodeDef<infer P> ? P : never;
