/** Modules that tests of the Verilog backend share. */
import { Dense } from "../../src/ir/attributes.js";
import { Module, type Op } from "../../src/ir/core.js";
import { RtlModuleBuilder, s, u, type StorageStyle } from "../../src/ir/rtl/builder.js";
import { addressWidth } from "../../src/ir/rtl/semantics.js";
import { fixed, ufixed } from "../../src/ir/types.js";

/** A FIFO of `depth` words; the read word appears in a register. */
export function fifo(module: Module, name: string, width: number, depth: number, style: StorageStyle = "auto"): Op {
  const b = new RtlModuleBuilder(module, name, [
    { name: "in_data", type: u(width) },
    { name: "in_valid", type: u(1) },
    { name: "out_ready", type: u(1) },
  ]);
  const a = u(addressWidth(depth));
  const counter = u(addressWidth(depth + 1));
  const [wptr, rptr] = [b.regDeclare(a, { reset: 0, hint: "wptr" }), b.regDeclare(a, { reset: 0, hint: "rptr" })];
  const fill = b.regDeclare(counter, { reset: 0, hint: "fill" });
  const inReady = b.lt(fill, b.constant(depth), "in_ready_now");
  const push = b.and(inReady, b.input("in_valid"), "push");
  const [word] = b.memory({
    depth,
    word: u(width),
    waddr: wptr,
    wdata: b.input("in_data"),
    wen: push,
    raddr: [rptr],
    readLatency: 0,
    style,
    hint: "word",
  });
  const outValid = b.regDeclare(u(1), { reset: 0, hint: "out_full" });
  const stored = b.ne(fill, b.constant(0, counter));
  const pop = b.and(stored, b.or(b.not(outValid), b.input("out_ready")), "pop");
  const wrapInc = (p: typeof wptr): typeof wptr =>
    b.mux(b.eq(p, b.constant(depth - 1)), b.constant(0, a), b.add(p, b.constant(1), a), a);
  b.connect(wptr, wrapInc(wptr), push);
  b.connect(rptr, wrapInc(rptr), pop);
  b.connect(fill, b.sub(b.add(fill, push), pop, counter));
  b.connect(outValid, b.or(pop, b.and(outValid, b.not(b.input("out_ready")))));
  const outData = b.reg(word!, { enable: pop, hint: "out_word" });
  return b.finish({ in_ready: inReady, out_data: outData, out_valid: outValid });
}

/** AXI4-Stream in and out around a FIFO: each beat of `width` bits is passed on; `beats` beats are a sample. */
export function streamFifo(width: number, depth: number, beats: number): Module {
  const module = new Module("stream_fifo");
  const inner = fifo(module, "fifo", width, depth);
  const b = new RtlModuleBuilder(
    module,
    "stream_fifo",
    [
      { name: "s_axis_tdata", type: u(width) },
      { name: "s_axis_tvalid", type: u(1) },
      { name: "s_axis_tlast", type: u(1) },
      { name: "m_axis_tready", type: u(1) },
    ],
    { attrs: { clock: "aclk", resetn: "aresetn" }, loc: { nodes: ["/relu/Relu */ `define x", "two\nlines"] } },
  );
  const o = b.instance(inner, "queue", {
    in_data: b.input("s_axis_tdata"),
    in_valid: b.input("s_axis_tvalid"),
    out_ready: b.input("m_axis_tready"),
  });
  const beat = b.regDeclare(u(addressWidth(beats)), { reset: 0, hint: "beat" });
  const last = b.eq(beat, b.constant(beats - 1));
  b.connect(
    beat,
    b.mux(last, b.constant(0), b.add(beat, b.constant(1)), u(addressWidth(beats))),
    b.and(o["out_valid"]!, b.input("m_axis_tready")),
  );
  b.finish({
    s_axis_tready: o["in_ready"]!,
    m_axis_tdata: o["out_data"]!,
    m_axis_tvalid: o["out_valid"]!,
    m_axis_tlast: last,
  });
  return module;
}

/**
 * Multiply-accumulate lanes with weights in roms: memories, roms, identical lanes, rounding that leaves bits unread.
 */
export function lanes(count: number, depth: number): Module {
  const module = new Module("lanes");
  const lane = new RtlModuleBuilder(module, "lane", [
    { name: "x", type: s(8) },
    { name: "w", type: s(8) },
    { name: "first", type: u(1) },
  ]);
  const product = lane.reg(lane.mul(lane.input("x"), lane.input("w")), { hint: "product_q" });
  const first = lane.delay(lane.input("first"), 1, { hint: "first_q" });
  const acc = lane.regDeclare(s(24), { hint: "acc" });
  lane.connect(acc, lane.add(lane.mux(first, lane.constant(0), acc, s(24)), product, s(24)));
  const rounded = lane.add(acc, lane.constant(8));
  const laneOp = lane.finish({
    y: lane.reg(lane.max(lane.shr(rounded, 4, s(12)), lane.constant(0), s(12)), { hint: "y_q" }),
  });
  const b = new RtlModuleBuilder(
    module,
    "lanes",
    [
      { name: "x", type: s(8) },
      { name: "restart", type: u(1) },
      { name: "spare", type: u(3) },
    ],
    { attrs: { clock: "aclk", resetn: "aresetn" } },
  );
  const step = b.regDeclare(u(addressWidth(depth)), { reset: 0, hint: "step" });
  const wraps = b.or(b.eq(step, b.constant(depth - 1)), b.input("restart"));
  b.connect(step, b.mux(wraps, b.constant(0), b.add(step, b.constant(1)), u(addressWidth(depth))));
  const values = new Dense(
    [depth, count],
    fixed(8, 0),
    Int32Array.from({ length: depth * count }, (_, i) => ((i * 37) % 255) - 127),
  );
  const weights = b.rom(step, values, { readLatency: 1, style: "block", hint: "weights" });
  const table = new Dense([8], ufixed(3, 0), Int32Array.of(3, 1, 4, 1, 5, 7, 2, 6));
  const rank = b.rom(b.extract(step, 0, 3), table, { readLatency: 0, hint: "rank" });
  const isFirst = b.delay(b.eq(step, b.constant(0)), 1, { hint: "is_first" });
  const x = b.delay(b.input("x"), 1);
  const ys = b
    .split(weights, s(8), count)
    .map((w, i) => b.instance(laneOp, `lane_${i}`, { x, w, first: isFirst })["y"]!);
  const chosen = b.select(b.reg(rank, { hint: "rank_q" }), ys.slice(0, 6), undefined, "chosen");
  const trace = b.memory({
    depth: 6,
    word: s(12),
    waddr: b.extract(step, 0, 3),
    wdata: chosen,
    wen: b.lt(b.extract(step, 0, 3), b.constant(6)),
    raddr: [b.min(rank, b.constant(5)), b.constant(2)],
    readLatency: 1,
    style: "distributed",
    hint: "trace",
  });
  b.finish({ bundle: b.concat(ys), chosen, old: trace[0]!, second: trace[1]! });
  return module;
}
