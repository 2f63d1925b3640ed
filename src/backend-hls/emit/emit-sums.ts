/** Sums and extremes over the terms of an output: the tree over lanes, the accumulator over steps, carries on the way. */
import { elementAt, firstOf, present } from "../../ir/present.js";
import type { Value } from "../../ir/core.js";
import type { KernelSpec } from "../../ir/flow/kernel.js";
import { type RtlModuleBuilder, u } from "../../ir/rtl/builder.js";
import type { BitsType, FixedType } from "../../ir/types.js";
import { sumType } from "../kernel/datapath.js";
import type { Pipeline } from "../kernel/pipeline.js";
import { Staged, wires } from "./emit-body.js";

/** A sum under way: its value, and a carry of weight one that the next addition takes up. */
export interface PartialSum {
  readonly value: Staged;
  readonly carry: Staged | undefined;
}

/** a + b + carry in one carry chain: the carry enters below the lowest bit. */
function addWithCarry(m: RtlModuleBuilder, a: Value, b: Value, carry: Value | undefined, type: BitsType): Value {
  if (carry === undefined) return m.add(a, b, type);
  const extended = (v: Value, low: Value): Value => {
    const t = v.type as BitsType;
    return m.extract(m.concat([v, low]), 0, t.width + 1, t.signed);
  };
  return m.shr(m.add(extended(a, m.constant(1, u(1))), extended(b, carry)), 1, type);
}

/** Balanced tree over the terms: sums of exact widths, or extremes. Every addition takes up one carry. */
export function reduceTree(
  m: RtlModuleBuilder,
  spec: KernelSpec,
  pipeline: Pipeline,
  terms: readonly PartialSum[],
  termType: FixedType,
): PartialSum {
  let level = [...terms];
  let covered = 1;
  for (const stage of pipeline.treeStages) {
    covered *= 2;
    const type = wires(spec.combiner === "add" ? sumType(termType, covered, spec.accType) : spec.accType);
    const next: PartialSum[] = [];
    for (let i = 0; i < level.length; i += 2) {
      const [p, q] = [elementAt(level, i), level[i + 1]];
      if (q === undefined) {
        next.push(p);
        continue;
      }
      const [x, y] = [p.value.atStage(stage), q.value.atStage(stage)];
      if (spec.combiner === "add")
        next.push({
          value: new Staged(m, addWithCarry(m, x, y, p.carry?.atStage(stage), type), stage),
          carry: q.carry,
        });
      else
        next.push({
          value: new Staged(m, spec.combiner === "max" ? m.max(x, y, type) : m.min(x, y, type), stage),
          carry: undefined,
        });
    }
    level = next;
  }
  return firstOf(level);
}

/** The folded value of a kernel without accumulator: takes up the last carry. */
export function settle(m: RtlModuleBuilder, spec: KernelSpec, pipeline: Pipeline, sum: PartialSum): Staged {
  if (sum.carry === undefined) return sum.value;
  const stage = present(pipeline.carryStage, "carry stage");
  return new Staged(m, m.add(sum.value.atStage(stage), sum.carry.atStage(stage), wires(spec.accType)), stage);
}

/** Running fold over sequential reduction loops: a register, or one word per parallel loop point that runs inside. */
export function accumulate(
  m: RtlModuleBuilder,
  spec: KernelSpec,
  pipeline: Pipeline,
  term: PartialSum,
  accumulators: number,
): Staged {
  const stage = present(pipeline.accStage, "acc stage");
  const type = wires(spec.accType);
  const x = m.cast(term.value.atStage(stage), type);
  const [first, enable] = [m.input("first"), m.input("accumulate")];
  const fold = (held: Value): Value => {
    if (spec.combiner === "add")
      return addWithCarry(m, m.mux(first, m.constant(0, type), held, type), x, term.carry?.atStage(stage), type);
    return m.mux(first, x, spec.combiner === "max" ? m.max(held, x, type) : m.min(held, x, type), type, "folded");
  };
  if (accumulators === 1) {
    const acc = m.regDeclare(type, { hint: "accumulator" });
    m.connect(acc, fold(acc), enable);
    return new Staged(m, acc, stage + 1);
  }
  const slot = m.input("slot");
  const next = m.forward(type, "folded");
  const held = firstOf(
    m.memory({
      depth: accumulators,
      word: type,
      waddr: slot,
      wdata: next,
      wen: enable,
      raddr: [slot],
      readLatency: 0,
      style: "distributed",
      hint: "accumulators",
    }),
  );
  const value = fold(held);
  m.resolve(next, value);
  return new Staged(m, m.reg(value, { hint: "accumulated" }), stage + 1);
}
