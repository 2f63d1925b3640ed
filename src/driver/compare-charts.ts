/** The drawings of a comparison. */
import { type LayerComparison, type OutputComparison, percent, short } from "./comparison.js";
import { at, circle, line, rect, svg, text, ticks } from "./svg.js";

/** Ratios that a chart can place: what has no noise at all is put at the top. */
const EXACT_DB = 120;
function clampDb(x: number): number {
  return Number.isFinite(x) ? Math.max(0, Math.min(EXACT_DB, x)) : x > 0 ? EXACT_DB : 0;
}
function dbText(x: number): string {
  return Number.isFinite(x) ? `${x.toFixed(1)} dB` : x > 0 ? "no noise" : "no signal";
}
export function shorten(name: string, length: number): string {
  return name.length <= length ? name : `…${name.slice(name.length - length + 1)}`;
}

/**
 * Signal-to-noise ratio from input to output, running and own, over bars with each layer's share of the noise at the
 * outputs.
 */
export function ratioChart(layers: readonly LayerComparison[], worst: LayerComparison | undefined): string {
  const step = Math.max(34, Math.min(90, 980 / Math.max(1, layers.length)));
  const [left, top, plot, gap, bars, foot] = [56, 16, 250, 26, 90, 150];
  const width = left + step * layers.length + 20;
  const height = top + plot + gap + bars + foot;
  const values = layers.flatMap((l) => [clampDb(l.sqnr_db), clampDb(l.own_sqnr_db)]);
  const [lo, hi] = [
    Math.max(0, Math.floor((Math.min(...values) - 4) / 10) * 10),
    Math.ceil((Math.max(...values) + 3) / 10) * 10,
  ];
  const x = (i: number): number => left + step * (i + 0.5);
  const y = (db: number): number => top + plot * (1 - (clampDb(db) - lo) / Math.max(1, hi - lo));
  const out: string[] = [];
  for (const t of ticks(lo, hi, 6))
    out.push(line(left, y(t), width - 20, y(t), "grid"), text(left - 8, y(t) + 4, String(t), "end axis"));
  out.push(
    text(
      14,
      top + plot / 2,
      "signal-to-noise (dB)",
      "middle axis",
      ` transform="rotate(-90 14 ${at(top + plot / 2)})"`,
    ),
  );
  const floor = top + plot + gap + bars;
  const most = Math.max(...layers.map((l) => l.output_share), 1e-9);
  out.push(
    text(14, floor - bars / 2, "share", "middle axis", ` transform="rotate(-90 14 ${at(floor - bars / 2)})"`),
    line(left, floor, width - 20, floor, "rule"),
  );
  if (worst !== undefined) out.push(rect(x(layers.indexOf(worst)) - step / 2, top, step, plot + gap + bars, "spot"));
  out.push(`<polyline class="running" points="${layers.map((l, i) => `${at(x(i))},${at(y(l.sqnr_db))}`).join(" ")}"/>`);
  layers.forEach((l, i) => {
    const about = `${l.name} (${l.format})\nin the running network ${dbText(l.sqnr_db)}\nby itself ${dbText(l.own_sqnr_db)}\n${percent(l.output_share)} of the noise at the outputs`;
    out.push(
      line(x(i), y(l.own_sqnr_db), x(i), y(l.sqnr_db), "drop"),
      circle(x(i), y(l.own_sqnr_db), 5, "own", about),
      circle(x(i), y(l.sqnr_db), 4.5, l === worst ? "worst" : "dot", about),
    );
    const h = (bars - 14) * (l.output_share / most);
    out.push(rect(x(i) - step * 0.32, floor - h, step * 0.64, h, l === worst ? "bar worst" : "bar", about));
    if (l.output_share >= 0.01) out.push(text(x(i), floor - h - 4, percent(l.output_share), "middle small"));
    out.push(
      text(
        x(i) + 4,
        floor + 12,
        shorten(l.name, 24),
        l === worst ? "end small strong" : "end small",
        ` transform="rotate(-50 ${at(x(i) + 4)} ${at(floor + 12)})"`,
      ),
    );
  });
  return svg(width, height, "Signal-to-noise ratio along the network", out);
}

/**
 * What each format can hold against what the data needs, on an axis of powers of two: one cell per bit, from the least
 * significant bit to the largest magnitude; marks where the data is largest and at its root mean square.
 */
export function rangeChart(layers: readonly LayerComparison[], worst: LayerComparison | undefined): string {
  const [left, row, top, right] = [250, 26, 30, 190];
  const magnitude = (l: LayerComparison): number => Math.max(Math.abs(l.min), Math.abs(l.max));
  const lsb = (l: LayerComparison): number => Math.log2(holds(l)) - bitsOf(l);
  const los = layers.map((l) => Math.min(lsb(l), magnitude(l) > 0 ? Math.log2(magnitude(l)) : Infinity));
  const his = layers.map((l) => Math.max(Math.log2(holds(l)), magnitude(l) > 0 ? Math.log2(magnitude(l)) : -Infinity));
  const [lo, hi] = [Math.floor(Math.min(...los)) - 0.5, Math.ceil(Math.max(...his)) + 0.5];
  const unit = Math.min(26, 640 / (hi - lo));
  const x = (e: number): number => left + (e - lo) * unit;
  const width = x(hi) + right;
  const height = top + row * layers.length + 34;
  const out: string[] = [];
  const every = unit < 16 ? 4 : 2;
  for (let e = Math.ceil(lo / every) * every; e <= hi; e += every) {
    out.push(line(x(e), top - 6, x(e), height - 30, "grid"), text(x(e), height - 14, powerText(e), "middle axis"));
  }
  layers.forEach((l, i) => {
    const y = top + row * i;
    const about = `${l.name}: ${l.format} holds ${short(l.lo)} to ${short(l.hi)}; the data is ${short(l.min)} to ${short(l.max)}`;
    if (l === worst) out.push(rect(4, y - 3, width - 8, row - 2, "spot"));
    out.push(text(left - 10, y + 13, shorten(l.name, 36), l === worst ? "end small strong" : "end small"));
    const peak = magnitude(l) > 0 ? Math.log2(magnitude(l)) : -Infinity;
    for (let b = 0; b < bitsOf(l); b++) {
      const e = lsb(l) + b;
      out.push(rect(x(e) + 0.5, y + 3, unit - 1, 12, e >= peak ? "bit idle" : "bit", b === 0 ? about : ""));
    }
    if (Number.isFinite(peak)) {
      const over = l.saturated > 0;
      out.push(line(x(peak), y - 1, x(peak), y + 19, over ? "peak over" : "peak"));
      if (over) out.push(line(x(Math.log2(holds(l))), y + 9, x(peak), y + 9, "peak over"));
    }
    if (l.rms > 0 && Math.log2(l.rms) >= lo)
      out.push(circle(x(Math.log2(l.rms)), y + 9, 3.2, "rms", `root mean square ${short(l.rms)}`));
    out.push(
      text(
        x(hi) + 6,
        y + 13,
        `${l.format}${l.saturated > 0 ? `  ${percent(l.saturated)} clipped` : ""}`,
        l.saturated > 0.001 ? "small bad" : "small",
      ),
    );
  });
  return svg(width, height, "Range of the data and of the formats", out);
}

/** Power of two just above the largest magnitude that the format holds. */
function holds(l: LayerComparison): number {
  return 2 ** Math.ceil(Math.log2(Math.max(l.hi, -l.lo) * (1 - 1e-12)));
}
/** Bits of magnitude; the sign is not drawn. */
function bitsOf(l: LayerComparison): number {
  return l.lo < 0 ? l.width - 1 : l.width;
}
function powerText(e: number): string {
  return e >= 0 && e <= 12 ? String(2 ** e) : e < 0 && e >= -6 ? `1/${2 ** -e}` : `2^${e}`;
}

/** Fixed point over float for one output. */
export function scatterChart(o: OutputComparison): string {
  const [size, left, top] = [260, 58, 12];
  const all = o.points.flat();
  const [a, b] = [Math.min(...all, o.min), Math.max(...all, o.max)];
  const pad = (b - a || 1) * 0.04;
  const [lo, hi] = [a - pad, b + pad];
  const x = (v: number): number => left + (size * (v - lo)) / (hi - lo);
  const y = (v: number): number => top + size * (1 - (v - lo) / (hi - lo));
  const out: string[] = [];
  for (const t of ticks(lo, hi, 4)) {
    out.push(
      line(x(t), top, x(t), top + size, "grid"),
      line(left, y(t), left + size, y(t), "grid"),
      text(x(t), top + size + 16, short(t), "middle axis"),
      text(left - 6, y(t) + 4, short(t), "end axis"),
    );
  }
  out.push(line(x(lo), y(lo), x(hi), y(hi), "rule"));
  for (const [u, v] of o.points) out.push(`<circle cx="${at(x(u))}" cy="${at(y(v))}" r="2" class="point"/>`);
  out.push(
    text(left + size / 2, top + size + 34, "float", "middle axis"),
    text(14, top + size / 2, "fixed point", "middle axis", ` transform="rotate(-90 14 ${at(top + size / 2)})"`),
  );
  return svg(left + size + 14, top + size + 42, `${o.name}: fixed point against float`, out);
}

/** How often which error occurs at one output. */
export function errorChart(o: OutputComparison): string {
  const [width, height, left, top] = [400, 260, 20, 12];
  const { from, to, bins } = o.histogram;
  const most = Math.max(1, ...bins);
  const x = (v: number): number => left + (width * (v - from)) / (to - from || 1);
  const out: string[] = [line(left, top + height, left + width, top + height, "rule")];
  const w = width / bins.length;
  bins.forEach((n, i) => {
    // Square roots, so that rare large errors can be seen beside the many small ones.
    const h = height * Math.sqrt(n / most);
    const step = (to - from) / bins.length;
    if (n > 0)
      out.push(
        rect(
          left + i * w + 0.5,
          top + height - h,
          w - 1,
          h,
          "bar",
          `${n} errors from ${short(from + i * step)} to ${short(from + (i + 1) * step)}`,
        ),
      );
  });
  for (const t of ticks(from, to, 4))
    out.push(
      line(x(t), top + height, x(t), top + height + 4, "rule"),
      text(x(t), top + height + 16, short(t), "middle axis"),
    );
  out.push(
    line(x(0), top, x(0), top + height, "grid"),
    text(
      left + width / 2,
      top + height + 34,
      "error (fixed point minus float); heights are square roots of counts",
      "middle axis",
    ),
  );
  return svg(left + width + 20, top + height + 42, `${o.name}: errors`, out);
}
