/**
 * The page of `compare --html`: pictures first, then numbers. One file without scripts, fonts or links to anything
 * else.
 */
import { basename } from "node:path";
import {
  percent,
  short,
  widthsInWords,
  type Comparison,
  type LayerComparison,
  type OutputComparison,
} from "./comparison.js";
import { errorChart, escapeText, rangeChart, ratioChart, scatterChart } from "./compare-charts.js";

const STYLE = `
:root { --ink: #1c2430; --soft: #5d6b7c; --paper: #fbfbf9; --card: #fff; --line: #e3e6ea; --blue: #2268b2; --pale: #bcd4ec; --red: #c8362b; --spot: #fdf0d8; --orange: #d98a1f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf1; --soft: #9aa7b6; --paper: #14181e; --card: #1c222b; --line: #313945; --blue: #6fb0f0; --pale: #2f4a68; --red: #f2766b; --spot: #3a3020; --orange: #e7a94d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1160px; padding: 32px 20px 60px; font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: var(--ink); background: var(--paper); }
h1 { font-size: 26px; margin: 0 0 2px; } h2 { font-size: 18px; margin: 0 0 4px; } h3 { font-size: 15px; margin: 14px 0 4px; }
p { margin: 4px 0 10px; } .lead { color: var(--soft); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px; margin: 18px 0; }
.scroll { overflow-x: auto; } svg { display: block; font: 12px system-ui, sans-serif; max-width: none; }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin: 18px 0; } .tile { flex: 1 1 150px; background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px; }
.tile b { display: block; font-size: 22px; font-weight: 650; } .tile span { color: var(--soft); font-size: 13px; }
.key { display: inline-flex; align-items: center; gap: 6px; margin-right: 18px; color: var(--soft); font-size: 13px; } .key svg { display: inline; }
ol { margin: 6px 0 0; padding-left: 22px; } li { margin: 6px 0; overflow-wrap: anywhere; } code { font: 13px ui-monospace, Menlo, Consolas, monospace; background: var(--line); border-radius: 4px; padding: 1px 5px; }
.pair { display: flex; flex-wrap: wrap; gap: 8px 28px; }
table { border-collapse: collapse; font-size: 13px; width: 100%; } th { text-align: left; color: var(--soft); font-weight: 600; } th, td { padding: 5px 10px 5px 0; border-bottom: 1px solid var(--line); white-space: nowrap; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; } tr.spot td { background: var(--spot); }
text { fill: var(--ink); } text.axis { fill: var(--soft); font-size: 11px; } text.small { font-size: 11px; } text.strong { font-weight: 700; } text.bad { fill: var(--red); } .middle { text-anchor: middle; } .end { text-anchor: end; }
.grid { stroke: var(--line); } .rule { stroke: var(--soft); } .spot { fill: var(--spot); } .running { fill: none; stroke: var(--blue); stroke-width: 2; } .drop { stroke: var(--pale); stroke-width: 2; }
.dot { fill: var(--blue); } .own { fill: var(--card); stroke: var(--blue); stroke-width: 2; } circle.worst { fill: var(--red); } .bar { fill: var(--blue); } rect.worst { fill: var(--red); }
.bit { fill: var(--blue); } .idle { fill: var(--pale); } .peak { stroke: var(--ink); stroke-width: 2.5; } .over { stroke: var(--red); } .rms { fill: var(--orange); stroke: var(--card); } .point { fill: var(--blue); fill-opacity: 0.35; }
`;

export function comparisonHtml(c: Comparison): string {
  const worst = c.layers.reduce<LayerComparison | undefined>(
    (w, l) => (l.output_share > (w?.output_share ?? 0) ? l : w),
    undefined,
  );
  const title = `Accuracy of ${basename(c.model)}`;
  const parts = [
    `<h1>${escapeText(title)}</h1>`,
    `<p class="lead">The float network and the fixed-point design <code>${escapeText(c.design)}</code> (${escapeText(widthsInWords(c.precision))}) on ${c.samples} samples</p>`,
    `<div class="tiles">${c.outputs.map((o) => tiles(o, c.outputs.length > 1)).join("")}</div>`,
    c.findings.length === 0
      ? ""
      : section("What to know", "", `<ol>${c.findings.map((f) => `<li>${withCommands(f)}</li>`).join("")}</ol>`),
    c.layers.length === 0
      ? ""
      : section(
          "Where accuracy is lost",
          "From the inputs on the left to the outputs on the right. High is good: 20 dB is one part in ten of noise, 40 dB one in a hundred, 60 dB one in a thousand. A line that falls below a layer's open circle inherits its noise; a low open circle makes it. Bars: how much of the error at the outputs each layer causes.",
          `<p>${key('<circle cx="8" cy="8" r="5" class="dot"/>', "tensor in the running network")}${key('<circle cx="8" cy="8" r="5" class="own"/>', "noise of the layer alone")}${key('<rect x="3" y="3" width="10" height="10" class="worst"/>', "loses most")}</p><div class="scroll">${ratioChart(c.layers, worst)}</div>`,
        ),
    c.layers.length === 0
      ? ""
      : section(
          "Do the formats fit the data?",
          "One cell per bit, on an axis of powers of two. Pale cells are bits that this data never uses; a red mark to the right of the cells is data that the format cannot hold and that is clipped.",
          `<p>${key('<rect x="2" y="3" width="12" height="10" class="bit"/>', "bit in use")}${key('<rect x="2" y="3" width="12" height="10" class="idle"/>', "bit not used")}${key('<line x1="8" y1="1" x2="8" y2="15" class="peak"/>', "largest value")}${key('<circle cx="8" cy="8" r="4" class="rms"/>', "root mean square")}</p><div class="scroll">${rangeChart(c.layers, worst)}</div>`,
        ),
    ...c.outputs.map((o) =>
      section(
        `Output ${escapeText(o.name)}`,
        `${o.format}, ${o.elements} ${o.elements === 1 ? "number" : "numbers"} per sample. Points on the diagonal are equal.`,
        `<div class="pair"><div>${scatterChart(o)}</div><div>${errorChart(o)}</div></div>`,
      ),
    ),
    section(
      "All layers",
      `Ranges and ratios on ${c.layer_samples} samples.`,
      `<div class="scroll">${layerTable(c.layers, worst)}</div>`,
    ),
  ];
  return `<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escapeText(title)}</title><style>${STYLE}</style></head>\n<body>\n${parts.filter((p) => p !== "").join("\n")}\n</body></html>\n`;
}

function section(title: string, lead: string, body: string): string {
  return `<section><h2>${title}</h2>${lead === "" ? "" : `<p class="lead">${lead}</p>`}${body}</section>`;
}

function key(mark: string, label: string): string {
  return `<span class="key"><svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">${mark}</svg>${label}</span>`;
}

function tiles(o: OutputComparison, named: boolean): string {
  const of = named ? ` of ${escapeText(o.name)}` : "";
  const tile = (value: string, label: string): string =>
    `<div class="tile"><b>${value}</b><span>${label}${of}</span></div>`;
  return [
    tile(Number.isFinite(o.sqnr_db) ? `${o.sqnr_db.toFixed(1)} dB` : "exact", "signal-to-noise"),
    tile(short(o.mae), "mean error"),
    tile(short(o.max_abs_error), "largest error"),
    ...(o.argmax_agreement === undefined ? [] : [tile(percent(o.argmax_agreement), "same largest element")]),
  ].join("");
}

/** Options to type, set as code. */
function withCommands(sentence: string): string {
  return escapeText(sentence).replace(
    /--precision '[^']*'|'[^' ]+'|--precision|--calib [A-Z]+/g,
    (m) => `<code>${m}</code>`,
  );
}

function layerTable(layers: readonly LayerComparison[], worst: LayerComparison | undefined): string {
  const ratio = (x: number): string => (Number.isFinite(x) ? x.toFixed(1) : x > 0 ? "exact" : "-");
  const head = [
    "layer",
    "computes",
    "float range",
    "format",
    "saturated",
    "range used",
    "SQNR dB",
    "own dB",
    "of output noise",
    "mostly",
    "width by",
    "what to do",
  ];
  const rows = layers.map((l) => {
    const cells = [
      l.name,
      l.nodes.length === 0 ? "input" : l.operations.join(", "),
      `${short(l.min)} to ${short(l.max)}`,
      l.format,
      percent(l.saturated),
      percent(l.range_used),
      ratio(l.sqnr_db),
      ratio(l.own_sqnr_db),
      percent(l.output_share),
      l.cause,
      l.rule ?? "-",
    ];
    return `<tr${l === worst ? ' class="spot"' : ""}>${cells.map((s, i) => `<td${i >= 4 && i <= 8 ? ' class="n"' : ""}${i === 0 ? ` title="${escapeText(l.nodes.join(" "))}"` : ""}>${escapeText(s)}</td>`).join("")}<td>${withCommands(l.advice ?? "")}</td></tr>`;
  });
  return `<table><thead><tr>${head.map((h, i) => `<th${i >= 4 && i <= 8 ? ' class="n"' : ""}>${h}</th>`).join("")}</tr></thead><tbody>${rows.join("")}</tbody></table>`;
}
