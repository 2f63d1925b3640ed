/** What the pages that commands write have in common. One file without scripts, fonts or links to anything else. */
import { escapeText } from "./svg.js";

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

export function section(title: string, lead: string, body: string): string {
  return `<section><h2>${title}</h2>${lead === "" ? "" : `<p class="lead">${lead}</p>`}${body}</section>`;
}

/** A mark of a drawing, and what it means. */
export function key(mark: string, label: string): string {
  return `<span class="key"><svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">${mark}</svg>${label}</span>`;
}

/** The whole page. `style` is put behind the style that all pages have. */
export function page(title: string, parts: readonly string[], style = ""): string {
  return `<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escapeText(title)}</title><style>${STYLE}${style}</style></head>\n<body>\n${parts.filter((p) => p !== "").join("\n")}\n</body></html>\n`;
}
