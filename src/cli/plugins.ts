/** `--plugin`: modules of the user that add operators, operations and passes through the public API. */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { UserError } from "../diagnostics/index.js";

/** Imports every file once, in order. @errors CF005 */
export async function loadPlugins(files: readonly string[] | undefined): Promise<void> {
  for (const file of files ?? []) {
    try {
      await import(pathToFileURL(resolve(file)).href);
    } catch (e) {
      throw UserError.of(
        "CF005",
        { reason: (e instanceof Error ? e.message : String(e)).split("\n")[0] ?? "" },
        { file },
      );
    }
  }
}
