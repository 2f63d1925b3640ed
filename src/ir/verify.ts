/**
 * The verifier. One set of checks for all dialects, read from the operation records: on text from a user its findings
 * are user errors, after a pass they are bugs of the compiler.
 *
 * Order, as later checks rely on earlier ones: structure (parents, use lists), then per operation counts, attributes,
 * regions and terminators, visibility of operands, agreement with type inference, the operation's own verifier, and
 * last what concerns several rtl modules.
 */
import { nearestName } from "../diagnostics/nearest.js";
import { CompilerBug, type Place, type Sink } from "../diagnostics/index.js";
import { Dense, type Attr } from "./attributes.js";
import type { Block, Location, Module, Op, Value } from "./core.js";
import { hasTrait, lookupOp, matchesKind, type AttrSpec, type OpDef } from "./define-op.js";
import { at } from "./present.js";
import { rtlModules } from "./rtl/index.js";
import { verifyRtl } from "./rtl/verify.js";
import { printAttr, printOp } from "./text/printer.js";
import { dataProblem, typeProblem } from "./text/module-builder.js";
import { sameType, showType, elemType, isLossless, type Type } from "./types.js";

export interface Problem {
  readonly op: Op | undefined;
  /** Without a full stop; the name of the operation is not part of it. */
  readonly message: string;
}

/**
 * Reports what is wrong with `module` to `sink`; true if nothing is.
 *
 * @errors TX010
 */
export function verifyModule(module: Module, sink: Sink): boolean {
  const problems = findProblems(module);
  for (const p of problems)
    sink.report(
      "TX010",
      { op: p.op?.name ?? "module", problem: p.message },
      p.op === undefined ? {} : placeOf(p.op.loc),
    );
  return problems.length === 0;
}

/** Throws a CompilerBug that says `where` it was found if anything is wrong with `module`. */
export function assertValid(module: Module, where: string): void {
  const problems = findProblems(module);
  if (problems.length === 0) return;
  const shown = problems.slice(0, 5).map((p) => {
    const op = p.op === undefined ? "" : `\n    in ${cut(at(printOp(p.op).split("\n"), 0), 240)}`;
    return `  ${p.op?.name ?? "module"}: ${p.message}${op}`;
  });
  const more = problems.length > shown.length ? `\n  and ${problems.length - shown.length} more` : "";
  throw new CompilerBug(`${where}: the module does not verify\n${shown.join("\n")}${more}`);
}

/** The place in the user's input of an operation. */
export function placeOf(loc: Location): Place {
  return {
    ...(loc.file !== undefined && { file: loc.file }),
    ...(loc.nodes[0] !== undefined && { node: loc.nodes[0] }),
    ...(loc.opType !== undefined && { opType: loc.opType }),
    ...(loc.line !== undefined && { line: loc.line }),
    ...(loc.column !== undefined && { column: loc.column }),
  };
}

/** All that is wrong with `module`, in program order. Does not change it. */
export function findProblems(module: Module): Problem[] {
  const v = new Verifier();
  v.region(module.body, new Scope(undefined), false);
  v.useLists();
  const symbols = new Set<Attr>();
  for (const op of module.body.ops) {
    const sym = op.attrs["sym"];
    if (sym === undefined) continue;
    if (symbols.has(sym)) v.report(op, `a second operation with symbol ${printAttr(sym)}`);
    symbols.add(sym);
  }
  // Checks across rtl modules take sound operations for granted.
  if (v.problems.length === 0 && rtlModules(module).length > 0) v.problems.push(...verifyRtl(module));
  return v.problems;
}

/** Constants never change, and passes share them: each is scanned once. */
const soundConstants = new WeakSet<Dense>();

/** Values that may be read at a place: those of this block so far, and of the blocks around it. */
class Scope {
  readonly values = new Set<Value>();
  constructor(private readonly outer: Scope | undefined) {}
  has(v: Value): boolean {
    for (let s: Scope | undefined = this; s !== undefined; s = s.outer) if (s.values.has(v)) return true;
    return false;
  }
}

class Verifier {
  readonly problems: Problem[] = [];
  /** Uses that operand lists state; compared with those that the values know. */
  private readonly counted = new Map<Value, number>();

  report(op: Op | undefined, message: string): void {
    this.problems.push({ op, message });
  }

  region(block: Block, outer: Scope, graph: boolean): void {
    const scope = new Scope(outer);
    for (const arg of block.args) {
      if (arg.owner !== block) this.report(block.parentOp, `argument ${showValue(arg)} belongs to another block`);
      scope.values.add(arg);
      this.countUses(arg);
    }
    if (graph) for (const op of block.ops) for (const r of op.results) scope.values.add(r);
    for (const op of block.ops) {
      if (op.parent !== block) this.report(op, "is listed in a block that is not its parent");
      const before = this.problems.length;
      this.operands(op, scope);
      this.operation(op, before);
      for (const r of op.regions) {
        if (r.parentOp !== op) this.report(op, "has a region that belongs to another operation");
        this.region(r, scope, hasTrait(op, "graph"));
      }
      for (const r of op.results) {
        scope.values.add(r);
        this.countUses(r);
      }
    }
  }

  /** Every use that a value knows must be one that an operand list states, and the other way round. */
  useLists(): void {
    for (const [value, count] of this.counted) {
      const op = value.def ?? value.owner?.parentOp;
      if (value.uses.length !== count)
        this.report(op, `${showValue(value)} knows ${value.uses.length} uses, operand lists state ${count}`);
      const seen = new Map<Op, Set<number>>();
      for (const use of value.uses) {
        if (use.op.operands[use.index] !== value)
          this.report(op, `${showValue(value)} claims to be operand ${use.index} of ${use.op.name}, which it is not`);
        const indices = seen.get(use.op) ?? new Set();
        if (indices.has(use.index)) this.report(op, `${showValue(value)} lists a use by ${use.op.name} twice`);
        seen.set(use.op, indices.add(use.index));
      }
    }
  }

  private countUses(value: Value): void {
    if (!this.counted.has(value)) this.counted.set(value, 0);
    const problem = typeProblem(value.type);
    if (problem !== undefined)
      this.report(value.def, `${showValue(value)} has type ${showType(value.type)}: ${problem}`);
  }

  private operands(op: Op, scope: Scope): void {
    op.operands.forEach((v, i) => {
      this.counted.set(v, (this.counted.get(v) ?? 0) + 1);
      if (scope.has(v)) return;
      const detached = v.def !== undefined && v.def.parent === undefined;
      this.report(
        op,
        `operand ${i}, ${showValue(v)}, ${detached ? "comes from an operation that is in no block" : "is not defined before this use"}`,
      );
    });
  }

  private operation(op: Op, before: number): void {
    const def = lookupOp(op.name);
    if (def === undefined) {
      this.report(op, "is not a known operation");
      return;
    }
    const say = (message: string): void => this.report(op, message);
    checkCount("operand", def.operands, op.operands.length, say);
    checkCount("result", def.results, op.results.length, say);
    this.attributes(op, def);
    const regions = def.regions;
    if (regions !== undefined && op.regions.length !== regions)
      say(`has ${op.regions.length} regions instead of ${regions}`);
    for (const r of op.regions) this.terminators(op, r);
    // Inference and verifiers may rely on all of the above.
    if (this.problems.length > before) return;
    try {
      this.types(op, def);
      if (this.problems.length === before) def.verify?.(op, say);
    } catch (e) {
      say(e instanceof Error ? e.message : String(e));
    }
  }

  private attributes(op: Op, def: OpDef): void {
    const specs = def.attrs ?? {};
    for (const [key, spec] of Object.entries(specs)) {
      const attr = op.attrs[key];
      if (attr === undefined) {
        if (spec.optional !== true) this.report(op, `lacks attribute "${key}" (${showSpec(spec)})`);
      } else if (!matchesKind(attr, spec)) {
        const nearest =
          typeof attr === "string" && spec.oneOf !== undefined ? nearestName(attr, spec.oneOf) : undefined;
        this.report(
          op,
          `attribute "${key}" is ${cut(printAttr(attr), 80)} instead of ${showSpec(spec)}${nearest === undefined ? "" : `; did you mean "${nearest}"?`}`,
        );
      }
    }
    for (const [key, attr] of Object.entries(op.attrs)) {
      // A dot marks a note of a pass ("schedule.order"): it may hang on any operation.
      if (attr !== undefined && !Object.hasOwn(specs, key) && !key.includes(".")) {
        const nearest = nearestName(key, Object.keys(specs));
        this.report(op, `has no attribute "${key}"${nearest === undefined ? "" : `; did you mean "${nearest}"?`}`);
      }
      if (attr instanceof Dense && !soundConstants.has(attr)) {
        const problem = dataProblem(attr.elem, attr.data);
        if (problem !== undefined) this.report(op, `attribute "${key}": ${problem}`);
        else soundConstants.add(attr);
      }
    }
  }

  private terminators(op: Op, block: Block): void {
    const last = block.ops[block.ops.length - 1];
    if (last === undefined || !hasTrait(last, "terminator"))
      this.report(op, "has a region that does not end with a terminator");
    for (const inner of block.ops) {
      if (inner !== last && hasTrait(inner, "terminator"))
        this.report(inner, "is a terminator, but not the last operation of its region");
    }
  }

  private types(op: Op, def: OpDef): void {
    const inferred = def.inferTypes?.(op);
    if (inferred === undefined) return;
    if (inferred.length !== op.results.length) {
      this.report(op, `has ${op.results.length} results where its operands call for ${inferred.length}`);
      return;
    }
    inferred.forEach((type, i) => {
      const actual = at(op.results, i).type;
      if (!sameType(actual, type) && !holdsAll(actual, type))
        this.report(
          op,
          `result ${i} has type ${showType(actual)} where operands and attributes call for ${showType(type)}`,
        );
    });
  }
}

/** Whether `actual` is a fixed-point type of the same shape that holds every value of `needed`. */
function holdsAll(actual: Type, needed: Type): boolean {
  const [a, b] = [elemType(actual), elemType(needed)];
  if (a.kind !== "fixed" || b.kind !== "fixed" || actual.kind !== needed.kind) return false;
  return shapeText(actual) === shapeText(needed) && isLossless(b, a);
}
function shapeText(t: Type): string {
  return t.kind === "tensor" || t.kind === "stream" ? t.shape.join("x") : "";
}

function checkCount(what: string, names: readonly string[], count: number, say: (message: string) => void): void {
  const rest = names.some((n) => n.endsWith("*"));
  const required = names.filter((n) => !n.endsWith("*") && !n.endsWith("?")).length;
  const most = rest ? Infinity : names.length;
  if (count >= required && count <= most) return;
  const wanted = rest ? `at least ${required}` : required === most ? `${required}` : `${required} to ${most}`;
  say(`has ${count} ${what}${count === 1 ? "" : "s"} instead of ${wanted} (${names.join(", ")})`);
}

/** In words, what an attribute must be. */
export function showSpec(spec: AttrSpec): string {
  if (spec.oneOf !== undefined) return `one of ${spec.oneOf.map((s) => `"${s}"`).join(", ")}`;
  const words: Record<AttrSpec["kind"], string> = {
    bool: "true or false",
    int: "an integer",
    number: "a number",
    string: "a string",
    dense: "a constant",
    map: "an affine map",
    type: "a type",
    list: "a list",
    record: "a record",
    any: "any value",
  };
  return words[spec.kind];
}

function showValue(v: Value): string {
  const name = v.hint === undefined ? "" : `%${v.hint} `;
  return v.def !== undefined ? `${name}(a result of ${v.def.name})` : `${name}(a block argument)`;
}

function cut(text: string, limit: number): string {
  return text.length <= limit ? text : `${text.slice(0, limit)}...`;
}
