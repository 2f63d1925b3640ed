/**
 * RNN, GRU and LSTM over a fixed sequence, unrolled in time: every step is a matrix product with the same weights and a few
 * gates. The products with the input are taken for all steps at once.
 */
import type { Value } from "../../ir/core.js";
import { shapeOf, type NodeContext, type OperatorImporter } from "../context.js";

type Gate = (ctx: NodeContext, x: Value) => Value;

const unary = (fn: string): Gate => (ctx, x) => ctx.emit("nn.unary", [x], shapeOf(x), { fn });
const ACTIVATIONS: Readonly<Record<string, Gate>> = {
  sigmoid: unary("sigmoid"),
  tanh: unary("tanh"),
  relu: (ctx, x) => ctx.emit("nn.relu", [x], shapeOf(x)),
  softsign: unary("softsign"),
  softplus: unary("softplus"),
  hardsigmoid: (ctx, x) => {
    const c = (v: number, what: string): Value => ctx.fromConstant({ shape: [], data: Float64Array.of(v), integer: false }, `${ctx.name}_${what}`);
    const line = ctx.emit("nn.add", [ctx.emit("nn.mul", [x, c(0.2, "slope")], shapeOf(x)), c(0.5, "offset")], shapeOf(x));
    return ctx.emit("nn.clip", [line], shapeOf(x), { lo: 0, hi: 1 });
  },
};

interface Layer {
  readonly steps: number;
  readonly batch: number;
  readonly hidden: number;
  readonly gates: number;
}

function add(ctx: NodeContext, a: Value, b: Value): Value {
  return ctx.emit("nn.add", [a, b], shapeOf(a));
}
function mul(ctx: NodeContext, a: Value, b: Value): Value {
  return ctx.emit("nn.mul", [a, b], shapeOf(a));
}
function sub(ctx: NodeContext, a: Value, b: Value): Value {
  return ctx.emit("nn.sub", [a, b], shapeOf(b));
}
function part(ctx: NodeContext, x: Value, axis: number, start: number, count: number): Value {
  const shape = shapeOf(x).map((n, d) => (d === axis ? count : n));
  return ctx.emit("nn.slice", [x], shape, { shape: [...shape], starts: shape.map((_, d) => (d === axis ? start : 0)), steps: shape.map(() => 1) });
}
function reshape(ctx: NodeContext, x: Value, shape: readonly number[]): Value {
  return shapeOf(x).join() === shape.join() ? x : ctx.emit("nn.reshape", [x], shape, { shape: [...shape] });
}
function join(ctx: NodeContext, parts: readonly Value[], axis: number): Value {
  if (parts.length === 1) return parts[0]!;
  return ctx.emit("nn.concat", parts, shapeOf(parts[0]!).map((n, d) => (d === axis ? n * parts.length : n)), { axis });
}

/** Rows of a weight of one direction as a matrix [columns, rows], which products take from the right. */
function weight(ctx: NodeContext, i: number, direction: number, what: string, from = 0, count?: number): Value {
  const c = ctx.needWeight(i, what);
  const [, rows, columns] = c.shape as [number, number, number];
  const n = count ?? rows;
  const data = new Float64Array(n * columns);
  for (let r = 0; r < n; r++) for (let k = 0; k < columns; k++) data[k * n + r] = c.data[(direction * rows + from + r) * columns + k]!;
  return ctx.fromConstant({ shape: [columns, n], data, integer: false }, `${ctx.node.input[i]}_${direction}`);
}

/** Bias of one direction: rows of the first or second half of B, zeros where there is none. */
function biasOf(ctx: NodeContext, direction: number, rows: number): [Float64Array, Float64Array] {
  if (!ctx.has(3)) return [new Float64Array(rows), new Float64Array(rows)];
  const { data } = ctx.needWeight(3, "the bias");
  return [data.slice(direction * 2 * rows, direction * 2 * rows + rows), data.slice(direction * 2 * rows + rows, (direction + 1) * 2 * rows)];
}
function biasValue(ctx: NodeContext, data: Float64Array, what: string): Value {
  return ctx.fromConstant({ shape: [data.length], data, integer: false }, `${ctx.name}_${what}`);
}

/** One direction: the inputs' contributions to all gates, step by step, to hidden states (and the last cell state). */
type Cell = (ctx: NodeContext, layer: Layer, direction: number, activations: readonly Gate[], inputs: readonly Value[], state: Value, cell: Value | undefined) => { states: Value[]; last: Value; cell: Value | undefined };

function recurrent(opType: string, gates: number, defaults: readonly string[], run: Cell): OperatorImporter {
  return {
    opType,
    ignores: { output_sequence: "before opset 7; whether the output of all steps is named says the same" },
    limits: "sequence of fixed length; constant weights; no clipping, peepholes or coupled gates",
    import: (ctx) => {
      let x = ctx.value(0);
      if (shapeOf(x).length !== 3) throw ctx.error(`its input has rank ${shapeOf(x).length} instead of 3`);
      const layout = ctx.int("layout", 0);
      if (layout !== 0) x = ctx.emit("nn.transpose", [x], [shapeOf(x)[1]!, shapeOf(x)[0]!, shapeOf(x)[2]!], { perm: [1, 0, 2] });
      const [steps, batch, features] = shapeOf(x) as [number, number, number];
      const hidden = ctx.int("hidden_size", 0) || ctx.shape(2)[2]!;
      const direction = ctx.string("direction", "forward");
      const directions = direction === "bidirectional" ? 2 : 1;
      if (!["forward", "reverse", "bidirectional"].includes(direction)) throw ctx.error(`direction "${direction}" is not defined`);
      if (ctx.float("clip", 0) !== 0) throw ctx.error("clipping inside the cell is not supported");
      if (ctx.int("input_forget", 0) !== 0) throw ctx.error("coupled input and forget gates are not supported");
      if (opType === "LSTM" && ctx.has(7) && ctx.needWeight(7, "peepholes").data.some((v) => v !== 0)) throw ctx.error("peepholes are not supported");
      if (ctx.has(4) && ctx.needConstant(4, "the sequence lengths").data.some((n) => n !== steps)) throw ctx.error(`sequence lengths other than all ${steps} steps are not supported`, "export with full sequences");
      if (ctx.shape(1).join() !== [directions, gates * hidden, features].join() || ctx.shape(2).join() !== [directions, gates * hidden, hidden].join()) throw ctx.error(`its weights have the shapes [${ctx.shape(1).join(", ")}] and [${ctx.shape(2).join(", ")}]`);
      const names = ctx.strings("activations") ?? Array.from({ length: directions }, () => defaults).flat();
      const activations = names.map((n) => {
        const a = ACTIVATIONS[n.toLowerCase()];
        if (a === undefined) throw ctx.error(`activation "${n}" is not supported`);
        return a;
      });
      const initial = (i: number, d: number): Value => {
        if (!ctx.has(i)) return ctx.fromConstant({ shape: [batch, hidden], data: new Float64Array(batch * hidden), integer: false }, `${ctx.name}_initial`);
        const all = ctx.value(i);
        const fits = layout === 0 ? [directions, batch, hidden] : [batch, directions, hidden];
        if (shapeOf(all).join() !== fits.join()) throw ctx.error(`its initial state has the shape [${shapeOf(all).join(", ")}] instead of [${fits.join(", ")}]`);
        return layout === 0 ? reshape(ctx, part(ctx, all, 0, d, 1), [batch, hidden]) : reshape(ctx, part(ctx, all, 1, d, 1), [batch, hidden]);
      };
      const flat = reshape(ctx, x, [steps * batch, features]);
      const results = Array.from({ length: directions }, (_, d) => {
        const projected = reshape(ctx, ctx.emit("nn.matmul", [flat, weight(ctx, 1, d, "W")], [steps * batch, gates * hidden]), [steps, batch, gates * hidden]);
        const backward = direction === "reverse" || d === 1;
        const inputs = Array.from({ length: steps }, (_, t) => reshape(ctx, part(ctx, projected, 0, backward ? steps - 1 - t : t, 1), [batch, gates * hidden]));
        const layer = { steps, batch, hidden, gates };
        const r = run(ctx, layer, d, activations.slice(d * defaults.length), inputs, initial(5, d), opType === "LSTM" ? initial(6, d) : undefined);
        return { ...r, states: backward ? [...r.states].reverse() : r.states };
      });
      const perDirection = results.map((r) => join(ctx, r.states.map((s) => reshape(ctx, s, [1, 1, batch, hidden])), 0));
      const all = join(ctx, perDirection, 1);
      const lasts = (pick: (r: (typeof results)[number]) => Value): Value => join(ctx, results.map((r) => reshape(ctx, pick(r), [1, batch, hidden])), 0);
      const [y, yh] = [all, lasts((r) => r.last)];
      const swap = (v: Value): Value => (layout === 0 ? v : ctx.emit("nn.transpose", [v], [shapeOf(v)[1]!, shapeOf(v)[0]!, hidden], { perm: [1, 0, 2] }));
      const outY = layout === 0 ? y : ctx.emit("nn.transpose", [y], [batch, steps, directions, hidden], { perm: [2, 0, 1, 3] });
      return opType === "LSTM" ? [outY, swap(yh), swap(lasts((r) => r.cell!))] : [outY, swap(yh)];
    },
  };
}

const gru: Cell = (ctx, { batch, hidden, steps }, d, [f, g], inputs, state) => {
  const resetAfter = ctx.int("linear_before_reset", 0) !== 0;
  const [wb, rb] = biasOf(ctx, d, 3 * hidden);
  // Gates z, r, h. Where h's recurrent product stands behind the reset, its bias does as well.
  const both = biasValue(ctx, wb.map((v, i) => v + (resetAfter && i >= 2 * hidden ? 0 : rb[i]!)), `bias_${d}`);
  const gatesR = weight(ctx, 2, d, "R", 0, 2 * hidden);
  const candidateR = weight(ctx, 2, d, "R", 2 * hidden, hidden);
  const hiddenBias = biasValue(ctx, rb.slice(2 * hidden), `hidden_bias_${d}`);
  const one = ctx.fromConstant({ shape: [], data: Float64Array.of(1), integer: false }, `${ctx.name}_one`);
  const states: Value[] = [];
  let h = state;
  for (let t = 0; t < steps; t++) {
    const x = add(ctx, inputs[t]!, both);
    const zr = f!(ctx, add(ctx, part(ctx, x, 1, 0, 2 * hidden), ctx.emit("nn.matmul", [h, gatesR], [batch, 2 * hidden])));
    const [z, r] = [part(ctx, zr, 1, 0, hidden), part(ctx, zr, 1, hidden, hidden)];
    const xh = part(ctx, x, 1, 2 * hidden, hidden);
    const recurrentPart = resetAfter
      ? mul(ctx, r, add(ctx, ctx.emit("nn.matmul", [h, candidateR], [batch, hidden]), hiddenBias))
      : ctx.emit("nn.matmul", [mul(ctx, r, h), candidateR], [batch, hidden]);
    const candidate = g!(ctx, add(ctx, xh, recurrentPart));
    h = add(ctx, mul(ctx, sub(ctx, one, z), candidate), mul(ctx, z, h));
    states.push(h);
  }
  return { states, last: h, cell: undefined };
};

const lstm: Cell = (ctx, { batch, hidden, steps }, d, [f, g, hAct], inputs, state, start) => {
  const [wb, rb] = biasOf(ctx, d, 4 * hidden);
  const bias = biasValue(ctx, wb.map((v, i) => v + rb[i]!), `bias_${d}`);
  const matrix = weight(ctx, 2, d, "R");
  const states: Value[] = [];
  let h = state;
  let c = start!;
  for (let t = 0; t < steps; t++) {
    const all = add(ctx, add(ctx, inputs[t]!, bias), ctx.emit("nn.matmul", [h, matrix], [batch, 4 * hidden]));
    // Gates i, o, f, c.
    const [i, o, forget] = [0, 1, 2].map((k) => f!(ctx, part(ctx, all, 1, k * hidden, hidden))) as [Value, Value, Value];
    const candidate = g!(ctx, part(ctx, all, 1, 3 * hidden, hidden));
    c = add(ctx, mul(ctx, forget, c), mul(ctx, i, candidate));
    h = mul(ctx, o, hAct!(ctx, c));
    states.push(h);
  }
  return { states, last: h, cell: c };
};

const rnn: Cell = (ctx, { batch, hidden, steps }, d, [f], inputs, state) => {
  const [wb, rb] = biasOf(ctx, d, hidden);
  const bias = biasValue(ctx, wb.map((v, i) => v + rb[i]!), `bias_${d}`);
  const matrix = weight(ctx, 2, d, "R");
  const states: Value[] = [];
  let h = state;
  for (let t = 0; t < steps; t++) {
    h = f!(ctx, add(ctx, add(ctx, inputs[t]!, bias), ctx.emit("nn.matmul", [h, matrix], [batch, hidden])));
    states.push(h);
  }
  return { states, last: h, cell: undefined };
};

export const recurrentOperators: readonly OperatorImporter[] = [
  recurrent("RNN", 1, ["Tanh"], rnn),
  recurrent("GRU", 3, ["Sigmoid", "Tanh"], gru),
  recurrent("LSTM", 4, ["Sigmoid", "Tanh", "Tanh"], lstm),
];
