/**
 * Where a kernel has its operands from: registers behind its channels, weights in the order of use, pairs of numbers for
 * packed products.
 */
import { elementAt, firstOf, lookUp, present } from "../../ir/present.js";
import { Dense, allocate } from "../../ir/attributes.js";
import type { Value } from "../../ir/core.js";
import { type RtlModuleBuilder, s, u } from "../../ir/rtl/builder.js";
import type { FixedType } from "../../ir/types.js";
import type { PlannedKernel } from "../design/design.js";
import type { Device } from "../device/devices.js";
import { romStorage } from "../device/storage.js";
import { isConstantOperand, isFixedOperand, weightTable, type WeightTable, weightWords } from "../kernel/datapath.js";
import type { Packing } from "../kernel/packing.js";
import type { Unit } from "../kernel/products.js";
import type { LoopCounters } from "./emit-counters.js";

/** Where the elements of one operand come from, lane by lane. */
export interface OperandLanes {
  /** The given lanes, first lowest, at the stage of the operands (body) or of the folded value (epilogue). */
  readonly lanes: (numbers: readonly number[]) => Value;
  /** The given pairs of lanes for packed products. */
  readonly pair: ((pairs: readonly (readonly [number, number])[]) => Value) | undefined;
}

/**
 * Brings an operand to its stage: channels through a register, changing weights from a memory, fixed ones as numbers.
 */
export function operandLanes(
  m: RtlModuleBuilder,
  device: Device,
  node: PlannedKernel,
  i: number,
  counters: LoopCounters,
): OperandLanes {
  const { spec, pipeline, products } = node;
  const operand = elementAt(spec.operands, i);
  const pairs =
    products.products.kind === "packed" && products.products.packed === i ? new PairedLanes(node) : undefined;
  const target = operand.phase === "body" ? pipeline.operandStage : pipeline.folded.stage;
  if (isConstantOperand(spec, i)) {
    const table = weightTable(spec, i);
    if (isFixedOperand(spec, i)) return { ...numbersOf(m, table), pair: undefined };
    const positions = table.loops.map((l) => counters.loops.findIndex((c) => c.name === l.name));
    const address = m.delay(counters.index(positions).value, target - 1, { hint: `weights${i}_address` });
    const rom = (values: Dense, hint: string): Value =>
      m.rom(address, values, { readLatency: 1, style: romStorage(device, values, true).style, hint });
    const width = table.elem.width;
    let single: Value | undefined;
    let paired: Value | undefined;
    return {
      lanes: (numbers) => gather(m, (single ??= rom(weightWords(table), `weights${i}`)), numbers, width),
      pair:
        pairs &&
        ((list) =>
          gather(
            m,
            (paired ??= rom(pairs.words(table), `weight_pairs${i}`)),
            list.map((p) => pairs.position(p)),
            pairs.width,
          )),
    };
  }
  const k = node.inputs.findIndex((c) => c.operand === i);
  const channel = elementAt(node.inputs, k);
  const data = m.input(`in${k}_data`);
  // A memory's data come a cycle after the step; a stream's come with it and are registered here, unless they come
  // straight from another kernel or from a port.
  const first = channel.direct ? 0 : 1;
  const atFirst = channel.direct || channel.plan.kind === "memory" ? data : m.reg(data, { hint: `in${k}_q` });
  const { width } = channel.elem;
  let packed: Value | undefined;
  let whole: Value | undefined;
  return {
    lanes: (numbers) => gather(m, (whole ??= m.delay(atFirst, target - first)), numbers, width),
    pair:
      pairs &&
      ((list) =>
        gather(
          m,
          (packed ??= pairs.join(m, atFirst, channel.elem, target)),
          list.map((p) => pairs.position(p)),
          pairs.width,
        )),
  };
}

/** Weights that never change, outside of adder graphs: numbers at the ports of the units. */
function numbersOf(m: RtlModuleBuilder, table: WeightTable): Pick<OperandLanes, "lanes"> {
  const { width } = table.elem;
  return {
    lanes: (numbers) =>
      m.concat(
        numbers
          .map((n) => m.constant(BigInt.asUintN(width, BigInt(elementAt(firstOf(table.rows), n))), u(width)))
          .reverse(),
      ),
  };
}

/**
 * The pairs of lanes that are multiplied in one block. A pair is stored as the upper number, less one where the lower
 * is negative, above the lower number: what `b1 * 2^s + b2` needs apart from the sign extension of b2.
 */
class PairedLanes {
  private readonly pairs: (readonly [number, number])[] = [];
  private readonly positions = new Map<string, number>();
  private readonly elem: FixedType;
  /** Bits of a pair, and of its upper number. */
  readonly width: number;
  private readonly upper: number;

  constructor(node: PlannedKernel) {
    const { products, units } = node.products;
    if (products.kind !== "packed") throw new Error("not packed");
    for (const unit of units) {
      if (unit.outputs.length < 2) continue;
      for (const pair of unitPairs(unit, products)) {
        if (this.positions.has(pair.join())) continue;
        this.positions.set(pair.join(), this.pairs.length);
        this.pairs.push(pair);
      }
    }
    this.elem = (elementAt(node.spec.operands, products.packed).value.type as { elem: FixedType }).elem;
    this.upper = upperBits(this.elem);
    this.width = this.upper + this.elem.width;
  }
  position(pair: readonly [number, number]): number {
    return lookUp(this.positions, pair.join(), "positions");
  }
  words(table: WeightTable): Dense {
    const elem: FixedType = { kind: "fixed", signed: this.elem.signed, width: this.width, frac: 0 };
    const data = allocate(elem, table.rows.length * this.pairs.length);
    const below = 2 ** this.elem.width;
    table.rows.forEach((row, r) =>
      this.pairs.forEach(([low, high], p) => {
        const b = elementAt(row, low);
        data[r * this.pairs.length + p] = (elementAt(row, high) - (b < 0 ? 1 : 0)) * below + (b < 0 ? b + below : b);
      }),
    );
    return new Dense([table.rows.length, this.pairs.length], elem, data);
  }
  /** Pairs of channel data of stage 1, at stage `target`. */
  join(m: RtlModuleBuilder, data: Value, elem: FixedType, target: number): Value {
    const lane = (n: number): Value => m.extract(data, n * elem.width, elem.width, elem.signed);
    const words = this.pairs.map(([low, high]) => {
      const b = lane(low);
      const top = elem.signed ? m.sub(lane(high), m.bit(b, elem.width - 1), s(this.upper)) : lane(high);
      return m.concat([top, b]);
    });
    return m.delay(m.concat(words.reverse()), target - 1, { hint: "pairs" });
  }
}

export function upperBits(elem: FixedType): number {
  return elem.width + (elem.signed ? 1 : 0);
}

/** Lanes of the packed operand that the two outputs of a unit multiply, lower first, term by term. */
export function unitPairs(unit: Unit, packing: Packing): (readonly [number, number])[] {
  const reads = elementAt(unit.reads, packing.packed);
  const [low, high] = elementAt(unit.index, packing.packed);
  return present(low, "low").map(
    (n, t) => [elementAt(reads, n), elementAt(reads, elementAt(present(high, "high"), t))] as const,
  );
}

/** Lanes `numbers` of a bundle, first lowest; runs of neighbours are taken in one piece. */
function gather(m: RtlModuleBuilder, packed: Value, numbers: readonly number[], width: number): Value {
  const pieces: Value[] = [];
  for (let i = 0; i < numbers.length; ) {
    let n = 1;
    while (i + n < numbers.length && numbers[i + n] === elementAt(numbers, i) + n) n++;
    pieces.push(m.extract(packed, elementAt(numbers, i) * width, n * width));
    i += n;
  }
  return m.concat(pieces.reverse());
}
