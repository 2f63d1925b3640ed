/**
 * Scalar functions on a stream: blocks of `fx` operations with the stages that the delays of a device give them. All
 * lanes of a beat, and all windows of a raster, have the same function; what overlapping windows have in common is
 * built once.
 */
import { Block, Builder, Module, type Op, type Value } from "../../ir/core.js";
import type { RtlModuleBuilder } from "../../ir/rtl/builder.js";
import type { FixedType } from "../../ir/types.js";
import { BodyBuilder } from "../../passes/lower/context.js";
import type { Device } from "../device/devices.js";
import { type BodyStages, emitScalarBody, SharedRegisters, Staged, wires } from "../emit/emit-body.js";
import { opIsMultiplier } from "../kernel/datapath.js";
import { type Slot, StageClock } from "../kernel/stage-clock.js";

export interface ScalarFunction {
  readonly block: Block;
  readonly stages: BodyStages;
  readonly result: FixedType;
  /** Cycles from registers with the arguments to a register with the result. */
  readonly latency: number;
}

/** What a function is built for. */
export interface Target {
  readonly device: Device;
  readonly clockMhz: number;
}

/** A function of arguments that come out of registers. */
export function scalarFunction(
  target: Target,
  args: readonly FixedType[],
  build: (b: BodyBuilder, args: readonly Value[]) => Value,
): ScalarFunction {
  const block = new Block();
  const values = args.map((t) => block.addArg(t));
  const result = build(new BodyBuilder(block), values);
  new Builder(block).create("fx.yield", [result], []);
  const { device, clockMhz } = target;
  const clock = new StageClock(device, clockMhz, 0);
  const { base } = device.timing;
  const slots = new Map<Value, Slot>(values.map((v) => [v, { stage: 0, ns: base }]));
  const stageOf = new Map<Op, number>();
  const splitRequantize = new Set<Op>();
  for (const op of block.ops) {
    if (op.name === "fx.yield") continue;
    if (op.name === "fx.constant") {
      slots.set(op.result, { stage: 0, ns: 0 });
      continue;
    }
    const inputs = op.operands.map((v) => slots.get(v)!);
    let slot: Slot;
    let stage: number;
    if (op.name === "fx.requantize") {
      const { slot: at, rounded } = clock.requantize(op, inputs[0]!);
      if (rounded !== undefined) splitRequantize.add(op);
      [slot, stage] = [at, rounded ?? at.stage];
    } else if (op.name === "fx.mul" && opIsMultiplier(op)) {
      // Between registers of its own, which tools fold into the block.
      stage = Math.max(...inputs.map((s) => s.stage + (s.ns <= base ? 0 : 1)));
      slot = { stage, ns: clock.period };
    } else {
      slot = clock.operation(op, inputs);
      stage = slot.stage;
    }
    stageOf.set(op, stage);
    slots.set(op.result, slot);
  }
  return {
    block,
    stages: { stageOf, splitRequantize, cellOf: new Map(), constantProducts: new Map(), styleOf: new Map() },
    result: result.type as FixedType,
    latency: slots.get(result)!.stage + 1,
  };
}

/** Builds scalar functions in a module; the result is in a register, `latency` cycles behind the arguments. */
export class ScalarEmitter {
  private readonly registers: SharedRegisters;
  private readonly program = new Module("scalar");

  constructor(private readonly m: RtlModuleBuilder) {
    this.registers = new SharedRegisters(m);
  }

  emit(f: ScalarFunction, args: readonly Value[], hint: string): Value {
    const staged = args.map((v) => new Staged(this.m, v, 0, false, this.registers));
    const y = emitScalarBody(this.program, this.m, f.block, staged, f.stages, hint);
    const last = this.m.cast(y.atStage(f.latency - 1), wires(f.result));
    return this.registers.after(last, `${hint}_y`);
  }
}
