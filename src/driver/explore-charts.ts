/**
 * The drawing of an exploration: interval against each resource and the latency, one panel each, as self-contained SVG;
 * and its page.
 */
import { basename } from "node:path";
import { escapeText, ticks } from "./svg.js";
import type { Exploration, ParetoPoint } from "./report.js";

const PANEL = { width: 360, height: 250, left: 62, right: 14, top: 34, bottom: 44 };
const COLUMNS = 3;

const STYLE = `
.panel { fill: #fff; stroke: #e3e6ea; } text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #1c2430; } text.title { font-size: 14px; font-weight: 650; } text.soft { fill: #5d6b7c; font-size: 11px; }
.grid { stroke: #e9ecef; } .limit { stroke: #c8362b; stroke-dasharray: 4 3; } .front { fill: none; stroke: #2268b2; stroke-width: 2; } .dot { fill: #2268b2; } .other { fill: #9fb3c8; } .end { text-anchor: end; } .middle { text-anchor: middle; }
@media (prefers-color-scheme: dark) { .panel { fill: #1c222b; stroke: #313945; } text { fill: #e8ecf1; } text.soft { fill: #9aa7b6; } .grid { stroke: #2b323c; } .limit { stroke: #f2766b; } .front { stroke: #6fb0f0; } .dot { fill: #6fb0f0; } .other { fill: #4b5a6c; } }
`;

interface Measure {
  readonly title: string;
  readonly unit: string;
  readonly of: (p: ParetoPoint) => number;
  /** What the device has. */
  readonly most?: number;
}

/**
 * Panels with the interval on a logarithmic axis; the line joins what is best in that panel, the red line is the
 * device's end.
 */
export function explorationSvg(e: Exploration): string {
  const measures: Measure[] = [
    { title: "Latency", unit: "cycles", of: (p) => p.latency },
    { title: "LUTs", unit: "", of: (p) => p.resources.lut, most: e.available.lut },
    { title: "Flip-flops", unit: "", of: (p) => p.resources.ff, most: e.available.ff },
    { title: "Multiplier blocks", unit: "", of: (p) => p.resources.dsp, most: e.available.dsp },
    { title: "Block RAMs", unit: "", of: (p) => p.resources.bram, most: e.available.bram },
    { title: "Multipliers busy", unit: "%", of: (p) => 100 * p.mac_efficiency },
  ];
  const rows = Math.ceil(measures.length / COLUMNS);
  const gap = 14;
  const [width, height] = [COLUMNS * (PANEL.width + gap) + gap, rows * (PANEL.height + gap) + gap + 30];
  const panels = measures.map(
    (m, i) =>
      `<g transform="translate(${gap + (i % COLUMNS) * (PANEL.width + gap)} ${40 + Math.floor(i / COLUMNS) * (PANEL.height + gap)})">${panel(e, m)}</g>`,
  );
  const title = `${basename(e.model)} on ${e.device} at ${e.clock_mhz} MHz: ${e.points.length} designs`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escapeText(title)}"><style>${STYLE}</style><text class="title" x="${gap}" y="24">${escapeText(title)}</text>${panels.join("")}</svg>`;
}

function panel(e: Exploration, m: Measure): string {
  const { width, height, left, right, top, bottom } = PANEL;
  const intervals = e.points.map((p) => p.initiation_interval);
  const [lo, hi] = [
    Math.log10(Math.min(...intervals)),
    Math.log10(Math.max(...intervals, Math.min(...intervals) * 1.01)),
  ];
  const values = e.points.map(m.of);
  const [lowest, highest] = [Math.min(...values), Math.max(...values, 1e-9)];
  // Over decades, decades.
  const logarithmic = lowest > 0 && highest > 30 * lowest;
  const [bottomAt, topAt] = logarithmic
    ? [Math.floor(Math.log10(lowest)), Math.log10(highest * 1.4)]
    : [0, highest * 1.06];
  const x = (ii: number): number =>
    left + ((Math.log10(ii) - lo) / Math.max(1e-9, hi - lo)) * (width - left - right - 12) + 6;
  const y = (v: number): number =>
    height - bottom - (((logarithmic ? Math.log10(v) : v) - bottomAt) / (topAt - bottomAt)) * (height - top - bottom);
  const marks = logarithmic
    ? Array.from({ length: Math.floor(topAt) - bottomAt + 1 }, (_, i) => 10 ** (bottomAt + i))
    : ticks(0, topAt, 5);
  const out = [
    `<rect class="panel" width="${width}" height="${height}" rx="8"/>`,
    `<text class="title" x="14" y="22">${m.title}${m.unit === "" ? "" : ` (${m.unit})`}</text>`,
  ];
  for (const t of marks)
    out.push(
      `<line class="grid" x1="${left}" x2="${width - right}" y1="${f(y(t))}" y2="${f(y(t))}"/><text class="soft end" x="${left - 6}" y="${f(y(t) + 4)}">${short(t)}</text>`,
    );
  for (let d = Math.ceil(lo); d <= hi; d++)
    out.push(
      `<line class="grid" y1="${top}" y2="${height - bottom}" x1="${f(x(10 ** d))}" x2="${f(x(10 ** d))}"/><text class="soft middle" x="${f(x(10 ** d))}" y="${height - bottom + 16}">${short(10 ** d)}</text>`,
    );
  out.push(
    `<text class="soft middle" x="${(left + width) / 2}" y="${height - 10}">initiation interval (cycles)</text>`,
  );
  if (m.most !== undefined && m.most <= highest * 1.06)
    out.push(
      `<line class="limit" x1="${left}" x2="${width - right}" y1="${f(y(m.most))}" y2="${f(y(m.most))}"><title>${m.most} on the device</title></line>`,
    );
  // The least of this measure up to each interval.
  const best: ParetoPoint[] = [];
  if (m.unit !== "%")
    for (const p of e.points) if (best.length === 0 || m.of(p) < m.of(best[best.length - 1]!)) best.push(p);
  const corners = best.flatMap((p, i) =>
    i === 0
      ? [`${f(x(p.initiation_interval))},${f(y(m.of(p)))}`]
      : [
          `${f(x(p.initiation_interval))},${f(y(m.of(best[i - 1]!)))}`,
          `${f(x(p.initiation_interval))},${f(y(m.of(p)))}`,
        ],
  );
  for (const p of e.points)
    out.push(
      `<circle class="${best.includes(p) || m.unit === "%" ? "dot" : "other"}" r="${best.includes(p) ? 4 : 3}" cx="${f(x(p.initiation_interval))}" cy="${f(y(m.of(p)))}"><title>${escapeText(about(p))}</title></circle>`,
    );
  if (corners.length > 1) out.splice(-e.points.length, 0, `<polyline class="front" points="${corners.join(" ")}"/>`);
  return out.join("");
}

function about(p: ParetoPoint): string {
  return `every ${p.initiation_interval} cycles, latency ${p.latency}\n${p.resources.lut} LUT, ${p.resources.ff} FF, ${p.resources.dsp} DSP, ${p.resources.bram} BRAM\n${p.multipliers} multipliers, ${(100 * p.mac_efficiency).toFixed(0)} % busy`;
}

const f = (n: number): string => String(Number(n.toFixed(1)));

function short(n: number): string {
  return n >= 1e6
    ? `${Number((n / 1e6).toPrecision(3))}M`
    : n >= 1e3
      ? `${Number((n / 1e3).toPrecision(3))}k`
      : String(Number(n.toPrecision(3)));
}

const PAGE = `
body { margin: 0 auto; max-width: 1180px; padding: 28px 20px 60px; font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: #1c2430; background: #fbfbf9; } h1 { font-size: 24px; margin: 0 0 4px; } p { color: #5d6b7c; } .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; width: 100%; margin-top: 18px; } th, td { text-align: right; padding: 5px 10px; border-bottom: 1px solid #e3e6ea; font-variant-numeric: tabular-nums; } th { color: #5d6b7c; }
@media (prefers-color-scheme: dark) { body { color: #e8ecf1; background: #14181e; } p, th { color: #9aa7b6; } th, td { border-color: #313945; } }
`;

/** One file without scripts, fonts or links to anything else. */
export function explorationHtml(e: Exploration): string {
  const title = `Designs of ${basename(e.model)}`;
  const head = ["interval", "samples/s", "latency", "multipliers", "busy", "LUT", "FF", "DSP", "BRAM"]
    .map((h) => `<th>${h}</th>`)
    .join("");
  const n = (v: number): string => v.toLocaleString("en-US");
  const rows = e.points.map(
    (p) =>
      `<tr>${[n(p.initiation_interval), short(p.throughput_hz), n(p.latency), n(p.multipliers), `${(100 * p.mac_efficiency).toFixed(1)} %`, n(p.resources.lut), n(p.resources.ff), n(p.resources.dsp), n(p.resources.bram)].map((c) => `<td>${c}</td>`).join("")}</tr>`,
  );
  return `<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escapeText(title)}</title><style>${PAGE}</style></head>\n<body><h1>${escapeText(title)}</h1><p>None of these designs is worse than another in everything. Cycles are exact, resources estimated. Blue: the least of each panel at its interval; red: the end of the device. Points tell more under the pointer.</p><div class="scroll">${explorationSvg(e)}</div><div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>${rows.join("")}</tbody></table></div></body></html>\n`;
}
