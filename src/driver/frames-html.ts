/** The page of `run --sensor --html`: what was found, where, how well, and what was dropped. */
import { basename } from "node:path";
import type { LocatedFrame } from "../sensor/locate.js";
import { rowsOf, type PeakRow, type PeakTable } from "../sensor/peak-table.js";
import { FRAME_FLAG_DOCS, type FrameRecord } from "../sensor/records.js";
import type { Sensor } from "../sensor/sensor.js";
import type { Matched, Residual, TrueCentre } from "../sensor/truth.js";
import { countChart, frameChart, offsetChart, patchChart, residualChart, type PatchView } from "./frames-charts.js";
import { key, page, section } from "./page.js";
import { escapeText } from "./svg.js";

export interface FramePage {
  readonly input: string;
  readonly sensor: Sensor;
  /** The frame that is drawn. */
  readonly shown: LocatedFrame;
  /** What was sent, of all frames. */
  readonly table: PeakTable;
  /** True centres of all frames. */
  readonly truth: readonly TrueCentre[] | undefined;
  readonly matched: Matched | undefined;
}

const STYLE = `
.pixels { image-rendering: pixelated; } .found { fill: none; stroke: #5ff0ff; stroke-width: 1.4; } .lost { fill: none; stroke: #ff4d5e; stroke-width: 1.8; } .true { stroke: #7dff7a; stroke-width: 1.2; }
.truering { fill: none; stroke: #7dff7a; stroke-width: 1.6; } .centre { stroke: #5ff0ff; stroke-width: 1.6; } .halo { fill: none; stroke: #10141c; stroke-opacity: 0.75; stroke-width: 4; } .patches { display: flex; flex-wrap: wrap; gap: 12px; }
`;

/** Patches that are shown, at most. */
const PATCHES = 28;

export function framesHtml(p: FramePage): string {
  const { sensor, shown } = p;
  const { frames } = p.table;
  const total = (k: "found" | "sent" | "dropped"): number => frames.reduce((n, f) => n + f[k], 0);
  const near = (p.matched?.residuals ?? []).filter((r) => r !== undefined);
  const mean = near.reduce((s, r) => s + r.distance, 0) / Math.max(1, near.length);
  const flagged = frames.filter((f) => f.flags.length > 0);
  const number = shown.end.frame;
  const title = `Peaks of ${basename(p.input)}`;
  const tile = (value: string, label: string): string => `<div class="tile"><b>${value}</b><span>${label}</span></div>`;
  const rule = sensor.find.rule === "component" ? "connected regions" : "local maxima";
  const sent = p.table.peaks.filter((r) => r.frame === number);
  const isSent = new Set(sent.map(placeOf));
  const lost = rowsOf(shown).filter((r) => !isSent.has(placeOf(r)));
  const truth = (p.truth ?? []).filter((t) => t.frame === number);
  const marks = [
    key('<circle cx="8" cy="8" r="5" class="found"/>', "sent"),
    lost.length === 0 ? "" : key('<circle cx="8" cy="8" r="5" class="lost"/>', "found and dropped"),
    truth.length === 0 ? "" : key('<path d="M3 8H13M8 3V13" class="true"/>', "true centre"),
  ];
  const parts = [
    `<h1>${escapeText(title)}</h1>`,
    `<p class="lead">${frames.length} ${frames.length === 1 ? "frame" : "frames"} of ${sensor.rows} x ${sensor.columns} pixels, ${rule} from ${sensor.threshold} counts above the dark, patches of ${sensor.patch} x ${sensor.patch}</p>`,
    `<div class="tiles">${[
      tile(String(total("found")), "peaks found"),
      tile(String(total("sent")), "sent"),
      tile(String(total("dropped")), "dropped"),
      ...(p.matched === undefined
        ? []
        : [
            tile(`${mean.toFixed(3)} px`, `mean distance to the truth of ${near.length} peaks within 2 px`),
            tile(String(p.matched.missed), "true centres without a peak"),
          ]),
    ].join("")}</div>`,
    section(
      `Frame ${number}`,
      `The frame with the most peaks (${shown.peaks.length}), dark and mask taken off, on a logarithmic scale.`,
      `<p>${marks.join("")}</p><div class="scroll">${frameChart({ ...sensor, values: shown.corrected.values }, sent, lost, truth)}</div>`,
    ),
    section(
      "Patches",
      `What the network sees, each on its own logarithmic scale${p.matched === undefined ? ": the brightest, and others spread over the frame" : ": those farthest from the truth first"}. The cross is the position found${p.matched === undefined ? "" : ", the ring the true centre"}.`,
      `<div class="patches">${patchesOf(p).map(patchChart).join("")}</div>`,
    ),
    p.matched === undefined ? "" : residuals(near),
    section(
      "Peaks per frame",
      total("dropped") === 0
        ? "Nothing was dropped."
        : `${total("dropped")} peaks were dropped because the queue was full, in ${frames.filter((f) => f.dropped > 0).length} frames.`,
      `<p>${key('<rect x="3" y="3" width="10" height="10" class="bar"/>', "sent")}${key('<rect x="3" y="3" width="10" height="10" class="worst"/>', "dropped")}${key('<circle cx="8" cy="8" r="3" class="worst"/>', "flagged")}</p><div class="scroll">${countChart(frames)}</div>${flags(flagged)}`,
    ),
  ];
  return page(title, parts, STYLE);
}

function residuals(near: readonly Residual[]): string {
  const sorted = near.map((r) => r.distance).sort((a, b) => a - b);
  const at = (q: number): number => sorted[Math.floor(q * (sorted.length - 1))] ?? 0;
  // The far tail is counted, not drawn to scale.
  const limit = Math.max(0.05, Math.min(2, Math.ceil(at(0.98) * 20) / 20));
  const beyond = near.filter((r) => r.distance > limit).length;
  return section(
    "Distance to the truth",
    `Half of the peaks are within ${at(0.5).toFixed(3)} px, nine of ten within ${at(0.9).toFixed(3)} px.${beyond === 0 ? "" : ` ${beyond} are beyond ${limit} px, in the last bar.`}`,
    `<div class="pair"><div>${residualChart(near, limit)}</div><div>${offsetChart(near, limit)}</div></div>`,
  );
}

/** Tells the peaks of a frame apart. */
function placeOf(p: PeakRow): string {
  return `${p.row},${p.column},${p.sum}`;
}

function patchesOf(p: FramePage): PatchView[] {
  const number = p.shown.end.frame;
  const index = new Map(p.table.peaks.flatMap((r, i) => (r.frame === number ? [[placeOf(r), i] as const] : [])));
  const rows = rowsOf(p.shown);
  const all = p.shown.peaks.map((x, i): PatchView => {
    const k = index.get(placeOf(rows[i]!));
    return { peak: x.peak, row: rows[i]!, residual: k === undefined ? undefined : p.matched?.residuals[k] };
  });
  if (p.matched !== undefined)
    return all.sort((a, b) => (b.residual?.distance ?? -1) - (a.residual?.distance ?? -1)).slice(0, PATCHES);
  const sorted = all.sort((a, b) => b.row.maximum - a.row.maximum);
  const half = PATCHES / 2;
  const rest = sorted.slice(half);
  const every = Math.max(1, Math.floor(rest.length / half));
  return [...sorted.slice(0, half), ...rest.filter((_, i) => i % every === 0).slice(0, half)];
}

function flags(flagged: readonly FrameRecord[]): string {
  const kinds = [...new Set(flagged.flatMap((f) => f.flags))];
  const items = kinds.map((k) => {
    const which = flagged.filter((f) => f.flags.includes(k)).map((f) => f.frame);
    const listed = which.slice(0, 10).join(", ") + (which.length > 10 ? ", ..." : "");
    return `<li>${escapeText(FRAME_FLAG_DOCS[k])}: ${which.length === 1 ? "frame" : "frames"} ${listed}</li>`;
  });
  return items.length === 0 ? "" : `<ol>${items.join("")}</ol>`;
}
