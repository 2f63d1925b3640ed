/** What `--max-error` has chosen, and why, as text. */
import { stringify } from "yaml";
import type { AccuracyCheck, ChosenWidthReport, OutputAccuracy, PrecisionReport } from "../driver.js";
import { percent, short } from "../driver/comparison.js";
import { precisionToConfig, parsePrecision } from "../passes/nn/quantize/precision.js";
import { si, table } from "./table.js";

/** `38.2 dB, the same argmax in 99%` */
export function ratio(a: OutputAccuracy): string {
  const noise = Number.isFinite(a.sqnr_db) ? `${a.sqnr_db.toFixed(1)} dB` : a.sqnr_db > 0 ? "exact" : "no signal";
  const choice =
    a.equal !== undefined
      ? `, ${percent(a.equal)} of the labels equal`
      : a.scores === true && a.argmax_agreement !== undefined
        ? `, the same argmax in ${percent(a.argmax_agreement)}`
        : "";
  return noise + choice;
}

/** How accuracy was measured, and what was done for it. */
export function checkSummary(c: AccuracyCheck): string[] {
  const on = {
    "held-out": `on ${c.samples} samples that did not calibrate`,
    refits: `on ${c.samples} samples, each with the network quantized from others`,
    calibration: `on ${c.samples} samples that calibrated as well`,
  };
  const lines = [
    `    measured ${on[c.measured_on]}${c.verdict === "low" ? "; low" : c.verdict === "accepted" ? "; accepted as stated" : ""}`,
  ];
  if (c.on_calibration !== undefined)
    lines.push(
      `    on the ${c.calibration_samples} samples that calibrate it: ${Object.values(c.on_calibration).map(ratio).join("; ")}`,
    );
  if (c.cure !== undefined)
    lines.push(
      `    ${c.cure.raised.length} widths raised where the noise comes from (before: ${Object.values(c.cure.before).map(ratio).join("; ")})`,
    );
  return lines;
}

export function precisionSummary(p: PrecisionReport): string {
  const lines: string[] = [];
  for (const b of p.bounds ?? []) {
    const held =
      b.held_out === undefined
        ? ""
        : `, ${value(b.metric, b.held_out)} on ${p.held_out_samples} samples held out${b.kept ? "" : " (not kept)"}`;
    lines.push(
      `  ${b.output}: ${b.metric} ${b.metric === "sqnr" || b.metric === "argmax" ? "at least" : "at most"} ${value(b.metric, b.bound)}; ${value(b.metric, b.search)} on the ${p.search_samples} samples of the search${held}`,
    );
  }
  const cost = p.cost ?? 0;
  lines.push(`  multiplier area      ${si(cost, "")} bit cells per sample; ${compared(cost, p.base, p)}`);
  if (p.uniform !== undefined && p.uniform.precision !== p.base?.precision)
    lines.push(
      `                       ${compared(cost, p.uniform, p)}, the narrowest uniform one that keeps the bound`,
    );
  else if (p.uniform === undefined) lines.push("                       no uniform precision keeps the bound");
  lines.push("", chosenTable(p.chosen ?? []), "");
  lines.push(
    "share of cost: of the multiplier area that the layer's widths decide (products count for both factors); share of noise: of the",
    "noise at the outputs, each width measured by itself; one bit less: how much of the error allowed that bit would use up",
    "",
  );
  const hold = p.hold_out === 0 ? "" : ` --hold-out ${p.hold_out}`;
  lines.push(`the same again: --precision '${p.spec}'${hold}`, "or in a file for --config:", configText(p));
  return lines.join("\n");
}

function configText(p: PrecisionReport): string {
  return stringify(
    { ...(p.hold_out === 0 ? {} : { hold_out: p.hold_out }), precision: precisionToConfig(parsePrecision(p.spec)) },
    { lineWidth: 0 },
  ).trimEnd();
}

function compared(cost: number, other: PrecisionReport["base"], p: PrecisionReport): string {
  if (other === undefined) return "";
  const change = 1 - cost / other.cost;
  const errors = (p.bounds ?? []).map((b, i) => `${b.metric} ${value(b.metric, other.errors[i]!)}`);
  return `${percent(Math.abs(change))} ${change >= 0 ? "less" : "more"} than ${other.precision} (${errors.slice(0, 3).join(", ")}${errors.length > 3 ? ", ..." : ""}${other.kept ? "" : ": bound not kept"})`;
}

function value(metric: string, v: number): string {
  return metric === "sqnr" ? `${v.toFixed(1)} dB` : metric === "argmax" ? percent(v) : short(v);
}

/** One row per layer; widths of weights, result and table side by side. */
function chosenTable(chosen: readonly ChosenWidthReport[]): string {
  const byName = new Map<string, ChosenWidthReport[]>();
  for (const c of chosen) byName.set(c.name, [...(byName.get(c.name) ?? []), c]);
  const rows = [...byName].map(([name, parts]) => {
    const of = (kind: ChosenWidthReport["kind"]): ChosenWidthReport | undefined => parts.find((c) => c.kind === kind);
    const bits = (kind: ChosenWidthReport["kind"]): string => String(of(kind)?.bits ?? "-");
    const next = (kind: ChosenWidthReport["kind"]): string => {
      const c = of(kind);
      return c === undefined ? "-" : c.next_bit === 0 ? "0%" : c.next_bit > 9.99 ? ">999%" : percent(c.next_bit);
    };
    return [
      name,
      bits("weights"),
      bits("activations"),
      bits("input"),
      percent(Math.max(...parts.map((c) => c.cost_share))),
      percent(parts.reduce((n, c) => n + c.noise_share, 0)),
      ["weights", "activations", "input"]
        .map((k) => next(k as ChosenWidthReport["kind"]))
        .filter((s) => s !== "-")
        .join(" / "),
    ];
  });
  return table(["layer", "weights", "result", "table", "share of cost", "share of noise", "one bit less"], rows);
}
