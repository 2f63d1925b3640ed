/**
 * Checks the pipelines of a design against the clock: which stage everything is in is taken as given, and from the
 * delays of the device alone it is computed anew when each value is there within its stage. An operation that reads a
 * value of a later stage is a mistake of the planner. One that ends after the cycle does is a clock that the device
 * cannot keep, which the user hears together with the clock that it can.
 */
import { elementAt, firstOf, lastOf, lookUp, present } from "../../ir/present.js";
import { CompilerBug, type Sink, UserError } from "../../diagnostics/index.js";
import type { Block, Op, Value } from "../../ir/core.js";
import { denseAttr } from "../../ir/define-op.js";
import { bodyOf } from "../../ir/fx/index.js";
import type { FixedType } from "../../ir/types.js";
import { comesFromBlockRam, type Design, type PlannedKernel } from "../design/design.js";
import { clockFor, type Device, usablePeriod } from "../device/devices.js";
import { addDelay, carryDelay, chooseDelay, kindOf, opDelay, requantizeDelay } from "../device/operators.js";
import { type AdderGraph, bitsOfInterval } from "../kernel/adder-graph.js";
import { accumulatorLoops, isConstantOperand, sumType } from "../kernel/datapath.js";
import {
  compareLevels,
  ensembleOf,
  hasFixedTrees,
  mostLeaves,
  numberBits,
  tableLevels,
  tallest,
} from "../kernel/decisions.js";
import { type GraphStages, isRegisteredTable } from "../kernel/pipeline.js";

/** When a value is there: its stage, and the nanoseconds into it, of its lowest bits and of all. */
interface Time {
  readonly stage: number;
  readonly low: number;
  readonly all: number;
}

/** What takes longest in one cycle of a kernel. */
export interface Slowest {
  readonly kernel: string;
  readonly node: string;
  readonly what: string;
  /** Nanoseconds from the clock edge, clock-to-output and set-up included. */
  readonly ns: number;
}

/**
 * Delays are of average routes: a cycle as a rule keeps some time for worse ones. Logic that takes of that is a
 * warning, logic that takes more than the whole cycle an error.
 *
 * @errors FL012; warns with FL013
 */
export function checkPipelines(design: Design, sink: Sink): void {
  const slowest = slowestLogic(design);
  if (slowest === undefined || slowest.ns <= usablePeriod(design.clockMhz) + 1e-6) return;
  const period = 1000 / design.clockMhz;
  const [ns, has] = [slowest.ns, period].map((n) => n.toFixed(2)) as [string, string];
  if (slowest.ns <= period)
    return void sink.report(
      "FL013",
      { clock: design.clockMhz, kernel: slowest.kernel, what: slowest.what, ns, has, safe: clockFor(slowest.ns) },
      { node: slowest.node },
    );
  throw UserError.of(
    "FL012",
    {
      clock: design.clockMhz,
      device: design.device.name,
      kernel: slowest.kernel,
      what: slowest.what,
      ns,
      has,
      possible: clockFor(slowest.ns),
    },
    { node: slowest.node },
  );
}

/** The longest way between two registers of any kernel; undefined without kernels. */
export function slowestLogic(design: Design): Slowest | undefined {
  const found = design.kernels.map((k) => new PipelineTimes(design, k).slowest());
  return found.reduce<Slowest | undefined>((a, b) => (a === undefined || b.ns > a.ns ? b : a), undefined);
}

class PipelineTimes {
  private worst = 0;
  private what = "nothing but registers";
  private readonly device: Device;
  private readonly base: number;
  private readonly period: number;
  private readonly times = new Map<Value, Time>();

  constructor(
    design: Design,
    private readonly node: PlannedKernel,
  ) {
    this.device = design.device;
    this.base = design.device.timing.base;
    this.period = usablePeriod(design.clockMhz);
  }

  slowest(): Slowest {
    this.run();
    return {
      kernel: this.node.name,
      node: this.node.op.loc.nodes[0] ?? this.node.name,
      what: this.what,
      ns: this.worst,
    };
  }

  /** Behind a register of an earlier stage, a value is there when the cycle begins. */
  private at(t: Time, stage: number, reader: string): Time {
    if (t.stage > stage)
      throw new CompilerBug(
        `kernel ${this.node.name}: ${reader} in stage ${stage} reads what is there in stage ${t.stage} only`,
      );
    return t.stage === stage ? t : { stage, low: this.base, all: this.base };
  }

  private note(ns: number, what: string): number {
    if (ns > this.worst) [this.worst, this.what] = [ns, what];
    return ns;
  }

  private sum(inputs: readonly Time[], stage: number, width: number, what: string, before = 0): Time {
    const low =
      Math.max(this.base, ...inputs.map((t) => this.at(t, stage, what).low)) + before + this.device.timing.add;
    return { stage, low, all: this.note(low + carryDelay(this.device, width), what) };
  }

  private logic(inputs: readonly Time[], stage: number, delay: number, what: string): Time {
    const all = this.note(Math.max(this.base, ...inputs.map((t) => this.at(t, stage, what).all)) + delay, what);
    return { stage, low: all, all };
  }

  private run(): void {
    const { node, device } = this;
    const { op, spec, pipeline, products } = node;
    const [body, epilogue] = op.regions as [{ args: Value[] } & Block, { args: Value[] } & Block];
    const operands = (phase: "body" | "epilogue"): number[] =>
      spec.operands.flatMap((o, i) => (o.phase === phase ? [i] : []));
    // Operands come out of registers, a block RAM, or straight from another kernel.
    const arrive = (i: number, stage: number): Time => {
      const constant = isConstantOperand(spec, i);
      const fromRam = comesFromBlockRam(device, spec, node.inputs, i) && (constant || stage === 1);
      const direct = !constant && stage === 0 ? this.fromProducer() : 0;
      const ns = Math.max(this.base, fromRam ? device.timing.memory : 0, direct);
      return { stage, low: ns, all: ns };
    };
    operands("body").forEach((i, k) => this.times.set(elementAt(body.args, k), arrive(i, pipeline.operandStage)));
    let term: readonly Time[];
    if (products.products.kind === "adders") term = this.graphs();
    else if (products.products.kind === "trees")
      term = [this.decisions(body.args.map((a) => lookUp(this.times, a, "times")))];
    else term = [this.block(body)];
    const termType = op.body.terminator.operand(0).type as FixedType;
    let folded = term;
    let covered = 1;
    const carry = products.products.kind === "packed" ? 1 : 0;
    pipeline.treeStages.forEach((stage) => {
      covered *= 2;
      const width =
        spec.combiner === "add" ? sumType(termType, covered, spec.accType).width + carry : spec.accType.width;
      folded = [
        spec.combiner === "add"
          ? this.sum(folded, stage, width, `a sum of ${width} bits`)
          : this.logic(folded, stage, chooseDelay(device, width), `a choice between numbers of ${width} bits`),
      ];
    });
    if (accumulatorLoops(spec).reductions.length > 0) {
      const { width } = spec.accType;
      const stage = present(pipeline.accStage, "acc stage");
      if (spec.combiner === "add") this.sum(folded, stage, width, `an accumulator of ${width} bits`, device.timing.lut);
      else
        this.logic(folded, stage, device.timing.lut + chooseDelay(device, width), `a running choice of ${width} bits`);
      folded = [{ stage: stage + 1, low: this.base, all: this.base }];
    } else if (pipeline.carryStage !== undefined) {
      folded = [this.sum(folded, pipeline.carryStage, spec.accType.width, `a sum of ${spec.accType.width} bits`)];
    }
    const last = folded.reduce((a, b) => (b.stage > a.stage || (b.stage === a.stage && b.all > a.all) ? b : a));
    this.times.set(firstOf(epilogue.args), last);
    operands("epilogue").forEach((_, k) =>
      this.times.set(elementAt(epilogue.args, k + 1), { stage: last.stage, low: this.base, all: this.base }),
    );
    const result = this.block(epilogue);
    if (result.stage > pipeline.depth)
      throw new CompilerBug(
        `kernel ${node.name}: its result is there in stage ${result.stage}, behind its last stage ${pipeline.depth}`,
      );
  }

  /** Nanoseconds into the cycle in which the kernel in front, in lockstep, has its result. */
  private fromProducer(): number {
    const producer = this.node.inputs.find((c) => c.direct)?.producer;
    return producer?.kind === "kernel" ? producer.resultNs : this.base;
  }

  private graphs(): readonly Time[] {
    const { spec, op, pipeline, products } = this.node;
    const start = this.times.get(firstOf(op.body.args)) ?? {
      stage: pipeline.operandStage,
      low: this.base,
      all: this.base,
    };
    const found = [...pipeline.graphStages].flatMap(([graph, stages]) =>
      this.graph(graph, stages, start, pipeline.absorbsSign ? 0 : spec.accType.width),
    );
    if (found.length === 0)
      throw new CompilerBug(`kernel ${this.node.name}: ${products.units.length} adder graphs without a stage`);
    return found;
  }

  /** The outputs of one graph; those of the wrong sign are negated in `negated` bits, or left so with 0. */
  private graph(graph: AdderGraph, stages: GraphStages, start: Time, negated: number): Time[] {
    const constant = { stage: 0, low: 0, all: 0 };
    const times: Time[] = graph.inputs.map((_, i) => (i < graph.inputs.length - graph.constants ? start : constant));
    graph.nodes.forEach((n, i) =>
      times.push(
        this.sum(
          [elementAt(times, n.a), elementAt(times, n.b)],
          elementAt(stages.nodes, i),
          bitsOfInterval(n.range),
          `a sum of ${bitsOfInterval(n.range)} bits`,
        ),
      ),
    );
    return graph.outputs.map((o, i) => {
      const t = o.node < 0 ? start : elementAt(times, o.node);
      return o.node >= 0 && o.negative && negated > 0
        ? this.sum([t], elementAt(stages.outputs, i), negated, `a negation of ${negated} bits`)
        : t;
    });
  }

  /** The value of a leaf: comparisons and choices of fixed trees, or level after level of walked ones. */
  private decisions(inputs: readonly Time[]): Time {
    const { device, base } = this;
    const { spec, pipeline } = this.node;
    const { lut, memory } = device.timing;
    const stages = present(pipeline.decisions, "stages of trees");
    const e = ensembleOf(spec);
    const operand = firstOf(spec.operands);
    const { width } = (operand.value.type as { elem: FixedType }).elem;
    const depth = tallest(e);
    if (hasFixedTrees(spec)) {
      if (depth === 0) return this.at(firstOf(inputs), stages.leaf, "a leaf");
      const compared = compareLevels(device, width) * lut;
      let t = this.logic([firstOf(inputs)], stages.compare, compared, `a comparison of ${width} bits`);
      for (let h = 2; h <= depth; h++)
        t = this.logic([t], elementAt(stages.choices, h), lut, `a choice between nodes of height ${h}`);
      const bits = numberBits(mostLeaves(e));
      const leaf = bits <= 1 ? 0 : tableLevels(device, bits) * lut;
      return this.logic([t], stages.leaf, leaf, `a choice between ${2 ** bits} leaves`);
    }
    // What a node says is there a cycle after its address, out of a block RAM late in it.
    const data = ({ stage }: Time): Time => {
      const ns = this.note(Math.max(base, memory), "a node of a tree");
      return { stage: stage + 1, low: ns, all: ns };
    };
    const features = lastOf(operand.view.shape);
    const perLevel = device.family.lutInputs === 6 ? 4 : 2;
    const selecting = Math.max(1, Math.ceil(Math.log(features) / Math.log(perLevel))) * lut;
    let address = inputs.reduce((a, b) => (b.stage > a.stage ? b : a));
    stages.levels.forEach(({ select, compare, next }) => {
      const feature = this.logic([data(address)], select, selecting, `a choice between ${features} features`);
      const compared = addDelay(device, width) + device.timing.select;
      const side = this.logic([feature], compare, compared, `a comparison of ${width} bits`);
      address = this.logic([side], next, 2 * lut, "the next node of a tree");
    });
    return data({ ...address, stage: stages.leaf });
  }

  private block(block: Block): Time {
    const { pipeline, products } = this.node;
    const { ops, result } = bodyOf(block);
    for (const o of ops) {
      if (o === products.added) this.times.set(o.result, lookUp(this.times, firstOf(block.args), "times"));
      else if (kindOf(o) === "constant") this.times.set(o.result, { stage: 0, low: 0, all: 0 });
      else
        this.times.set(
          o.result,
          this.operation(
            o,
            o.operands.map((v) => lookUp(this.times, v, "times")),
            lookUp(pipeline.stageOf, o, "stage of"),
          ),
        );
    }
    return lookUp(this.times, result, "times");
  }

  private operation(o: Op, inputs: readonly Time[], stage: number): Time {
    const { device, base } = this;
    const { pipeline } = this.node;
    const to = o.result.type as FixedType;
    const kind = kindOf(o);
    if (kind === "sum") return this.sum(inputs, stage, to.width, `a sum of ${to.width} bits`);
    const product = pipeline.constantProducts.get(o);
    if (product !== undefined)
      return firstOf(
        this.graph(product.graph, product.stages, elementAt(inputs, product.varying), this.node.spec.accType.width),
      );
    if (kind === "product") {
      const what = `a product of ${o.operands.map((v) => (v.type as FixedType).width).join(" by ")} bits`;
      const cell = pipeline.cellOf.get(o);
      inputs.forEach((t) => this.at(t, stage, what));
      if (cell !== undefined) {
        const ns = Math.max(base, cell.exit);
        return { stage: stage + cell.latency, low: this.note(ns, what), all: ns };
      }
      // The block stands between registers of its own, and has the cycle to itself.
      const end = Math.max(this.period, this.note(device.timing.multiply, what));
      return { stage, low: end, all: end };
    }
    if (kind === "requantize") {
      const { high, low, lowBits, round, limit } = requantizeDelay(device, o);
      if (pipeline.splitRequantize.has(o)) {
        this.logic(inputs, stage, round, `the rounding to ${to.width} bits`);
        const all = this.note(base + limit, `the limits of ${to.width} bits`);
        return { stage: stage + 1, low: all, all };
      }
      const t = this.at(firstOf(inputs), stage, "a requantization");
      const lowest = t.low < t.all ? t.low + carryDelay(device, lowBits) : t.all;
      const all = this.note(Math.max(t.all + high, lowest + low), `a requantization to ${to.width} bits`);
      return { stage, low: all, all };
    }
    const delay = opDelay(device, o);
    const t = this.logic(
      inputs,
      stage,
      delay,
      kind === "table" ? `a table of ${denseAttr(o, "values").data.length} entries` : o.name,
    );
    if (kind === "table" && isRegisteredTable(o)) return { stage: stage + 1, low: base, all: base };
    // Wires leave low bits early.
    return delay > 0 ? t : { ...t, low: Math.max(base, ...inputs.filter((x) => x.stage === stage).map((x) => x.low)) };
  }
}
