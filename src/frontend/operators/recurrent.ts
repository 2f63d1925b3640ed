/**
 * RNN, GRU and LSTM over a fixed sequence, unrolled in time: every step is a matrix product with the same weights and a
 * few gates. The products with the input are taken for all steps at once.
 */
import type { Value } from "../../ir/core.js";
import { known, shapeOf, type NodeContext, type OperatorImporter } from "../context.js";
import { add, apply, join, matmul, mul, part, reshape, scalar, sub, transpose, valueOf } from "./build.js";

type Gate = (ctx: NodeContext, x: Value) => Value;

/**
 * Activations by their ONNX names, and the parameters that they take from the lists `activation_alpha` and
 * `activation_beta`.
 */
const ACTIVATIONS: Readonly<Record<string, readonly ("alpha" | "beta")[]>> = {
  Sigmoid: [],
  Tanh: [],
  Relu: [],
  Softsign: [],
  Softplus: [],
  LeakyRelu: ["alpha"],
  ThresholdedRelu: ["alpha"],
  Elu: ["alpha"],
  HardSigmoid: ["alpha", "beta"],
  ScaledTanh: ["alpha", "beta"],
  Affine: ["alpha", "beta"],
};
/** These have no parameters of their own that all agree on. */
const WITHOUT_DEFAULTS = ["ScaledTanh", "Affine"];

/**
 * The activations of all directions in order. What goes into them is clipped, but for LSTM's cell: so ONNX Runtime does
 * it.
 */
function activationsOf(ctx: NodeContext, defaults: readonly string[], directions: number): Gate[] {
  const names = ctx.strings("activations") ?? Array.from({ length: directions }, () => defaults).flat();
  if (names.length !== directions * defaults.length)
    throw ctx.error(`it has ${names.length} activations instead of ${directions * defaults.length}`);
  const lists = {
    alpha: [...(ctx.floats("activation_alpha") ?? [])],
    beta: [...(ctx.floats("activation_beta") ?? [])],
  };
  const clip = ctx.float("clip", 0);
  const gates = names.map((given, k): Gate => {
    const clipped = clip > 0 && k % defaults.length < 2;
    const name = Object.keys(ACTIVATIONS).find((n) => n.toLowerCase() === given.toLowerCase());
    if (name === undefined)
      throw ctx.error(`activation "${given}" is not supported`, `use one of ${Object.keys(ACTIVATIONS).join(", ")}`);
    const parameters = Object.fromEntries(
      ACTIVATIONS[name]!.flatMap((p) => {
        const v = lists[p].shift();
        return v === undefined ? [] : [[p, v] as const];
      }),
    );
    if (WITHOUT_DEFAULTS.includes(name) && ACTIVATIONS[name]!.some((p) => parameters[p] === undefined))
      throw ctx.error(`activation ${name} has no alpha or beta`, "export with activation_alpha and activation_beta");
    return (c, x) =>
      valueOf(
        c,
        apply(c, name, [clipped ? c.emit("nn.clip", [x], shapeOf(x), { lo: -clip, hi: clip }) : x], parameters),
      );
  });
  const spare = (["alpha", "beta"] as const).find((p) => lists[p].length > 0);
  if (spare !== undefined)
    throw ctx.error(
      `attribute activation_${spare} has more values than its activations (${names.join(", ")}) take`,
      "export the model without it",
    );
  return gates;
}

interface Layer {
  readonly steps: number;
  readonly batch: number;
  readonly hidden: number;
  readonly direction: number;
}
interface Run {
  readonly states: readonly Value[];
  readonly last: Value;
  readonly cell: Value | undefined;
}
/** One direction: the inputs' contributions to all gates, step by step, to hidden states (and the last cell state). */
type Cell = (
  ctx: NodeContext,
  layer: Layer,
  activations: readonly Gate[],
  inputs: readonly Value[],
  state: Value,
  cell: Value | undefined,
) => Run;

/** Rows of a weight of one direction as a matrix [columns, rows], which products take from the right. */
function weight(ctx: NodeContext, i: number, direction: number, what: string, from = 0, count?: number): Value {
  const c = ctx.needWeight(i, what);
  const [, rows, columns] = c.shape as [number, number, number];
  const n = count ?? rows;
  const data = new Float64Array(n * columns);
  for (let r = 0; r < n; r++)
    for (let k = 0; k < columns; k++) data[k * n + r] = c.data[(direction * rows + from + r) * columns + k]!;
  return ctx.fromConstant({ shape: [columns, n], data, integer: false }, `${ctx.node.input[i]}_${direction}`);
}

/** Bias of one direction: rows of the first or second half of B, zeros where there is none. */
function biasOf(ctx: NodeContext, direction: number, rows: number): [Float64Array, Float64Array] {
  if (!ctx.has(3)) return [new Float64Array(rows), new Float64Array(rows)];
  const { data } = ctx.needWeight(3, "the bias");
  return [
    data.slice(direction * 2 * rows, direction * 2 * rows + rows),
    data.slice(direction * 2 * rows + rows, (direction + 1) * 2 * rows),
  ];
}
function row(ctx: NodeContext, data: Float64Array, what: string): Value {
  return ctx.fromConstant({ shape: [data.length], data, integer: false }, `${ctx.name}_${what}`);
}
function zeros(ctx: NodeContext, shape: readonly number[], what: string): Value {
  return valueOf(ctx, known(shape, new Float64Array(shape.reduce((n, d) => n * d, 1)), false), what);
}

/** Lengths of the samples' sequences; undefined where all are whole. */
function lengthsOf(ctx: NodeContext, steps: number, batch: number): readonly number[] | undefined {
  if (!ctx.has(4)) return undefined;
  const lengths = [...ctx.needConstant(4, "the sequence lengths").data];
  const odd = lengths.find((n) => n < 1 || n > steps);
  if (lengths.length !== batch || odd !== undefined)
    throw ctx.error(`its sequence lengths [${lengths.join(", ")}] do not fit ${batch} sequences of ${steps} steps`);
  return lengths.every((n) => n === steps) ? undefined : lengths;
}

function recurrent(opType: string, gates: number, defaults: readonly string[], cell: Cell): OperatorImporter {
  return {
    opType,
    limits: "sequences of constant length; constant weights",
    ignores: { output_sequence: "before opset 7; whether the output of all steps is named says the same" },
    import: (ctx) => {
      const layout = ctx.int("layout", 0);
      if (ctx.shape(0).length !== 3) throw ctx.error(`its input has rank ${ctx.shape(0).length} instead of 3`);
      const x = layout === 0 ? ctx.value(0) : transpose(ctx, ctx.value(0), [1, 0, 2]);
      const [steps, batch, features] = shapeOf(x) as [number, number, number];
      const hidden = ctx.int("hidden_size", 0) || ctx.shape(2)[2]!;
      const direction = ctx.string("direction", "forward");
      const directions = direction === "bidirectional" ? 2 : 1;
      if (!["forward", "reverse", "bidirectional"].includes(direction))
        throw ctx.error(`direction "${direction}" is not defined`);
      if (
        ctx.shape(1).join() !== [directions, gates * hidden, features].join() ||
        ctx.shape(2).join() !== [directions, gates * hidden, hidden].join()
      )
        throw ctx.error(`its weights have the shapes [${ctx.shape(1).join(", ")}] and [${ctx.shape(2).join(", ")}]`);
      const activations = activationsOf(ctx, defaults, directions);
      const lengths = lengthsOf(ctx, steps, batch);
      /** The state that a direction begins with, [batch, hidden]. */
      const initial = (i: number, d: number): Value => {
        if (!ctx.has(i)) return zeros(ctx, [batch, hidden], "initial");
        const fits = layout === 0 ? [directions, batch, hidden] : [batch, directions, hidden];
        if (ctx.shape(i).join() !== fits.join())
          throw ctx.error(
            `its initial state has the shape [${ctx.shape(i).join(", ")}] instead of [${fits.join(", ")}]`,
          );
        return reshape(ctx, part(ctx, ctx.value(i), layout === 0 ? 0 : 1, d, 1), [batch, hidden]);
      };

      const run = (d: number, sequence: Value, state: Value, start: Value | undefined): Run => {
        const [count, samples] = shapeOf(sequence) as [number, number, number];
        const projected = reshape(
          ctx,
          matmul(ctx, reshape(ctx, sequence, [count * samples, features]), weight(ctx, 1, d, "W")),
          [count, samples, gates * hidden],
        );
        const backward = direction === "reverse" || d === 1;
        const inputs = Array.from({ length: count }, (_, t) =>
          reshape(ctx, part(ctx, projected, 0, backward ? count - 1 - t : t, 1), [samples, gates * hidden]),
        );
        const r = cell(
          ctx,
          { steps: count, batch: samples, hidden, direction: d },
          activations.slice(d * defaults.length),
          inputs,
          state,
          start,
        );
        return { ...r, states: backward ? [...r.states].reverse() : r.states };
      };
      /** Sequences of different lengths are computed one by one; behind their ends the states are 0. */
      const each = (d: number, state: Value, start: Value | undefined): Run => {
        if (lengths === undefined) return run(d, x, state, start);
        const runs = lengths.map((n, b) =>
          run(
            d,
            part(ctx, part(ctx, x, 0, 0, n), 1, b, 1),
            part(ctx, state, 0, b, 1),
            start === undefined ? undefined : part(ctx, start, 0, b, 1),
          ),
        );
        const beyond = zeros(ctx, [1, hidden], "beyond");
        const together = (pick: (r: Run) => Value): Value => join(ctx, runs.map(pick), 0);
        return {
          states: Array.from({ length: steps }, (_, t) => together((r) => r.states[t] ?? beyond)),
          last: together((r) => r.last),
          cell: start === undefined ? undefined : together((r) => r.cell!),
        };
      };

      const results = Array.from({ length: directions }, (_, d) =>
        each(d, initial(5, d), opType === "LSTM" ? initial(6, d) : undefined),
      );
      const all = join(
        ctx,
        results.map((r) =>
          join(
            ctx,
            r.states.map((s) => reshape(ctx, s, [1, 1, batch, hidden])),
            0,
          ),
        ),
        1,
      );
      const lasts = (pick: (r: Run) => Value): Value => {
        const v = join(
          ctx,
          results.map((r) => reshape(ctx, pick(r), [1, batch, hidden])),
          0,
        );
        return layout === 0 ? v : transpose(ctx, v, [1, 0, 2]);
      };
      const y = layout === 0 ? all : transpose(ctx, all, [2, 0, 1, 3]);
      return opType === "LSTM" ? [y, lasts((r) => r.last), lasts((r) => r.cell!)] : [y, lasts((r) => r.last)];
    },
  };
}

const gru: Cell = (ctx, { batch, hidden, steps, direction: d }, [f, g], inputs, state) => {
  const resetAfter = ctx.int("linear_before_reset", 0) !== 0;
  const [wb, rb] = biasOf(ctx, d, 3 * hidden);
  // Gates z, r, h. Where h's recurrent product stands behind the reset, its bias does as well.
  const both = row(
    ctx,
    wb.map((v, i) => v + (resetAfter && i >= 2 * hidden ? 0 : rb[i]!)),
    `bias_${d}`,
  );
  const gatesR = weight(ctx, 2, d, "R", 0, 2 * hidden);
  const candidateR = weight(ctx, 2, d, "R", 2 * hidden, hidden);
  const hiddenBias = row(ctx, rb.slice(2 * hidden), `hidden_bias_${d}`);
  const one = scalar(ctx, 1, "one");
  const states: Value[] = [];
  let h = state;
  for (let t = 0; t < steps; t++) {
    const x = add(ctx, inputs[t]!, both);
    const zr = f!(
      ctx,
      add(ctx, part(ctx, x, 1, 0, 2 * hidden), ctx.emit("nn.matmul", [h, gatesR], [batch, 2 * hidden])),
    );
    const [z, r] = [part(ctx, zr, 1, 0, hidden), part(ctx, zr, 1, hidden, hidden)];
    const recurrentPart = resetAfter
      ? mul(ctx, r, add(ctx, matmul(ctx, h, candidateR), hiddenBias))
      : matmul(ctx, mul(ctx, r, h), candidateR);
    const candidate = g!(ctx, add(ctx, part(ctx, x, 1, 2 * hidden, hidden), recurrentPart));
    h = add(ctx, mul(ctx, sub(ctx, one, z), candidate), mul(ctx, z, h));
    states.push(h);
  }
  return { states, last: h, cell: undefined };
};

const lstm: Cell = (ctx, { hidden, steps, direction: d }, [f, g, hAct], inputs, state, start) => {
  const [wb, rb] = biasOf(ctx, d, 4 * hidden);
  const bias = row(
    ctx,
    wb.map((v, i) => v + rb[i]!),
    `bias_${d}`,
  );
  const matrix = weight(ctx, 2, d, "R");
  const coupled = ctx.int("input_forget", 0) !== 0;
  const one = coupled ? scalar(ctx, 1, "one") : undefined;
  // Peepholes of i, o and f: what the cell adds to these gates.
  const peepholes = ctx.has(7)
    ? ctx.needWeight(7, "peepholes").data.slice(d * 3 * hidden, (d + 1) * 3 * hidden)
    : undefined;
  const peep = (x: Value, k: number, c: Value): Value => {
    const own = peepholes?.slice(k * hidden, (k + 1) * hidden);
    return own === undefined || own.every((v) => v === 0)
      ? x
      : add(ctx, x, mul(ctx, c, row(ctx, own, `peephole_${k}_${d}`)));
  };
  const states: Value[] = [];
  let h = state;
  let c = start!;
  for (let t = 0; t < steps; t++) {
    const all = add(ctx, add(ctx, inputs[t]!, bias), matmul(ctx, h, matrix));
    // Gates i, o, f, c.
    const gate = (k: number): Value => part(ctx, all, 1, k * hidden, hidden);
    const i = f!(ctx, peep(gate(0), 0, c));
    const forget = coupled ? sub(ctx, one!, i) : f!(ctx, peep(gate(2), 2, c));
    const candidate = g!(ctx, gate(3));
    c = add(ctx, mul(ctx, forget, c), mul(ctx, i, candidate));
    h = mul(ctx, f!(ctx, peep(gate(1), 1, c)), hAct!(ctx, c));
    states.push(h);
  }
  return { states, last: h, cell: c };
};

const rnn: Cell = (ctx, { hidden, steps, direction: d }, [f], inputs, state) => {
  const [wb, rb] = biasOf(ctx, d, hidden);
  const bias = row(
    ctx,
    wb.map((v, i) => v + rb[i]!),
    `bias_${d}`,
  );
  const matrix = weight(ctx, 2, d, "R");
  const states: Value[] = [];
  let h = state;
  for (let t = 0; t < steps; t++) {
    h = f!(ctx, add(ctx, add(ctx, inputs[t]!, bias), matmul(ctx, h, matrix)));
    states.push(h);
  }
  return { states, last: h, cell: undefined };
};

export const recurrentOperators: readonly OperatorImporter[] = [
  recurrent("RNN", 1, ["Tanh"], rnn),
  recurrent("GRU", 3, ["Sigmoid", "Tanh"], gru),
  recurrent("LSTM", 4, ["Sigmoid", "Tanh", "Tanh"], lstm),
];
