/** Identifiers: from the names of a network to names that every tool takes, short, unique and stable. */

/** Longest name that is made; file systems and tools take more, readers do not. */
const LIMIT = 56;

/**
 * Reserved in Verilog-2005 or SystemVerilog (IEEE 1800-2017 annex B), in VHDL, which IP cores are often wrapped in, or
 * in C++, which Verilator turns names into.
 */
const RESERVED = new Set(
  `accept_on alias always always_comb always_ff always_latch and assert assign assume automatic before begin bind bins binsof bit
  break buf bufif0 bufif1 byte case casex casez cell chandle checker class clocking cmos config const constraint context continue
  cover covergroup coverpoint cross deassign default defparam design disable dist do edge else end endcase endchecker endclass
  endclocking endconfig endfunction endgenerate endgroup endinterface endmodule endpackage endprimitive endprogram endproperty
  endsequence endspecify endtable endtask enum event eventually expect export extends extern final first_match for force foreach
  forever fork forkjoin function generate genvar global highz0 highz1 if iff ifnone ignore_bins illegal_bins implements implies
  import incdir include initial inout input inside instance int integer interconnect interface intersect join join_any join_none
  large let liblist library local localparam logic longint macromodule matches medium modport module nand negedge nettype new
  nexttime nmos nor noshowcancelled not notif0 notif1 null or output package packed parameter pmos posedge primitive priority
  program property protected pull0 pull1 pulldown pullup pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase
  randsequence rcmos real realtime ref reg reject_on release repeat restrict return rnmos rpmos rtran rtranif0 rtranif1
  s_always s_eventually s_nexttime s_until s_until_with scalared sequence shortint shortreal showcancelled signed small soft solve
  specify specparam static string strong strong0 strong1 struct super supply0 supply1 sync_accept_on sync_reject_on table tagged
  task this throughout time timeprecision timeunit tran tranif0 tranif1 tri tri0 tri1 triand trior trireg type typedef union
  unique unique0 unsigned until until_with untyped use uwire var vectored virtual void wait wait_order wand weak weak0 weak1 while
  wildcard wire with within wor xnor xor
  abs access after all architecture array attribute block body buffer bus component configuration constant disconnect downto
  elsif entity exit file generic group guarded impure in inertial inout is label linkage literal loop map mod next null of on open
  others out port postponed procedure process pure range record register reject rem report rol ror select severity shared signal
  sla sll sra srl subtype then to transport unaffected units variable when
  alignas alignof asm auto bool catch char char16_t char32_t compl concept constexpr const_cast decltype delete double
  dynamic_cast explicit false float friend goto inline int long mutable namespace noexcept nullptr operator private public
  reinterpret_cast requires short sizeof static_assert static_cast switch template thread_local throw true try typeid typename
  using volatile wchar_t`.split(/\s+/),
);

/**
 * A legal identifier like `name`: letters, digits and single underscores, starting with a letter, lower case kept as it
 * is.
 */
export function identifier(name: string, fallback: string): string {
  let id = name.replace(/[^A-Za-z0-9]+/g, "_").replace(/^_+|_+$/g, "");
  if (id === "") id = fallback;
  if (/^[0-9]/.test(id)) id = `n${id}`;
  // The end of a long name is what tells layers apart.
  if (id.length > LIMIT)
    id = `${id.slice(0, 16).replace(/_+$/, "")}_${id.slice(id.length - LIMIT + 17).replace(/^_+/, "")}`;
  return RESERVED.has(id.toLowerCase()) ? `${id}_s` : id;
}

/** Hands out names that differ, also in lower case: modules become files. */
export class NameScope {
  private readonly taken = new Set<string>();
  private readonly counters = new Map<string, number>();

  constructor(reserved: readonly string[] = []) {
    for (const r of reserved) this.taken.add(r.toLowerCase());
  }
  /** A name made of `wish`, or of `fallback` where nothing of it is legal. */
  unique(wish: string | undefined, fallback: string): string {
    const base = identifier(wish ?? fallback, fallback);
    if (this.take(base)) return base;
    for (let n = this.counters.get(base) ?? 2; ; n++) {
      const name = `${base}_${n}`;
      if (!this.take(name)) continue;
      this.counters.set(base, n + 1);
      return name;
    }
  }
  private take(name: string): boolean {
    const key = name.toLowerCase();
    if (this.taken.has(key)) return false;
    this.taken.add(key);
    return true;
  }
}

/** Text for a line comment: no line ends, no comment marks, ASCII. */
export function commentText(text: string, limit = 400): string {
  let clean = "";
  for (const c of text) {
    const code = c.codePointAt(0) ?? 0;
    clean += code < 32 || code > 126 || c === "\\" || c === "`" ? `\\u{${code.toString(16)}}` : c;
    if (clean.length > limit) return `${clean.slice(0, limit)}...`.replace(/\*\//g, "* /").replace(/\/\*/g, "/ *");
  }
  return clean.replace(/\*\//g, "* /").replace(/\/\*/g, "/ *");
}
