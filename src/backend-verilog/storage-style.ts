/** How synthesis tools are told what to make of memories and tables. */

/**
 * Synthesis attributes; AMD and Yosys know the first spelling, Intel the second. Without reads of what is being
 * written, block RAM needs no logic around it.
 */
export function ramStyle(style: string, disjoint: boolean): string {
  const styles: Readonly<Record<string, readonly string[]>> = {
    block: ['ram_style = "block"'],
    distributed: ['ram_style = "distributed"', 'ramstyle = "MLAB"'],
    registers: ['ram_style = "registers"', 'ramstyle = "logic"'],
  };
  const list = [...(styles[style] ?? []), ...(disjoint ? ["no_rw_check", 'rw_addr_collision = "no"'] : [])];
  return list.length === 0 ? "" : `(* ${list.join(", ")} *) `;
}
export function romStyle(style: string): string {
  switch (style) {
    case "block":
      return '(* rom_style = "block" *) ';
    case "distributed":
    case "registers":
      return '(* rom_style = "distributed" *) ';
    default:
      return "";
  }
}

/** Yosys makes a memory of a table where it finds that cheaper; it is told on the statement. */
export function caseStyle(style: string): string {
  return style === "auto" ? "" : `(* rom_style = "${style === "block" ? "block" : "logic"}" *) `;
}
