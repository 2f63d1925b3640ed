/** The views among the dialect's own operations, by name; `isView` asks the record of any. */
import { nnOps } from "../../../ir/nn/index.js";

export const VIEWS: ReadonlySet<string> = new Set(nnOps.flatMap((def) => (def.role === "view" ? [def.name] : [])));
