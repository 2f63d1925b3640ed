/** How each rtl operation stands in Verilog text: as an expression, in place or in a line of its own, or as statements. */
import type { Op } from "../ir/core.js";
import { rtlEntry, type RtlName } from "../ir/rtl/index.js";

/** Operations that take statements. */
export type Statement = "select" | "register" | "memory" | "rom" | "instance" | "outputs";

/** How an operation is written: in place or in a line of its own, which for some must be; or as statements. */
export type Form = {
  /** Of values without a hint. */
  readonly name: string;
} & (
  | { readonly kind: "in place" | "expression" | "named expression" }
  | { readonly kind: "statement"; readonly statement: Statement }
);

/** Whether `op` is written as an expression. */
export function isExpression(op: Op): boolean {
  const { kind } = formOf(op);
  return kind === "expression" || kind === "named expression";
}

const expression = (name: string): Form => ({ kind: "expression", name });
const statement = (kind: Statement, name = "t"): Form => ({ kind: "statement", statement: kind, name });

/** How `op` is written, and what its values are called. */
export function formOf(op: Op): Form {
  return rtlEntry(FORMS, op);
}

const FORMS: Readonly<Record<RtlName, Form>> = {
  "rtl.module": { kind: "in place", name: "m" },
  "rtl.constant": { kind: "in place", name: "t" },
  "rtl.add": expression("sum"),
  "rtl.sub": expression("diff"),
  // Tools find multipliers by their line.
  "rtl.mul": { kind: "named expression", name: "product" },
  "rtl.eq": expression("equal"),
  "rtl.ne": expression("differs"),
  "rtl.lt": expression("below"),
  "rtl.le": expression("at_most"),
  "rtl.and": expression("both"),
  "rtl.or": expression("either"),
  "rtl.xor": expression("parity"),
  "rtl.not": expression("inverse"),
  "rtl.shl": expression("shifted"),
  "rtl.shr": expression("shifted"),
  "rtl.mux": expression("choice"),
  "rtl.concat": expression("word"),
  "rtl.extract": expression("part"),
  "rtl.cast": expression("extended"),
  // A choice of many is a case statement.
  "rtl.select": statement("select", "selected"),
  "rtl.reg": statement("register", "q"),
  "rtl.memory": statement("memory", "rdata"),
  "rtl.rom": statement("rom", "rom_data"),
  "rtl.instance": statement("instance", "out"),
  "rtl.output": statement("outputs"),
};
