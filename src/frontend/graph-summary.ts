/** A graph as `inspect` shows it. */
import type { Op } from "../ir/core.js";

/** A node as `inspect` shows it. */
export interface NodeSummary {
  readonly name: string;
  readonly opType: string;
  /** nn operations that the node became; empty where it was folded, or could not be read. */
  readonly ops: readonly Op[];
  readonly outputShape: readonly number[];
  /** Why the node cannot be compiled. */
  readonly reason: string | undefined;
}

export interface GraphSummary {
  readonly inputs: readonly { readonly name: string; readonly shape: readonly number[] }[];
  readonly outputs: readonly { readonly name: string; readonly shape: readonly number[] }[];
  readonly nodes: readonly NodeSummary[];
}
