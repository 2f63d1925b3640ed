/**
 * FIFO and sliding window: one realization. Words arrive in a ring; columns of words are fetched from it, in order,
 * into tap registers; a step reads taps. A FIFO is the window of one tap.
 *
 * The words of a sample form a grid of rows of `pitch` words. A group of `repeat` consecutive steps reads one window,
 * `rows` x `columns` words; the next group's window lies further right, or at the start of a later row. Fetch f loads
 * the column `f mod pitch` of row visit `f div pitch`; the window of group g is complete once fetch `ready[g]` is done.
 * A window may hang over the end of its row: then the first columns of the next visit are already in, and masks hide
 * them.
 *
 * Where a window serves several steps and the next one is several fetches away, it is held: copied to registers of its
 * own, so that fetching goes on meanwhile.
 */
import type { ProducerOrder, ReadTable } from "./access.js";

export interface StreamPlan {
  readonly kind: "fifo" | "window";
  /** Words per sample. */
  readonly words: number;
  readonly pitch: number;
  /** Extent of the window, in words. */
  readonly rows: number;
  readonly columns: number;
  /** Row visits, first row (negative with padding above) and distance of visits. */
  readonly visits: number;
  readonly firstRow: number;
  readonly rowStep: number;
  /** Fetches per sample, and empty ones after them that move the last windows into place. */
  readonly fetches: number;
  readonly flushes: number;
  /**
   * Whether the first fetch of the next sample, if its words are there, does as the flush: then samples lose no cycle.
   */
  readonly mergesFlush: boolean;
  readonly groups: number;
  /** Steps per group: the product of the innermost `innerLoops` loops. */
  readonly repeat: number;
  readonly innerLoops: number;
  readonly ready: Int32Array;
  /** Whether windows are copied out of the taps, and fetching overlaps with the steps on them. */
  readonly held: boolean;
  /** Words that must have arrived before fetch f; words that are dead after it. */
  readonly need: Int32Array;
  readonly release: Int32Array;
  /**
   * Per inner step and lane (`m * lanes + lane`): row, column (0 = the newest) and plane of its tap; row -1 where it
   * only ever pads.
   */
  readonly tapRow: Int32Array;
  readonly tapColumn: Int32Array;
  readonly tapPlane: Int32Array;
  readonly table: ReadTable;
  readonly order: ProducerOrder;
}

/** Fetches between windows beyond this share of the steps are worth a second set of window registers. */
const HOLD_FROM = 0.05;

/** Registers beyond this many words are no window any more. */
const MAX_TAP_WORDS = 128;

/**
 * The cheapest stream that serves these reads, with at least `leastInner` loops within a group; undefined if their
 * order is none.
 */
export function planStream(order: ProducerOrder, table: ReadTable, leastInner = 0): StreamPlan | undefined {
  const word = new Int32Array(table.element.length);
  for (let i = 0; i < word.length; i++) word[i] = table.element[i]! < 0 ? -1 : order.wordOf[table.element[i]!]!;
  // Reads within the tensor, up to each entry.
  const inside = new Int32Array(word.length + 1);
  for (let i = 0; i < word.length; i++) inside[i + 1] = inside[i]! + (word[i]! >= 0 ? 1 : 0);
  const pitches = [order.words];
  let suffix = 1;
  for (let d = order.trips.length - 1; d > 0; d--) {
    suffix *= order.trips[d]!;
    if (suffix < order.words) pitches.push(suffix);
  }
  let repeat = 1;
  for (let inner = 0; inner <= table.loops.length; inner++) {
    if (inner > 0) repeat *= table.loops[table.loops.length - inner]!.trips;
    if (inner < leastInner) continue;
    let best: StreamPlan | undefined;
    for (const pitch of pitches) {
      const plan = align(order, table, word, inside, pitch, repeat, inner);
      if (plan !== undefined && (best === undefined || plan.rows * plan.columns < best.rows * best.columns))
        best = plan;
    }
    if (best !== undefined) return best;
  }
  return undefined;
}

function align(
  order: ProducerOrder,
  table: ReadTable,
  word: Int32Array,
  inside: Int32Array,
  pitch: number,
  repeat: number,
  innerLoops: number,
): StreamPlan | undefined {
  const span = repeat * table.lanes;
  const groups = table.steps / repeat;
  // The group that reads most defines the offsets; the others must agree wherever they read at all.
  let reference = 0;
  let most = -1;
  for (let g = 0; g < groups; g++) {
    const n = inside[(g + 1) * span]! - inside[g * span]!;
    if (n > most) [reference, most] = [g, n];
  }
  if (most <= 0) return undefined;
  const known = new Uint8Array(span);
  const dr = new Int32Array(span);
  const dc = new Int32Array(span);
  const rowOf = new Int32Array(groups);
  const colOf = new Int32Array(groups);
  const rowAt = (w: number): number => Math.floor(w / pitch);
  for (let i = 0; i < span; i++) {
    const w = word[reference * span + i]!;
    if (w < 0) continue;
    known[i] = 1;
    dr[i] = rowAt(w);
    dc[i] = w % pitch;
  }
  for (let g = 0; g < groups; g++) {
    let anchored = false;
    for (let i = 0; i < span && !anchored; i++) {
      const w = word[g * span + i]!;
      if (w < 0 || known[i] === 0) continue;
      rowOf[g] = rowAt(w) - dr[i]!;
      colOf[g] = (w % pitch) - dc[i]!;
      anchored = true;
    }
    if (!anchored) return undefined;
    for (let i = 0; i < span; i++) {
      const w = word[g * span + i]!;
      if (w < 0) continue;
      const row = rowAt(w);
      const r = row - rowOf[g]!;
      const c = w - row * pitch - colOf[g]!;
      if (known[i] === 0) {
        known[i] = 1;
        dr[i] = r;
        dc[i] = c;
      } else if (r !== dr[i] || c !== dc[i]) return undefined;
    }
  }
  let [minRow, maxRow, minCol, maxCol] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let i = 0; i < span; i++) {
    if (known[i] === 0) continue;
    minRow = Math.min(minRow, dr[i]!);
    maxRow = Math.max(maxRow, dr[i]!);
    minCol = Math.min(minCol, dc[i]!);
    maxCol = Math.max(maxCol, dc[i]!);
  }
  const rows = maxRow - minRow + 1;
  const columns = maxCol - minCol + 1;
  if (rows * columns > MAX_TAP_WORDS) return undefined;

  // Visits of rows, and the fetch after which each group's window is complete.
  const visitRows: number[] = [];
  const ready = new Int32Array(groups);
  for (let g = 0; g < groups; g++) {
    const row = rowOf[g]! + minRow;
    if (visitRows.length === 0 || visitRows[visitRows.length - 1] !== row) visitRows.push(row);
    ready[g] = (visitRows.length - 1) * pitch + colOf[g]! + maxCol;
    if (g === 0 ? ready[g]! < 0 : ready[g]! <= ready[g - 1]!) return undefined;
  }
  const visits = visitRows.length;
  const rowStep = visits > 1 ? visitRows[1]! - visitRows[0]! : 1;
  if (rowStep < 1 || visitRows.some((r, v) => r !== visitRows[0]! + v * rowStep)) return undefined;
  const gridRows = order.words / pitch;
  // A row that is skipped between visits, or after the last one, is released but never fetched: fine.
  const fetches = visits * pitch;
  const need = new Int32Array(fetches);
  const release = new Int32Array(fetches);
  for (let v = 0; v < visits; v++) {
    const row = visitRows[v]!;
    const last = Math.min(row + rows - 1, gridRows - 1);
    if (last < 0) return undefined;
    const nextVisit = v + 1 < visits ? Math.max(0, visitRows[v + 1]!) * pitch : order.words;
    for (let c = 0; c < pitch; c++) {
      const f = v * pitch + c;
      need[f] = last * pitch + c + 1;
      release[f] = c + 1 === pitch ? nextVisit : Math.min(Math.max(0, row) * pitch + c + 1, nextVisit);
      if (f > 0) need[f] = Math.max(need[f]!, need[f - 1]!);
    }
  }
  // Row 0 stays while further visits above the first row still read it.
  for (let f = fetches - 2; f >= 0; f--) release[f] = Math.min(release[f]!, release[f + 1]!);
  const tapRow = new Int32Array(span);
  const tapColumn = new Int32Array(span);
  const tapPlane = new Int32Array(span).fill(-1);
  for (let i = 0; i < span; i++) {
    tapRow[i] = known[i] === 0 ? -1 : dr[i]! - minRow;
    tapColumn[i] = known[i] === 0 ? 0 : maxCol - dc[i]!;
  }
  for (let g = 0; g < groups; g++) {
    for (let i = 0; i < span; i++) {
      const e = table.element[g * span + i]!;
      if (e < 0) continue;
      const plane = order.planeOf[e]!;
      if (tapPlane[i] === -1) tapPlane[i] = plane;
      else if (tapPlane[i] !== plane) return undefined;
    }
  }
  const flushes = Math.max(0, ready[groups - 1]! - (fetches - 1));
  return {
    held: isHeld({ fetches, groups }, repeat, table.steps),
    kind: rows * columns === 1 ? "fifo" : "window",
    words: order.words,
    pitch,
    rows,
    columns,
    visits,
    firstRow: visitRows[0]!,
    rowStep,
    fetches,
    flushes,
    // One flush is either a fetch or not. Of several, the first ones could be fetches and the rest then had to wait for
    // more.
    mergesFlush: flushes === 1 && ready[0]! >= 1 && fetches > 1,
    groups,
    repeat,
    innerLoops,
    ready,
    need,
    release,
    tapRow,
    tapColumn,
    tapPlane,
    table,
    order,
  };
}

/** Whether windows that serve `repeat` of `steps` steps each are worth registers of their own. */
export function isHeld(plan: Pick<StreamPlan, "fetches" | "groups">, repeat: number, steps: number): boolean {
  return repeat > 1 && plan.fetches - plan.groups > HOLD_FROM * steps;
}

/** Fetches from the window of group g to that of the next group, the last one's to the first of the next sample. */
export function fetchGaps(plan: StreamPlan): Int32Array {
  const total = plan.fetches + plan.flushes;
  return Int32Array.from(plan.ready, (r, g) =>
    g + 1 < plan.groups ? plan.ready[g + 1]! - r : total - r + plan.ready[0]!,
  );
}

/** Cycles per sample that the stream keeps its consumer busy when samples follow without a gap. */
export function streamCycles(plan: StreamPlan): number {
  const flushes = plan.mergesFlush ? 0 : plan.flushes;
  if (!plan.held) return plan.fetches + flushes + plan.groups * (plan.repeat - 1);
  return fetchGaps(plan).reduce(
    (n, gap, g) => n + Math.max(gap - (g + 1 === plan.groups ? plan.flushes - flushes : 0), plan.repeat),
    0,
  );
}
