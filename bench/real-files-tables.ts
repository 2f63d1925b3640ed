/** Tables of bench/real-files.ts: for the terminal, and as a page. */
import { isSilent, isWrong, type RealFile, type RealFileRecord } from "./real-file-record.js";

const worstDb = (r: RealFileRecord): number | null => {
  const all = (r.fixed ?? []).map((d) => d.sqnr_db).filter((d) => d !== null);
  return all.length === 0 ? null : Math.min(...all);
};
const worstArgmax = (r: RealFileRecord): number | undefined => {
  const all = (r.fixed ?? []).flatMap((d) => (d.argmax === undefined ? [] : [d.argmax]));
  return all.length === 0 ? undefined : Math.min(...all);
};
const percent = (n: number, of: number): string => `${((100 * n) / Math.max(1, of)).toFixed(1)} %`;

function cells(r: RealFileRecord): string[] {
  const db = worstDb(r);
  const argmax = worstArgmax(r);
  const ties = Math.max(0, ...(r.fixed ?? []).map((d) => d.ties ?? 0));
  const float =
    r.float === undefined || r.float.length === 0
      ? ""
      : Math.max(...r.float.map((d) => d.nrmse ?? NaN)).toExponential(0);
  const accuracy = r.fixed === undefined || r.fixed.length === 0 ? "" : db === null ? "exact" : db.toFixed(1);
  const state = isWrong(r) ? "WRONG" : isSilent(r) ? "inaccurate, silent" : r.outcome;
  return [
    r.name,
    state,
    r.macs === undefined ? "" : String(r.macs),
    r.seconds === undefined ? "" : String(r.seconds),
    accuracy,
    argmax === undefined ? "" : percent(argmax, 1) + (ties > 0 ? ` (${percent(ties, 1)} ties)` : ""),
    float,
    (r.errors?.map((e) => `${e.code} ${e.message}`)[0] ?? (r.warnings ?? []).join(" "))
      .replace(/\s+/g, " ")
      .slice(0, 160),
  ];
}

const HEAD = ["file", "outcome", "MACs", "s", "dB", "argmax", "float", "message"];

/** Refusals by code, most frequent first. */
function reasons(records: readonly RealFileRecord[]): [string, number, string][] {
  const found = new Map<string, { count: number; example: string }>();
  for (const r of records) {
    if (r.outcome === "compiled") continue;
    const key = r.outcome === "refused" ? (r.errors?.[0]?.code ?? "?") : r.outcome;
    const known = found.get(key);
    found.set(key, { count: (known?.count ?? 0) + 1, example: known?.example ?? r.errors?.[0]?.message ?? "" });
  }
  return [...found]
    .map(([k, v]): [string, number, string] => [k, v.count, v.example.slice(0, 120)])
    .sort((a, b) => b[1] - a[1]);
}

function counts(records: readonly RealFileRecord[]): string {
  const of = (o: RealFileRecord["outcome"]): number => records.filter((r) => r.outcome === o).length;
  return `${of("compiled")} of ${records.length} compile (${percent(of("compiled"), records.length)}), ${of("refused")} are refused, ${of("timeout")} take longer, ${of("crash")} crash; ${records.filter(isWrong).length} wrong, ${records.filter(isSilent).length} inaccurate without a word.`;
}

export function plain(records: readonly RealFileRecord[]): string {
  const rows = [HEAD, ...records.map(cells)];
  const widths = HEAD.map((_, c) => Math.max(...rows.map((r) => r[c]!.length)));
  const table = rows
    .map((r) =>
      r
        .map((t, c) => (c === 0 || c === 1 || c === HEAD.length - 1 ? t.padEnd(widths[c]!) : t.padStart(widths[c]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
  return `${table}\n\n${reasons(records)
    .map(([code, n, example]) => `${String(n).padStart(4)}  ${code}  ${example}`)
    .join("\n")}\n\n${counts(records)}`;
}

/** By exporter, with the least of all at the head. */
function judgedTable(list: readonly RealFile[], records: readonly RealFileRecord[]): string {
  const rows = list.flatMap((f) => {
    const r = f.judged === true ? records.find((x) => x.name === f.name) : undefined;
    return r === undefined ? [] : [{ exporter: f.exporter.split(" ")[0]!, r }];
  });
  const low = rows.filter(({ r }) => (worstDb(r) ?? Infinity) < 25 || r.outcome !== "compiled");
  const body = rows
    .sort((a, b) => (a.exporter + a.r.name < b.exporter + b.r.name ? -1 : 1))
    .map(
      ({ exporter, r }) =>
        `| ${[exporter, ...cells(r).slice(0, 3), ...cells(r).slice(4, 6), cells(r).at(-1)!].join(" | ")} |`,
    );
  return `${rows.length} networks of ${new Set(rows.map((x) => x.exporter)).size} exporters, ${low.length === 0 ? "none below 25 dB" : `below 25 dB or refused: ${low.map((x) => x.r.name).join(", ")}`}.

| exporter | file | outcome | MACs | dB | argmax | message |
| --- | --- | --- | ---: | ---: | ---: | --- |
${body.join("\n")}`;
}

export function markdown(list: readonly RealFile[], records: readonly RealFileRecord[], date: string): string {
  const line = (c: readonly string[]): string => `| ${c.map((x) => x.replace(/\|/g, "\\|")).join(" | ")} |`;
  const origins = new Set(list.filter((f) => records.some((r) => r.name === f.name)).map((f) => f.origin)).size;
  const compiled = records.filter((r) => r.outcome === "compiled");
  const measured = compiled
    .filter((r) => (r.fixed ?? []).length > 0)
    .sort((a, b) => (worstDb(a) ?? Infinity) - (worstDb(b) ?? Infinity));
  return `<!-- Generated by \`npm run bench:real -- --dir DIR --markdown docs/real-files.md\`; do not edit. -->

# Real files

${records.length} ONNX files of ${origins} projects and packages (of ${list.length} that \`bench/real-files.json\` lists with origin and licence; the files are not part of
this repository), compiled with defaults and 120 s of processor time each, on generated data by one rule for all
(\`bench/real-files-reference.py\`). Recorded on ${date}.

${counts(records)}${records.length < list.length ? " Files are measured in the order of their size and work; those that are left are the larger ones, so that the\nshare says nothing of them." : ""}

- dB: signal over the squared error against ONNX Runtime, of the worst output, on samples that did not calibrate. argmax: of outputs
  that are scores, rows with their largest element at the same place; of labels, those that are equal. Which outputs these are, the compiler
  and this page decide alike (docs/accuracy.md). Rows whose two elements differ by less than the output's last bit count as the same, and
  are shown as ties.
- float: error of the float interpreter against ONNX Runtime, relative to the output's root mean square; above 1e-3 is called wrong.
- Below 20 dB, or below 90 % of argmax, without a warning of accuracy (QU021, QU023, QU025) is called silent.

## Trained float networks by which accuracy at defaults is judged

${judgedTable(list, records)}

## Refusals

| code | files | for instance |
| --- | ---: | --- |
${reasons(records)
  .map(([c, n, e]) => line([c, String(n), e]))
  .join("\n")}

## Files that compile, the least accurate first

${line(HEAD)}
| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |
${[...measured, ...compiled.filter((r) => (r.fixed ?? []).length === 0)].map((r) => line(cells(r))).join("\n")}

## Files that do not

| file | outcome | message |
| --- | --- | --- |
${records
  .filter((r) => r.outcome !== "compiled")
  .map((r) => line([r.name, r.outcome, cells(r).at(-1)!]))
  .join("\n")}
`;
}
