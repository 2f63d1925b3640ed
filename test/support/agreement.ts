/** One quantized model through the importer, fixed point and ONNX Runtime. */
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { Sink } from "../../src/diagnostics/index.js";
import { stagePipeline } from "../../src/driver/stages.js";
import { importOnnx } from "../../src/frontend/import.js";
import { readArrays } from "../../src/frontend/npz.js";
import { decodeModel, messageType, toNumber, type ModelProto } from "../../src/frontend/onnx-proto.js";
import { readTensor } from "../../src/frontend/tensor-data.js";
import { cloneModule, type Module, type Value } from "../../src/ir/core.js";
import { denseAttr } from "../../src/ir/define-op.js";
import "../../src/ir/dialects.js";
import { prepareFlow } from "../../src/ir/eval/flow.js";
import { prepareNn } from "../../src/ir/eval/nn-fixed.js";
import { fixedOf } from "../../src/ir/nn/values.js";
import { portScale } from "../../src/ir/port-scales.js";
import { INTEGER_RECORD } from "../../src/passes/nn/integerize/record.js";
import { CALIBRATION_SAMPLES } from "../../src/passes/nn/quantize/index.js";
import { roundInputs, toRaw } from "../../src/passes/nn/quantize/inputs.js";
import { PassContext } from "../../src/passes/pass-context.js";
import { PassManager } from "../../src/passes/pass-manager.js";
import { runOnnxRuntime, type ElementType, type RuntimeTensors } from "./onnxruntime.js";

/**
 * Kernels of ONNX Runtime: of integers everywhere, of this machine's default, of float32 node by node. `exact` is every
 * node in float64: the model without the rounding of float32.
 */
export type Reference = "integers" | "default" | "nodes" | "exact";

export const REFERENCES: readonly Reference[] = ["nodes", "default", "integers", "exact"];

export interface Agreement {
  readonly elements: number;
  /** Share of elements that equal ONNX Runtime's. */
  readonly equal: number;
  /** Largest difference in steps. */
  readonly most: number;
}

export interface Compared {
  readonly reference: Reference;
  readonly outputs: Agreement;
  /** Every quantized tensor, computed from ONNX Runtime's integers in front of it. */
  readonly given: Agreement;
  /** Those of them that differ anywhere, in the order of the network. */
  readonly differing: readonly Differing[];
}

/** A quantized tensor that differs from ONNX Runtime's although what is in front of it is the same. */
export interface Differing extends Agreement {
  readonly tensor: string;
  /** Elements that differ. */
  readonly count: number;
  /**
   * How far the most distant of them lies from a tie before it is rounded, in steps: up to 0.5. Undefined where the
   * rounding is a table's.
   */
  readonly fromTie?: number;
}

export interface QuantizedRecord {
  readonly name: string;
  readonly compared: readonly Compared[];
  /** Nodes that compute with real numbers, with the reason. */
  readonly real: readonly string[];
  /** Whether the fused kernels give the same integers as the fixed-point network. */
  readonly flow?: boolean;
}

const TYPES: Readonly<Record<number, ElementType>> = {
  1: "float",
  2: "uint8",
  3: "int8",
  4: "uint16",
  5: "int16",
  6: "int32",
  7: "int64",
  9: "bool",
  10: "float16",
  11: "double",
  12: "uint32",
};
const LIMITS: Readonly<Record<string, readonly [number, number]>> = {
  uint8: [0, 255],
  int8: [-128, 127],
  uint16: [0, 65535],
  int16: [-32768, 32767],
  int32: [-1000, 1000],
  bool: [0, 1],
};

export interface Input {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
}

/** Inputs of a model that are not constants. */
export function inputsOf(model: ModelProto): Input[] {
  const constants = new Set(model.graph!.initializer.map((t) => t.name));
  return model
    .graph!.input.filter((i) => !constants.has(i.name))
    .map((i) => ({
      name: i.name,
      type: TYPES[i.type!.tensorType!.elemType]!,
      shape: i.type!.tensorType!.shape!.dim.map((d) => Math.max(1, d.value === "dimValue" ? toNumber(d.dimValue) : 1)),
    }));
}

export interface FixedResults {
  /** Per sample and output, as the model's numbers. */
  readonly outputs: readonly (readonly Float64Array[])[];
  readonly names: readonly string[];
  /** Why nodes compute with real numbers. */
  readonly real: readonly string[];
  /** Whether the fused kernels give the same integers. */
  readonly flow?: boolean;
}

/** A model in fixed point on samples, which calibrate it as well where that matters. */
export function throughFixedPoint(
  file: string,
  bytes: Uint8Array,
  samples: readonly (readonly Float64Array[])[],
  withFlow: boolean,
): FixedResults {
  const sink = new Sink();
  const context = new PassContext(sink, () => undefined);
  context.set(CALIBRATION_SAMPLES, samples);
  const run = (m: Module, pipeline: string): Module =>
    new PassManager().run(cloneModule(m), pipeline, { context, sink, verifyEach: true }).module;
  const float = importOnnx(bytes, file, sink);
  if (float === undefined) throw new Error(`refused: ${sink.diagnostics.map((d) => d.message).join("; ")}`);
  const fixed = run(run(float, stagePipeline("prepare")), stagePipeline("to-fixed"));
  const record = context.get(INTEGER_RECORD);
  const program = prepareNn(fixed);
  const flow = withFlow ? prepareFlow(run(fixed, stagePipeline("lower"))) : undefined;
  const args = fixed.func.body.args;
  const scales = args.map((_, i) => portScale(fixed.func, "input_scales", i));
  const results = fixed.func.body.terminator.operands;

  const raw = samples.map((s) =>
    program
      .run(
        roundInputs(
          s,
          args.map((a) => a.type),
          scales,
        ),
      )
      .map((y) => Float64Array.from(y)),
  );
  const agrees =
    flow &&
    samples.every((s, k) =>
      flow
        .run(
          s.map((x, i) =>
            toRaw(
              Float64Array.from(x, (v) => v / scales[i]!),
              fixedOf(args[i]!)!,
            ),
          ),
        )
        .every((y, o) => raw[k]![o]!.every((v, i) => y[i]! * 2 ** -fixedOf(results[o]!)!.frac === v)),
    );
  const real = (
    record?.real.filter((n) => n.cause).map((n) => `${n.opType} ${n.name}: ${n.reason}`) ?? ["not a quantized model"]
  ).concat(record?.inputs.map((i) => `input ${i} is real`) ?? []);
  const outputs = raw.map((ys) => ys.map((y, o) => y.map((v) => v * portScale(fixed.func, "output_scales", o))));
  return {
    outputs,
    names: fixed.func.attrs["outputs"] as readonly string[],
    real,
    ...(agrees !== undefined && { flow: agrees }),
  };
}

export async function measureQuantized(
  file: string,
  bytes: Uint8Array,
  options: { samples: number; flow: boolean; references: readonly Reference[]; random?: () => number },
): Promise<QuantizedRecord> {
  const model = decodeModel(bytes);
  const inputs = inputsOf(model);
  const samples =
    storedSamples(file, inputs, options.samples) ??
    randomSamples(inputs, options.samples, options.random ?? generator(7));
  const { outputs, names, real, flow } = throughFixedPoint(
    file,
    bytes,
    samples.map((s) => inputs.map((i) => Float64Array.from(s[i.name]!.data))),
    options.flow,
  );
  const compared: Compared[] = [];
  // What QOperator models round on the way is part of their operators.
  const isQdq = !model.graph!.node.some(
    (n) =>
      (n.domain !== "" && !["QuantizeLinear", "DequantizeLinear"].includes(n.opType)) ||
      /^QLinear|Integer$/.test(n.opType),
  );
  for (const reference of options.references.filter((r) => r !== "exact" || isQdq)) {
    const [want] = await runOnnxRuntime([{ model: bytes, samples, ...kernels(reference) }]);
    const count = new Count();
    outputs.forEach((ys, k) =>
      ys.forEach((y, o) => countOutput(count, model, names[o]!, y, want![k]![names[o]!]!.data)),
    );
    compared.push({
      reference,
      outputs: count.agreement,
      ...(await tensorByTensor(bytes, model, file, samples, inputs, reference)),
    });
  }
  return {
    name: ["model.onnx", "model_qdq"].some((n) => basename(file).startsWith(n))
      ? `${basename(dirname(file))}/${basename(file)}`
      : basename(file),
    compared,
    real,
    ...(flow !== undefined && { flow }),
  };
}

/** Adds an output's elements to a count, in steps of its last quantization. */
export function countOutput(
  count: Count,
  model: ModelProto,
  name: string,
  got: ArrayLike<number>,
  want: ArrayLike<number>,
): void {
  count.add(
    got,
    want,
    lastStep(model, name) ??
      Math.max(
        1e-12,
        Array.from(want).reduce((m, v) => Math.max(m, Math.abs(v)), 0),
      ) *
        2 ** -15,
  );
}

function kernels(r: Reference): { optimize: boolean; int8: boolean; exact: boolean } {
  return { optimize: r === "default" || r === "integers", int8: r === "integers", exact: r === "exact" };
}

/**
 * Quantized tensors as further outputs; what is computed is compared, and replaced by ONNX Runtime's integers for what
 * reads it.
 */
async function tensorByTensor(
  bytes0: Uint8Array,
  model: ModelProto,
  file: string,
  samples: readonly RuntimeTensors[],
  inputs: readonly Input[],
  reference: Reference,
): Promise<Pick<Compared, "given" | "differing">> {
  const graph = model.graph!;
  const outputs = new Set(graph.output.map((o) => o.name));
  const computed = new Set(inputs.map((i) => i.name));
  for (const n of graph.node) if (n.input.some((i) => computed.has(i))) n.output.forEach((o) => computed.add(o));
  const typeOf = (name: string): number => graph.initializer.find((t) => t.name === name)?.dataType ?? 2;
  const more = graph.node.flatMap((n) =>
    CODES[n.opType] === undefined || !computed.has(n.output[0]!) || outputs.has(n.output[0]!)
      ? []
      : [{ name: n.output[0]!, type: { tensorType: { elemType: typeOf(n.input[CODES[n.opType]!] ?? "") } } }],
  );
  const type = messageType("onnx.ModelProto");
  const wide = type.fromObject({
    ...type.toObject(type.decode(bytes0)),
    graph: { ...(type.toObject(type.decode(bytes0))["graph"] as object), output: [...graph.output, ...more] },
  });
  const bytes = type.encode(wide).finish();
  const sink = new Sink();
  const float = importOnnx(bytes, file, sink);
  if (float === undefined)
    throw new Error(`refused with further outputs: ${sink.diagnostics.map((d) => d.message).join("; ")}`);
  const module = new PassManager().run(float, "integerize,dce", {
    context: new PassContext(sink),
    sink,
    verifyEach: false,
  }).module;
  const names = module.func.attrs["outputs"] as readonly string[];
  const [want] = await runOnnxRuntime([{ model: bytes, samples, ...kernels(reference) }]);
  // Codes with the zero point off are what others read: the comparison is there.
  const units = new Map(
    module.func.body.terminator.operands.map((v, i) => {
      const c = v.def?.name === "nn.add" ? v.def.operand(1).def : undefined;
      const moved = c?.name === "nn.constant" && denseAttr(c, "value").data.length === 1;
      return [
        moved ? v.def!.operand(0) : v,
        {
          name: names[i]!,
          unit: lastStep(wide as unknown as ModelProto, names[i]!),
          zero: moved ? denseAttr(c, "value").data[0]! : 0,
        },
      ];
    }),
  );
  const program = prepareNn(module);
  const count = new Count();
  const counts = new Map<string, { own: Count; fromTie: number | undefined }>();
  const unrounded = new Map<Value, Float64Array>();
  let k = 0;
  program.observe = (v, data) => {
    if (v.uses.some((u) => u.op.name === "nn.round")) unrounded.set(v, data.slice());
    const found = units.get(v);
    if (found?.unit === undefined) return;
    const reference = Float64Array.from(want![k]![found.name]!.data, (y) => y - found.zero);
    count.add(data, reference, found.unit);
    const one =
      counts.get(found.name) ?? counts.set(found.name, { own: new Count(), fromTie: undefined }).get(found.name)!;
    one.own.add(data, reference, found.unit);
    const x = v.def?.name === "nn.round" ? unrounded.get(v.def.operand(0)) : undefined;
    if (x !== undefined)
      reference.forEach(
        (y, i) =>
          y !== data[i] && (one.fromTie = Math.max(one.fromTie ?? 0, Math.abs(x[i]! - Math.floor(x[i]!) - 0.5))),
      );
    data.set(reference);
  };
  for (k = 0; k < samples.length; k++) program.run(inputs.map((i) => samples[k]![i.name]!.data));
  const differing = [...counts].flatMap(([tensor, { own, fromTie }]) =>
    own.agreement.equal === 1
      ? []
      : [{ tensor, ...own.agreement, count: own.different, ...(fromTie !== undefined && { fromTie }) }],
  );
  return { given: count.agreement, differing };
}

export class Count {
  private elements = 0;
  private equal = 0;
  private most = 0;

  add(got: ArrayLike<number>, want: ArrayLike<number>, unit: number): void {
    for (let i = 0; i < want.length; i++) {
      const d = Math.abs(got[i]! - want[i]!) / unit;
      this.elements++;
      if (d <= 0.25) this.equal++;
      this.most = Math.max(this.most, d);
    }
  }
  get different(): number {
    return this.elements - this.equal;
  }
  get agreement(): Agreement {
    return {
      elements: this.elements,
      equal: this.elements === 0 ? 1 : this.equal / this.elements,
      most: this.most < 0.25 ? 0 : this.most,
    };
  }
}

/** Operators whose output are codes, with the input that has their type. */
const CODES: Readonly<Record<string, number>> = { QuantizeLinear: 2, QLinearConv: 7, QLinearMatMul: 7 };

function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    return ((state ^ (state >>> 13)) >>> 0) / 2 ** 32;
  };
}

export function randomSamples(inputs: readonly Input[], count: number, random: () => number): RuntimeTensors[] {
  return Array.from({ length: count }, () =>
    Object.fromEntries(
      inputs.map((i) => {
        const [lo, hi] = LIMITS[i.type] ?? [-3, 3];
        const data = Float64Array.from({ length: i.shape.reduce((n, d) => n * d, 1) }, () =>
          LIMITS[i.type] === undefined
            ? Math.fround(lo + (hi - lo) * random())
            : lo + Math.floor((hi - lo + 1) * random()),
        );
        return [i.name, { type: i.type, shape: i.shape, data }];
      }),
    ),
  );
}

/** Samples beside the model: arrays `input:NAME` of NAME_io.npz, or the inputs of test.npz. */
function storedSamples(file: string, inputs: readonly Input[], count: number): RuntimeTensors[] | undefined {
  const path = [
    file.replace(/\.onnx$/, "_io.npz"),
    join(dirname(file), "test.npz"),
    join(dirname(file), "io.npz"),
  ].find(existsSync);
  if (path === undefined) return undefined;
  const arrays = readArrays(readFileSync(path), path);
  const found = inputs.map(
    (i) => arrays.get(`input:${i.name}`) ?? arrays.get(i.name) ?? arrays.get("x") ?? arrays.get("inputs"),
  );
  if (found.some((a) => a === undefined)) return undefined;
  return Array.from({ length: Math.min(count, found[0]!.shape[0]!) }, (_, k) =>
    Object.fromEntries(
      inputs.map((i, n) => {
        const size = i.shape.reduce((p, d) => p * d, 1);
        return [
          i.name,
          {
            type: i.type,
            shape: i.shape,
            data: Float64Array.from(found[n]!.data.subarray(k * size, (k + 1) * size) as Float64Array),
          },
        ];
      }),
    ),
  );
}

/** One step of an output: 1 for integers, the scale of the quantization that it comes from for real numbers. */
function lastStep(model: ModelProto, output: string): number | undefined {
  const graph = model.graph!;
  const type = graph.output.find((o) => o.name === output)!.type!.tensorType!.elemType;
  if (![1, 10, 11].includes(type)) return 1;
  const producer = new Map(graph.node.flatMap((n) => n.output.map((o) => [o, n] as const)));
  let name = output;
  for (let steps = 0; steps < 8; steps++) {
    const n = producer.get(name);
    if (n === undefined) return undefined;
    if (n.opType === "DequantizeLinear") {
      const scale = graph.initializer.find((t) => t.name === n.input[1]);
      return scale === undefined ? undefined : readTensor(scale, "scale", "model").data[0];
    }
    if (!["Identity", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze"].includes(n.opType)) return undefined;
    name = n.input[0]!;
  }
  return undefined;
}
