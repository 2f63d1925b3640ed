/**
 * RTL of a kernel: the step control, the operand registers, the weights in order of use, and one lane per output that
 * is computed side by side. Lanes that do the same are one module.
 *
 * Ports: per input channel `<c>_valid` and `<c>_data` in; per channel that must have room `<c>_space` in; out `fire`
 * (body operands are taken), `emit` (epilogue operands are taken, results are reserved), `push` and `result`.
 */
import { present } from "../../ir/present.js";
import type { Module, Op, Value } from "../../ir/core.js";
import { loopNest } from "../../ir/flow/kernel.js";
import { RtlModuleBuilder, u, type Port } from "../../ir/rtl/builder.js";
import type { PlannedKernel } from "../design/design.js";
import { type Channel, endBuffersOf, inLockstep } from "../design/network.js";
import type { Device } from "../device/devices.js";
import { accumulatorLoops } from "../kernel/datapath.js";
import { Staged } from "./emit-body.js";
import { LoopCounters } from "./emit-counters.js";
import { operandLanes } from "./emit-operands.js";
import { emitUnit, resultName, unitInputs } from "./emit-unit.js";

/**
 * Channels that must have room before a kernel fires; where it is in lockstep, the first kernel of the chain has seen
 * to that.
 */
export function waitsFor(node: PlannedKernel): readonly Channel[] {
  return inLockstep(node) ? [] : endBuffersOf(node).map((s) => s.channel);
}

export function emitKernel(module: Module, name: string, node: PlannedKernel, device: Device): Op {
  const { spec, pipeline } = node;
  const ports: Port[] = [
    ...node.inputs.flatMap((c, i) => [
      { name: `in${i}_valid`, type: u(1) },
      { name: `in${i}_data`, type: u(c.plan.table.lanes * c.elem.width) },
    ]),
    ...waitsFor(node).map((_, i) => ({ name: `out${i}_space`, type: u(1) })),
  ];
  // Lane modules come before the kernel that instantiates them, so they are built on the side.
  const m = new RtlModuleBuilder(module, name, ports, { loc: node.op.loc });
  const nest = loopNest(spec);
  const fire = m.forward(u(1), "fire");
  const counters = new LoopCounters(
    m,
    nest.map((l) => ({ name: l.name, trips: l.trips })),
    fire,
    "step_",
  );
  const emits = m.all(
    nest.flatMap((l, d) => (l.kind === "reduction" ? [counters.last(d)] : [])),
    "emits",
  );
  const ready = (phase: "body" | "epilogue"): Value =>
    m.all(node.inputs.flatMap((c, i) => (c.phase === phase ? [m.input(`in${i}_valid`)] : [])));
  const room = m.all(waitsFor(node).map((_, i) => m.input(`out${i}_space`)));
  const canEmit = m.and(ready("epilogue"), room);
  const fired = m.and(ready("body"), m.or(m.not(emits), canEmit), "fire");
  m.resolve(fire, fired);
  const emit = m.and(fired, emits, "emit");
  const push = m.delay(emit, pipeline.depth, { reset: 0, hint: "push" });

  const operands = spec.operands.map((_, i) => operandLanes(m, device, node, i, counters));
  const { reductions, inner } = accumulatorLoops(spec);
  const control = new Map<string, Staged>();
  if (reductions.length > 0) {
    const accStage = present(pipeline.accStage, "acc stage");
    const firstOf = nest.flatMap((l, d) =>
      l.kind === "reduction" ? [m.eq(counters.index([d]).value, m.constant(0))] : [],
    );
    control.set("first", new Staged(m, m.delay(m.all(firstOf, "first"), accStage, { hint: "first" }), accStage));
    control.set("accumulate", new Staged(m, m.delay(fired, accStage, { reset: 0, hint: "accumulate" }), accStage));
    if (inner.length > 0) {
      const index = counters.index(
        inner.map((l) =>
          nest.indexOf(
            present(
              nest.find((n) => n.index === l.index),
              "find",
            ),
          ),
        ),
      );
      control.set("slot", new Staged(m, m.delay(index.value, accStage, { hint: "slot" }), accStage));
    }
  }
  const shared = new Map<string, Op>();
  const results: Value[] = [];
  node.products.units.forEach((unit, n) => {
    const inputs = unitInputs(node, operands, unit);
    let unitModule = shared.get(unit.key);
    if (unitModule === undefined) {
      const accumulators = inner.reduce((k, l) => k * l.trips, 1);
      unitModule = emitUnit(
        module,
        device,
        shared.size === 0 ? `${name}_lane` : `${name}_lane_${n}`,
        node,
        unit,
        inputs,
        accumulators,
      );
      shared.set(unit.key, unitModule);
    }
    const values: Record<string, Value> = { ...inputs };
    for (const [k, v] of control) values[k] = v.value;
    const out = m.instance(unitModule, `lane_${n}`, values);
    unit.outputs.forEach((o, k) => (results[o] = present(out[resultName(unit, k)], "result")));
  });
  return m.finish({
    fire: fired,
    emit,
    push,
    result: m.concat(results.map((r) => m.cast(r, u(spec.resultElem.width))).reverse()),
  });
}
