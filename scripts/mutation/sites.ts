/**
 * Places in a source file where a small change makes a program that means something else: comparisons, boundaries,
 * arithmetic, constants, conditions, statements and returned values. Found in the syntax tree, so that types, messages
 * of errors and imports stay as they are.
 */
import { parseAst } from "vitest/node";

export interface Site {
  /** Path from the project's root. */
  readonly file: string;
  readonly start: number;
  readonly end: number;
  readonly kind: "statement" | "expression";
  /** What stands there instead, in place of `start` to `end`. */
  readonly mutated: string;
  /** The kind of change, for the report: "boundary", "negated condition", ... */
  readonly change: string;
}

interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [field: string]: unknown;
}

const SWAPPED: Readonly<Record<string, readonly [to: string, change: string]>> = {
  "+": ["-", "arithmetic"],
  "-": ["+", "arithmetic"],
  "*": ["/", "arithmetic"],
  "/": ["*", "arithmetic"],
  "%": ["*", "arithmetic"],
  "**": ["*", "arithmetic"],
  "<<": [">>", "arithmetic"],
  ">>": ["<<", "arithmetic"],
  "&": ["|", "arithmetic"],
  "|": ["&", "arithmetic"],
  "<": ["<=", "boundary"],
  "<=": ["<", "boundary"],
  ">": [">=", "boundary"],
  ">=": [">", "boundary"],
  "===": ["!==", "comparison"],
  "!==": ["===", "comparison"],
  "&&": ["||", "logic"],
  "||": ["&&", "logic"],
};
const FUNCTIONS: Readonly<Record<string, string>> = { min: "max", max: "min", floor: "ceil", ceil: "floor" };
/** By the type that a function says it returns. */
const DEFAULTS: Readonly<Record<string, string>> = {
  TSNumberKeyword: "0",
  TSBigIntKeyword: "0n",
  TSBooleanKeyword: "false",
  TSStringKeyword: '""',
  TSArrayType: "[]",
};

function isNode(v: unknown): v is Node {
  return typeof v === "object" && v !== null && typeof (v as { type?: unknown }).type === "string";
}
function nodeOf(n: Node, field: string): Node | undefined {
  const v = n[field];
  return isNode(v) ? v : undefined;
}
function children(n: Node): Node[] {
  return Object.values(n).flatMap((v) => (Array.isArray(v) ? v.filter(isNode) : isNode(v) ? [v] : []));
}
function isText(n: Node | undefined): boolean {
  if (n === undefined) return false;
  if (n.type === "TemplateLiteral" || (n.type === "Literal" && typeof n["value"] === "string")) return true;
  return n.type === "BinaryExpression" && (isText(nodeOf(n, "left")) || isText(nodeOf(n, "right")));
}

/** All places in `text`, in order. */
export function sitesOf(file: string, text: string): Site[] {
  const found: Site[] = [];
  const source = (n: Node): string => text.slice(n.start, n.end);
  const add = (n: Node, mutated: string, change: string, kind: Site["kind"] = "expression"): void =>
    void found.push({ file, start: n.start, end: n.end, kind, mutated, change });

  /** `returns`: what stands for the result of the function around, by its declared type. */
  const visit = (n: Node, returns: string): void => {
    // Types mean nothing at run time; a message is not held to its words.
    if (n.type.startsWith("TS") && !/^TS(As|NonNull|Satisfies)/.test(n.type)) return;
    if (["ThrowStatement", "ImportDeclaration", "ExportAllDeclaration", "MetaProperty"].includes(n.type)) return;
    const inner =
      "returnType" in n
        ? (DEFAULTS[nodeOf(nodeOf(n, "returnType") ?? n, "typeAnnotation")?.type ?? ""] ?? "undefined")
        : returns;
    expression(n);
    statement(n, inner);
    // Names and types of members are no expressions.
    for (const c of children(n)) if (!isName(n, c)) visit(c, inner);
  };
  const isName = (parent: Node, c: Node): boolean => parent["key"] === c && parent["computed"] !== true;

  const expression = (n: Node): void => {
    const [left, right] = [nodeOf(n, "left"), nodeOf(n, "right")];
    const operator = String(n["operator"] ?? "");
    if (
      (n.type === "BinaryExpression" || n.type === "LogicalExpression") &&
      left !== undefined &&
      right !== undefined
    ) {
      const swap = SWAPPED[operator];
      if (swap !== undefined && !(operator === "+" && (isText(left) || isText(right))))
        add(n, `${source(left)} ${swap[0]} ${source(right)}`, swap[1]);
    }
    const argument = nodeOf(n, "argument");
    if (n.type === "UnaryExpression" && argument !== undefined && ["-", "!", "~"].includes(operator))
      add(n, source(argument), operator === "!" ? "negated condition" : "sign");
    const test = nodeOf(n, "test");
    if ((n.type === "IfStatement" || n.type === "ConditionalExpression") && test !== undefined)
      add(test, `!(${source(test)})`, "negated condition");
    if (n.type === "Literal") {
      if (typeof n["value"] === "number") {
        add(n, String(n["value"] + 1), "constant");
        add(n, `(${n["value"] - 1})`, "constant");
      } else if (typeof n["value"] === "boolean") add(n, String(!n["value"]), "constant");
      else if (typeof n["bigint"] === "string") add(n, `(${n["bigint"]}n + 1n)`, "constant");
    }
    const callee = nodeOf(n, "callee");
    if (n.type === "CallExpression" && callee !== undefined) {
      const swap = /^Math\.(\w+)$/.exec(source(callee))?.[1];
      const to = FUNCTIONS[swap ?? ""];
      if (to !== undefined) add(n, `Math.${to}${text.slice(callee.end, n.end)}`, "function");
    }
  };

  const statement = (n: Node, returns: string): void => {
    const inner = nodeOf(n, "expression");
    if (n.type === "ExpressionStatement" && inner !== undefined && !/^super\b/.test(source(inner)))
      add(n, "", "removed statement", "statement");
    const result = nodeOf(n, "argument");
    if (n.type === "ReturnStatement" && result !== undefined && source(result) !== returns)
      add(result, returns, "returned default");
    // A function that is an expression returns it.
    const body = nodeOf(n, "body");
    if (
      n.type === "ArrowFunctionExpression" &&
      "returnType" in n &&
      n["returnType"] !== null &&
      n["expression"] === true
    )
      if (body !== undefined && source(body) !== returns) add(body, returns, "returned default");
  };

  visit(parseAst(text, { lang: "ts" }) as unknown as Node, "undefined");
  return found;
}

/** `text` with all of `sites`, which do not overlap: each is in force where `__mutant(its number)` says so. */
export function withSwitches(text: string, sites: readonly (Site & { readonly id: number })[]): string {
  let out = text;
  for (const s of [...sites].sort((a, b) => b.start - a.start)) {
    const before = text.slice(s.start, s.end);
    const switched =
      s.kind === "statement"
        ? `if (!__mutant(${s.id})) { ${before} }`
        : `(__mutant(${s.id}) ? (${s.mutated}) : (${before}))`;
    out = out.slice(0, s.start) + switched + out.slice(s.end);
  }
  return out;
}
