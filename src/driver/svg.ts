/** SVG as text, for the pages that commands write. Colours are classes, so that the page decides them. */

export function escapeText(s: string): string {
  return s.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");
}

export function svg(width: number, height: number, label: string, body: readonly string[]): string {
  return `<svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escapeText(label)}">${body.join("")}</svg>`;
}
export const at = (x: number): string => String(Number(x.toFixed(1)));
export function line(x1: number, y1: number, x2: number, y2: number, cls: string): string {
  return `<line x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}" class="${cls}"/>`;
}
export function text(x: number, y: number, s: string, cls = "", more = ""): string {
  return `<text x="${at(x)}" y="${at(y)}" class="${cls}"${more}>${escapeText(s)}</text>`;
}
export function rect(x: number, y: number, w: number, h: number, cls: string, title = ""): string {
  return `<rect x="${at(x)}" y="${at(y)}" width="${at(Math.max(0, w))}" height="${at(Math.max(0, h))}" class="${cls}">${title === "" ? "" : `<title>${escapeText(title)}</title>`}</rect>`;
}
export function circle(x: number, y: number, r: number, cls: string, title = ""): string {
  return `<circle cx="${at(x)}" cy="${at(y)}" r="${r}" class="${cls}">${title === "" ? "" : `<title>${escapeText(title)}</title>`}</circle>`;
}

/** About `count` round numbers from `lo` to `hi`. */
export function ticks(lo: number, hi: number, count: number): number[] {
  if (!(hi > lo)) return [lo];
  const raw = (hi - lo) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.75)!;
  const first = Math.ceil(lo / step - 1e-9);
  const last = Math.floor(hi / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}
