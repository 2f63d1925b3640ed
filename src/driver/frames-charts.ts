/** The drawings of `run --sensor --html`: the frame, patches, residuals, counts. */
import type { Peak } from "../sensor/find.js";
import type { PeakRow } from "../sensor/peak-table.js";
import type { FrameRecord } from "../sensor/records.js";
import type { Residual, TrueCentre } from "../sensor/truth.js";
import { dataUri, indexedPng } from "./png.js";
import { at, circle, line, rect, svg, text, ticks } from "./svg.js";

/** Black through violet and orange to pale yellow, so that brightness grows with the counts. */
const STOPS = [
  [0, 4, 4, 14],
  [0.3, 74, 20, 104],
  [0.6, 190, 55, 82],
  [0.82, 249, 142, 9],
  [1, 252, 255, 190],
] as const;

const PALETTE = Uint8Array.from(
  Array.from({ length: 256 }, (_, i) => {
    const t = i / 255;
    const k = STOPS.findIndex((s, n) => n > 0 && t <= s[0]);
    const [a, b] = [STOPS[k - 1]!, STOPS[k]!];
    const f = (t - a[0]) / (b[0] - a[0]);
    return [1, 2, 3].map((c) => Math.round(a[c]! + f * (b[c]! - a[c]!)));
  }).flat(),
);

/** Longer edge of the picture of a frame, in pixels of the picture. */
const LONGEST = 1080;

function logLevels(values: ArrayLike<number>, most: number): Uint8Array {
  const scale = 255 / Math.log1p(Math.max(1, most));
  return Uint8Array.from(values, (v) => Math.round(Math.log1p(v) * scale));
}

function largest(values: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < values.length; i++) if (values[i]! > most) most = values[i]!;
  return most;
}

export interface FrameView {
  readonly rows: number;
  readonly columns: number;
  readonly values: Uint16Array;
}

/** The frame with its peaks, sent or dropped (rings), and true centres (crosses); of pixels that share one of the picture the largest. */
export function frameChart(
  frame: FrameView,
  peaks: readonly PeakRow[],
  lost: readonly PeakRow[],
  truth: readonly TrueCentre[],
): string {
  const { rows, columns, values } = frame;
  const step = Math.max(1, Math.ceil(Math.max(rows, columns) / LONGEST));
  const [height, width] = [Math.ceil(rows / step), Math.ceil(columns / step)];
  const picture = new Uint16Array(width * height);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) {
      const k = Math.floor(r / step) * width + Math.floor(c / step);
      if (values[r * columns + c]! > picture[k]!) picture[k] = values[r * columns + c]!;
    }
  // Small frames are enlarged by a whole number.
  const zoom = Math.max(1, Math.floor(LONGEST / Math.max(width, height)));
  const [w, h] = [width * zoom, height * zoom];
  const scale = zoom / step;
  // The middle of the first pixel is 0.
  const [x, y] = [(c: number): number => (c + 0.5) * scale, (r: number): number => (r + 0.5) * scale];
  const png = dataUri(indexedPng(width, height, logLevels(picture, largest(picture)), PALETTE));
  const radius = Math.max(4, Math.min(9, 4 * scale));
  const ring = (p: PeakRow, cls: string): string =>
    circle(
      x(p.column),
      y(p.row),
      radius,
      cls,
      `row ${p.row.toFixed(3)}, column ${p.column.toFixed(3)}, maximum ${p.maximum}`,
    );
  const body = [
    `<image href="${png}" width="${w}" height="${h}" class="pixels"/>`,
    ...truth.map((t) => cross(x(t.column), y(t.row), radius * 0.7, "true")),
    ...peaks.map((p) => ring(p, "found")),
    ...lost.map((p) => ring(p, "lost")),
  ];
  return svg(w, h, "The frame with the most peaks", body);
}

function cross(x: number, y: number, r: number, cls: string): string {
  return `${line(x - r, y, x + r, y, cls)}${line(x, y - r, x, y + r, cls)}`;
}

export interface PatchView {
  readonly peak: Peak;
  readonly row: PeakRow;
  readonly residual: Residual | undefined;
}

/** A patch on its own scale, with the position found and the true one. */
export function patchChart(p: PatchView): string {
  const size = Math.sqrt(p.peak.pixels.length);
  const edge = 132;
  const scale = edge / size;
  const [x, y] = [
    (column: number): number => (column - p.peak.column + 0.5) * scale,
    (row: number): number => (row - p.peak.row + 0.5) * scale,
  ];
  const png = dataUri(indexedPng(size, size, logLevels(p.peak.pixels, largest(p.peak.pixels)), PALETTE));
  const { row, column } = p.row;
  const caption =
    p.residual === undefined
      ? `${row.toFixed(2)}, ${column.toFixed(2)}`
      : `off by ${p.residual.distance.toFixed(3)} px`;
  const body = [
    `<image href="${png}" width="${edge}" height="${edge}" class="pixels"/>`,
    ...(p.residual === undefined
      ? []
      : [
          circle(x(column - p.residual.column), y(row - p.residual.row), 6, "halo"),
          circle(x(column - p.residual.column), y(row - p.residual.row), 6, "truering", "true centre"),
        ]),
    // A dark edge, so that the cross is seen on bright pixels, too.
    cross(x(column), y(row), 8, "halo"),
    cross(x(column), y(row), 7, "centre"),
    text(edge / 2, edge + 15, caption, "middle small"),
  ];
  return svg(edge, edge + 22, `Patch of the peak at row ${row.toFixed(2)}, column ${column.toFixed(2)}`, body);
}

/** How many peaks are how far from the truth. */
export function residualChart(residuals: readonly Residual[], limit: number): string {
  const [width, height, left, top] = [430, 230, 46, 12];
  const bins = new Array<number>(40).fill(0);
  for (const r of residuals) bins[Math.min(39, Math.floor((r.distance / limit) * 40))]!++;
  const most = Math.max(1, ...bins);
  const y = (n: number): number => top + height * (1 - n / most);
  const out: string[] = [];
  for (const t of ticks(0, most, 4))
    out.push(line(left, y(t), left + width, y(t), "grid"), text(left - 6, y(t) + 4, String(t), "end axis"));
  bins.forEach((n, i) => {
    const range = `${((i * limit) / 40).toFixed(3)} to ${(((i + 1) * limit) / 40).toFixed(3)} px`;
    out.push(
      rect(left + (i * width) / 40 + 0.5, y(n), width / 40 - 1, top + height - y(n), "bar", `${n} peaks, ${range}`),
    );
  });
  for (const t of ticks(0, limit, 4))
    out.push(text(left + (t / limit) * width, top + height + 16, String(t), "middle axis"));
  out.push(
    line(left, top + height, left + width, top + height, "rule"),
    text(left + width / 2, top + height + 34, "distance to the true centre (pixels)", "middle axis"),
  );
  return svg(left + width + 14, top + height + 42, "Distances to the true centres", out);
}

/** Where the found positions lie around the truth. */
export function offsetChart(residuals: readonly Residual[], limit: number): string {
  const [size, left, top] = [230, 52, 12];
  const x = (v: number): number => left + (size * (v + limit)) / (2 * limit);
  const y = (v: number): number => top + (size * (v + limit)) / (2 * limit);
  const out: string[] = [];
  for (const t of ticks(-limit, limit, 4))
    out.push(
      line(x(t), top, x(t), top + size, "grid"),
      line(left, y(t), left + size, y(t), "grid"),
      text(x(t), top + size + 16, String(t), "middle axis"),
      text(left - 6, y(t) + 4, String(t), "end axis"),
    );
  const near = residuals.filter((r) => Math.abs(r.row) <= limit && Math.abs(r.column) <= limit);
  // Thousands of points say no more than some of them.
  const every = Math.ceil(near.length / 2000);
  near
    .filter((_, i) => i % every === 0)
    .forEach((r) => out.push(`<circle cx="${at(x(r.column))}" cy="${at(y(r.row))}" r="2" class="point"/>`));
  out.push(
    line(x(0), top, x(0), top + size, "rule"),
    line(left, y(0), left + size, y(0), "rule"),
    text(left + size / 2, top + size + 34, "columns", "middle axis"),
    text(12, top + size / 2, "rows", "middle axis", ` transform="rotate(-90 12 ${at(top + size / 2)})"`),
  );
  return svg(left + size + 14, top + size + 42, "Found less true position", out);
}

/** Peaks of each frame, sent and dropped; of many frames those that share a bar are added up. */
export function countChart(frames: readonly FrameRecord[]): string {
  const [width, height, left, top] = [1000, 170, 56, 12];
  const share = Math.ceil(frames.length / 250);
  const bars = Array.from({ length: Math.ceil(frames.length / share) }, (_, i) => {
    const part = frames.slice(i * share, (i + 1) * share);
    const mean = (key: "found" | "sent" | "dropped"): number => part.reduce((n, f) => n + f[key], 0) / part.length;
    return {
      first: part[0]!.frame,
      sent: mean("sent"),
      dropped: mean("dropped"),
      flagged: part.some((f) => f.flags.length > 0),
    };
  });
  const most = Math.max(1, ...bars.map((b) => b.sent + b.dropped));
  const h = (n: number): number => (height * n) / most;
  const step = width / Math.max(8, bars.length);
  const out: string[] = [];
  for (const t of ticks(0, most, 4)) {
    const y = top + height - h(t);
    out.push(line(left, y, left + width, y, "grid"), text(left - 6, y + 4, String(t), "end axis"));
  }
  bars.forEach((b, i) => {
    const about = `frame ${b.first}${share > 1 ? ` and the ${share - 1} behind it` : ""}: ${b.sent.toFixed(share > 1 ? 1 : 0)} sent, ${b.dropped.toFixed(share > 1 ? 1 : 0)} dropped`;
    const [x, w] = [left + i * step + step * 0.1, step * 0.8];
    out.push(rect(x, top + height - h(b.sent), w, h(b.sent), "bar", about));
    if (b.dropped > 0) out.push(rect(x, top + height - h(b.sent + b.dropped), w, h(b.dropped), "bar worst", about));
    if (b.flagged) out.push(circle(x + w / 2, top + height + 8, 3, "worst", `${about}; flagged`));
    if (i % Math.ceil(bars.length / 20) === 0)
      out.push(text(x + w / 2, top + height + 24, String(b.first), "middle axis"));
  });
  out.push(
    line(left, top + height, left + width, top + height, "rule"),
    text(left + width / 2, top + height + 42, "frame", "middle axis"),
  );
  return svg(left + width + 14, top + height + 50, "Peaks per frame", out);
}
