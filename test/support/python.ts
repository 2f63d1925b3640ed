/**
 * The Python of the tests: $ONNX_HLS_PYTHON, else .venv/bin/python of this repository (scripts/test.sh makes it), else
 * python3.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** A Python that can import all of `modules`, or why there is none: the text for a skipped test. */
export function pythonWith(...modules: readonly string[]): { readonly python: string } | { readonly missing: string } {
  const local = fileURLToPath(new URL("../../.venv/bin/python", import.meta.url));
  const python = process.env["ONNX_HLS_PYTHON"] ?? (existsSync(local) ? local : "python3");
  const run = spawnSync(python, ["-c", `import ${modules.join(", ")}`], { encoding: "utf8" });
  if (run.error !== undefined) return { missing: `skipped: ${python} cannot be started (${run.error.message})` };
  if (run.status !== 0)
    return {
      missing: `skipped: ${python} has no ${modules.join(" or no ")}; run scripts/test.sh, or set ONNX_HLS_PYTHON`,
    };
  return { python };
}
