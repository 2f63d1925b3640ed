/** Local rewrites: small named rules, applied until none fires. */
import { CompilerBug } from "../diagnostics/index.js";
import { Builder, fuseLocs, walk, type Module, type Op, type Value } from "../ir/core.js";

export interface Rule {
  /** For traces and for the message about rules that never end. */
  readonly name: string;
  /** Name of the operations that it looks at. */
  readonly op: string;
  /** The value that takes the place of the operation's only result, or undefined where the rule does not apply. */
  readonly apply: (op: Op, b: Builder) => Value | undefined;
}

/** Each round must at least shorten one chain; real modules settle within two or three. */
const MAX_ROUNDS = 100;

/**
 * Applies `rules` to all operations of `module` until none fires. The replacement inherits name hint and ONNX nodes
 * where it has none. Operations that become unused stay: `dce` removes them.
 */
export function applyRules(module: Module, rules: readonly Rule[]): void {
  const byOp = new Map<string, Rule[]>();
  for (const rule of rules) byOp.set(rule.op, [...(byOp.get(rule.op) ?? []), rule]);
  let last: Rule | undefined;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    let fired = false;
    walk(module.body, (op) => {
      if (op.results.length !== 1 || op.result.uses.length === 0) return;
      for (const rule of byOp.get(op.name) ?? []) {
        const value = rule.apply(op, Builder.before(op));
        if (value === undefined || value === op.result) continue;
        replaceResult(op, value);
        last = rule;
        fired = true;
        return;
      }
    });
    if (!fired) return;
  }
  throw new CompilerBug(`rewriting does not end: rule ${last?.name} still fires after ${MAX_ROUNDS} rounds`);
}

/** Lets `value` take the place of the only result of `op`. */
export function replaceResult(op: Op, value: Value): void {
  value.hint ??= op.result.hint;
  if (value.def !== undefined) value.def.loc = fuseLocs(value.def.loc, op.loc);
  op.result.replaceAllUsesWith(value);
}
