/** One unit of lanes of a kernel as a module: products, their sums, and the epilogue. */
import { elementAt, firstOf, lookUp, present } from "../../ir/present.js";
import type { Module, Op, Value } from "../../ir/core.js";
import { RtlModuleBuilder, u, type Port } from "../../ir/rtl/builder.js";
import type { BitsType, FixedType } from "../../ir/types.js";
import type { PlannedKernel } from "../design/design.js";
import type { Device } from "../device/devices.js";
import { isFixedOperand } from "../kernel/datapath.js";
import type { Packing } from "../kernel/packing.js";
import type { Unit } from "../kernel/products.js";
import { emitAdderGraph, emitScalarBody, Staged, wires } from "./emit-body.js";
import { emitTrees } from "./emit-trees.js";
import { type OperandLanes, unitPairs, upperBits } from "./emit-operands.js";
import { accumulate, type PartialSum, reduceTree, settle } from "./emit-sums.js";

/** Values at the ports of a unit: `x<i>` the lanes of operand i, `pairs` those of packed products. */
export function unitInputs(node: PlannedKernel, operands: readonly OperandLanes[], unit: Unit): Record<string, Value> {
  const { products } = node.products;
  const inputs: Record<string, Value> = {};
  node.spec.operands.forEach((_, i) => {
    if (products.kind === "packed" && products.packed === i && unit.outputs.length === 2)
      inputs["pairs"] = present(elementAt(operands, i).pair, "pair")(unitPairs(unit, products));
    else if (elementAt(unit.reads, i).length > 0)
      inputs[`x${i}`] = elementAt(operands, i).lanes(elementAt(unit.reads, i));
  });
  return inputs;
}

export function resultName(unit: Unit, k: number): string {
  return unit.outputs.length === 1 ? "result" : `result${k}`;
}

/** One unit: products and their sums, then per output the accumulator and the epilogue. */
export function emitUnit(
  module: Module,
  device: Device,
  name: string,
  node: PlannedKernel,
  unit: Unit,
  inputs: Readonly<Record<string, Value>>,
  accumulators: number,
): Op {
  const { spec, op, pipeline } = node;
  const elemOf = (i: number): FixedType => (elementAt(spec.operands, i).value.type as { elem: FixedType }).elem;
  const ports: Port[] = Object.entries(inputs).map(([n, v]) => ({ name: n, type: u((v.type as BitsType).width) }));
  if (pipeline.accStage !== undefined) {
    ports.push({ name: "first", type: u(1) }, { name: "accumulate", type: u(1) });
    if (accumulators > 1) ports.push({ name: "slot", type: u(Math.max(1, Math.ceil(Math.log2(accumulators)))) });
  }
  const m = new RtlModuleBuilder(module, name, ports, { loc: op.loc });
  const element = (i: number, n: number): Value => {
    const t = elemOf(i);
    return m.extract(m.input(`x${i}`), n * t.width, t.width, t.signed);
  };
  const sums = unitSums(module, device, m, node, unit, element);
  const results = sums.map((sum, k): [string, Value] => {
    const hint = sums.length === 1 ? "out" : `out${k}`;
    const folded =
      pipeline.accStage === undefined
        ? settle(m, spec, pipeline, sum)
        : accumulate(m, spec, pipeline, sum, accumulators);
    const epilogueArgs = spec.operands.flatMap((o, i) => {
      if (o.phase !== "epilogue") return [];
      // An operand that the graphs have added is not read: any number does.
      if (elementAt(unit.reads, i).length === 0 && !unit.constants.has(i))
        return [Staged.constant(m, m.constant(0, wires(elemOf(i))))];
      const built = unit.constants.get(i);
      if (built !== undefined) return [Staged.constant(m, m.constant(firstOf(elementAt(built, k)), wires(elemOf(i))))];
      // Numbers at a port wait for nothing.
      return [
        new Staged(
          m,
          element(i, firstOf(elementAt(elementAt(unit.index, i), k))),
          pipeline.folded.stage,
          isFixedOperand(spec, i),
        ),
      ];
    });
    const negated = pipeline.absorbsSign && unit.graph?.outputs[k]?.negative === true;
    const result = emitScalarBody(
      module,
      m,
      elementAt(op.regions, 1),
      [folded, ...epilogueArgs],
      pipeline,
      hint,
      negated,
      node.products.added,
    );
    const end = Math.max(result.stage, pipeline.depth - 1);
    const last = new Staged(m, m.cast(result.atStage(end), wires(spec.resultElem)), end);
    return [resultName(unit, k), last.atStage(pipeline.depth)];
  });
  return m.finish(Object.fromEntries(results));
}

/** The sums over the reduction lanes, one per output of the unit. */
function unitSums(
  module: Module,
  device: Device,
  m: RtlModuleBuilder,
  node: PlannedKernel,
  unit: Unit,
  element: (operand: number, lane: number) => Value,
): PartialSum[] {
  const { spec, op, pipeline } = node;
  const { products, added, lanes } = node.products;
  const termType = op.body.terminator.operand(0).type as FixedType;
  if (products.kind === "adders") {
    const data = elementAt(unit.reads, products.varying).map(
      (_, n) => new Staged(m, element(products.varying, n), pipeline.operandStage),
    );
    return emitAdderGraph(
      m,
      present(unit.graph, "graph"),
      data,
      lookUp(pipeline.graphStages, present(unit.graph, "graph"), "graph stages"),
      wires((added?.result.type as FixedType | undefined) ?? spec.accType),
      pipeline.absorbsSign,
    ).map((value) => ({ value, carry: undefined }));
  }
  if (products.kind === "trees") {
    const features = firstOf(unit.reads).map((_, n) => new Staged(m, element(0, n), pipeline.operandStage));
    const numbers = unit.index[1]?.map((o) =>
      o.map((n) => ({
        lane: elementAt(elementAt(unit.reads, 1), n),
        value: new Staged(m, element(1, n), pipeline.operandStage),
      })),
    );
    return emitTrees(m, device, node, unit, features, numbers ?? []).map((terms) =>
      reduceTree(
        m,
        spec,
        pipeline,
        terms.map((value) => ({ value, carry: undefined })),
        termType,
      ),
    );
  }
  if (products.kind === "packed" && unit.outputs.length === 2) {
    const terms = lanes.terms.map((_, t) =>
      packedProduct(
        m,
        node,
        products,
        element(products.shared, elementAt(firstOf(elementAt(unit.index, products.shared)), t)),
        t,
      ),
    );
    return [0, 1].map((k) =>
      reduceTree(
        m,
        spec,
        pipeline,
        terms.map((pair) => elementAt(pair, k)),
        termType,
      ),
    );
  }
  const body = spec.operands.flatMap((o, i) => (o.phase === "body" ? [i] : []));
  return unit.outputs.map((_, k) => {
    const terms = lanes.terms.map((_, t): PartialSum => {
      const args = body.map((i) => {
        const fixed = unit.constants.get(i);
        return fixed === undefined
          ? new Staged(m, element(i, elementAt(elementAt(elementAt(unit.index, i), k), t)), pipeline.operandStage)
          : Staged.constant(
              m,
              m.constant(
                elementAt(elementAt(fixed, k), t),
                wires((elementAt(spec.operands, i).value.type as { elem: FixedType }).elem),
              ),
            );
      });
      return {
        value: emitScalarBody(module, m, op.body, args, pipeline, lanes.terms.length === 1 ? "term" : `term${t}`),
        carry: undefined,
      };
    });
    return reduceTree(m, spec, pipeline, terms, termType);
  });
}

/**
 * Two products with a common factor: `(b1 * 2^s + b2) * a`, taken apart. A negative lower product has borrowed one from
 * the upper.
 */
function packedProduct(
  m: RtlModuleBuilder,
  node: PlannedKernel,
  packing: Packing,
  a: Value,
  t: number,
): readonly [PartialSum, PartialSum] {
  const { pipeline, op, spec } = node;
  const b = (elementAt(spec.operands, packing.packed).value.type as { elem: FixedType }).elem;
  const upper = upperBits(b);
  const at = t * (upper + b.width);
  const low = m.cast(m.extract(m.input("pairs"), at, b.width, b.signed), {
    kind: "bits",
    signed: b.signed,
    width: packing.shift,
  });
  const packed = m.extract(
    m.concat([m.extract(m.input("pairs"), at + b.width, upper), low]),
    0,
    packing.shift + upper,
    b.signed,
  );
  const stage = lookUp(pipeline.stageOf, firstOf(op.body.ops), "stage of");
  const args = [
    new Staged(m, packed, pipeline.operandStage).atStage(stage),
    new Staged(m, a, pipeline.operandStage).atStage(stage),
  ] as const;
  const product = new Staged(m, m.mul(args[0], args[1], undefined, `product${t}`), stage);
  // The product goes through its register as a whole, so that tools keep it in the block.
  const done = product.atStage(stage + 1);
  const { width, signed } = done.type as BitsType;
  const staged = (v: Value): Staged => new Staged(m, v, stage + 1);
  return [
    { value: staged(m.extract(done, 0, packing.shift, packing.borrows)), carry: undefined },
    {
      value: staged(m.extract(done, packing.shift, width - packing.shift, signed)),
      carry: packing.borrows ? staged(m.bit(done, packing.shift - 1)) : undefined,
    },
  ];
}
