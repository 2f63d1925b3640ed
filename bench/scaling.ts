/**
 * How the cost of compiling grows with the generated multipliers: BraggNN(s=1) at shorter and shorter intervals. Prints
 * processor seconds (user and system), peak memory, and seconds per thousand multipliers: `npm run bench:scaling`.
 */
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { DesignReport } from "../src/driver.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const dir = join(root, "build", "scaling");
const INTERVALS = [270, 145, 73, 37, 18];
const watch =
  "data:text/javascript,process.on('exit',()=>{const u=process.cpuUsage();process.stderr.write('\\nused '+(u.user+u.system)/1e6+' '+process.resourceUsage().maxRSS)})";

process.stdout.write(
  "| interval | multipliers | processor seconds | per 1,000 multipliers | peak memory |\n|---|---|---|---|---|\n",
);
for (const ii of INTERVALS) {
  const args = [
    "--import",
    watch,
    join(root, "dist/cli/main.js"),
    "compile",
    "examples/braggnn/braggnn_s1.onnx",
    "-o",
    dir,
    "--calib",
    "examples/braggnn/data/calib.npz",
    "--target-ii",
    String(ii),
    "--json",
  ];
  const r = spawnSync(process.execPath, args, { cwd: root, encoding: "utf8", maxBuffer: 1 << 28 });
  const used = /used (\S+) (\S+)/.exec(r.stderr);
  if (r.status !== 0 || used === null) throw new Error(r.stderr);
  const report = JSON.parse(r.stdout) as DesignReport;
  const seconds = Number(used[1]);
  process.stdout.write(
    `| ${report.initiation_interval} | ${report.multipliers.toLocaleString("en-US")} | ${seconds.toFixed(1)} | ${((1000 * seconds) / report.multipliers).toFixed(2)} | ${Math.round(Number(used[2]) / 1024)} MB |\n`,
  );
}
rmSync(dir, { recursive: true, force: true });
