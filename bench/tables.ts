/** The tables of the README, from the committed record. */
import { readFileSync } from "node:fs";
import type { QualityRecord } from "./bench-record.js";
import { designs } from "./designs.js";

const number = (n: number): string => n.toLocaleString("en-US");
const row = (cells: readonly string[]): string => `| ${cells.join(" | ")} |\n`;

/** Markdown by name of the section. */
export function benchTables(): Readonly<Record<string, string>> {
  const records = JSON.parse(readFileSync(new URL("baseline.json", import.meta.url), "utf8")) as QualityRecord[];
  const head = [
    "design",
    "target",
    "interval",
    "latency",
    "multipliers, busy",
    "LUT / FF / DSP / BRAM",
    "estimated",
    "error",
    "others, same workload",
  ];
  const rows = records.flatMap((r) => {
    const d = designs.find((x) => x.name === r.design);
    if (d === undefined) return [];
    const y = r.resources_yosys;
    const area = (a: NonNullable<typeof y>): string => [a.lut, a.ff, a.dsp, a.bram].map(number).join(" / ");
    const routed = r.routed_mhz === undefined ? "" : `; routed ${r.routed_mhz.reached} MHz`;
    const error =
      r.error_px === undefined
        ? Object.values(r.rmse)
            .map((e) => `rmse ${e}`)
            .join(", ")
        : `${r.error_px.fixed} px (float ${r.error_px.float})`;
    return [
      [
        r.design,
        d.args.join(" "),
        number(r.initiation_interval.measured),
        number(r.latency.measured),
        r.multipliers === 0
          ? "none"
          : `${number(r.multipliers)}, ${r.mac_efficiency === 0 ? "-" : `${(100 * r.mac_efficiency).toFixed(0)} %`}`,
        (y === undefined ? "not synthesized" : area(y)) + routed,
        area(r.resources_estimated),
        error,
        d.peer === undefined ? "" : `${d.peer.system}: ${d.peer.figures} (${d.peer.source})`,
      ],
    ];
  });
  return { bench: row(head) + row(head.map(() => "---")) + rows.map(row).join("") };
}
