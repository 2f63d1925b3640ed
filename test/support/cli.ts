/** The command line in this process, on the files of this machine: exit code, and what it writes. */
import { main } from "../../src/cli/program.js";
import { nodeHost } from "../../src/host.js";

export async function cli(...args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ["", ""];
  const code = await main(args, {
    host: nodeHost(),
    out: (t) => void (out += t),
    err: (t) => void (err += t),
    isTTY: false,
    env: {},
  });
  return { code, out, err };
}
