/**
 * The page of `compare --html`: pictures first, then numbers.
 */
import { basename } from "node:path";
import {
  LAYER_COLUMNS,
  percent,
  short,
  widthsInWords,
  type Comparison,
  type LayerComparison,
  type OutputComparison,
} from "./comparison.js";
import { errorChart, rangeChart, ratioChart, scatterChart } from "./compare-charts.js";
import { key, page, section } from "./page.js";
import { escapeText } from "./svg.js";

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
  return page(title, parts);
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
  const head = ["layer", ...LAYER_COLUMNS, "what to do"];
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
