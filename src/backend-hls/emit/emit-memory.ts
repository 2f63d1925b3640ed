/**
 * RTL of a banked memory channel (see memory-plan.ts). The data of a step leave one cycle after `take`, as a block RAM
 * gives them; banks of one word per sample are registers.
 */
import { elementAt, firstOf, lastOf } from "../../ir/present.js";
import type { Module, Op, Value } from "../../ir/core.js";
import { RtlModuleBuilder, u } from "../../ir/rtl/builder.js";
import { addressWidth } from "../../ir/rtl/semantics.js";
import type { BitsType } from "../../ir/types.js";
import { type Bank, bankDepth, type MemoryPlan } from "../channel/memory-plan.js";
import type { Channel } from "../design/network.js";
import type { Device } from "../device/devices.js";
import { ramStorage } from "../device/storage.js";
import { largest, LoopCounters, moduloCounter } from "./emit-counters.js";
import { balance, channelPorts, fallBetweenSteps } from "./emit-balance.js";

export function emitMemory(module: Module, name: string, channel: Channel, plan: MemoryPlan, device: Device): Op {
  const m = new RtlModuleBuilder(module, name, channelPorts(channel), {
    loc: channel.loc,
  });
  const [reserve, push, pushData, take] = [m.input("reserve"), m.input("push"), m.input("push_data"), m.input("take")];
  const slots = channel.capacity / plan.words;
  const steps = new LoopCounters(
    m,
    plan.table.loops.map((l) => ({ name: l.name, trips: l.trips })),
    take,
    "at_",
  );
  const sampleDone = m.and(take, steps.lastFrom(0), "sample_done");

  const needSteps = Int32Array.from(
    plan.need,
    (n, i) => (i + 1 < plan.need.length ? elementAt(plan.need, i + 1) : firstOf(plan.need) + plan.words) - n,
  );
  const lead = balance(
    m,
    { lo: -Math.max(firstOf(plan.need), largest(needSteps)), hi: channel.capacity },
    -firstOf(plan.need),
    push,
    fallBetweenSteps(needSteps, "need_step", (f, hint) => steps.byCarry(f, hint)),
    take,
    "lead",
  );
  const valid = lead.present("available");
  // Words that no step reads are released before they arrive, so the balance may go below zero.
  const occupied = balance(
    m,
    { lo: Math.min(0, lastOf(plan.need) - plan.words), hi: channel.capacity },
    0,
    reserve,
    { by: m.constant(plan.words), less: m.constant(plan.words - 1) },
    sampleDone,
    "occupied",
  );
  const space = occupied.below(channel.capacity, "space_left");

  const writes = new LoopCounters(m, [{ name: "word", trips: plan.words }], push, "write_");
  const writeSlot = moduloCounter(m, slots, m.and(push, writes.last(0)), "write_slot");
  const readSlot = moduloCounter(m, slots, sampleDone, "read_slot");
  const ports: BankPorts = {
    m,
    device,
    plan,
    elem: channel.elem.width,
    push,
    pushData,
    writes,
    writeSlot: writeSlot.value,
    readSlot: readSlot.value,
    slots,
    steps,
  };
  const banks = plan.banks.map((b, i) => emitBank(ports, b, i));

  // Lanes, one cycle after the step: what selects among banks, and what masks, is delayed along.
  const elem: BitsType = { kind: "bits", signed: channel.elem.signed, width: channel.elem.width };
  const { lanes, element, steps: count } = plan.table;
  const masks = new Map<string, Value>();
  const packed: Value[] = [];
  const padValue = m.constant(channel.pad, elem);
  for (let lane = 0; lane < lanes; lane++) {
    const source = new Float64Array(count);
    const inside = new Uint8Array(count);
    let fallback = -1;
    for (let s = 0; s < count; s++) {
      const i = s * lanes + lane;
      inside[s] = elementAt(element, i) >= 0 ? 1 : 0;
      source[s] =
        elementAt(plan.laneBank, i) < 0 ? -1 : elementAt(plan.laneBank, i) * 65536 + elementAt(plan.lanePlane, i);
      if (fallback < 0) fallback = elementAt(source, s);
    }
    if (fallback < 0) {
      packed.push(padValue);
      continue;
    }
    for (let s = 0; s < count; s++) if (elementAt(source, s) < 0) source[s] = fallback;
    const deps = steps.dependencies(source);
    const choices = steps
      .restrict(source, deps)
      .map((src) =>
        m.extract(elementAt(banks, Math.floor(src / 65536)), (src % 65536) * elem.width, elem.width, elem.signed),
      );
    let value =
      choices.length === 1
        ? firstOf(choices)
        : m.select(m.reg(steps.index(deps).value, { hint: "bank_select" }), choices, elem);
    if (inside.includes(0)) {
      const key = Buffer.from(inside).toString("latin1");
      let mask = masks.get(key);
      if (mask === undefined) masks.set(key, (mask = m.reg(steps.condition(inside, "inside"), { hint: "inside" })));
      value = m.mux(mask, value, padValue, elem);
    }
    packed.push(value);
  }
  return m.finish({ space, valid, data: m.concat(packed.reverse(), "lanes") });
}

interface BankPorts {
  readonly m: RtlModuleBuilder;
  readonly device: Device;
  readonly plan: MemoryPlan;
  readonly elem: number;
  readonly push: Value;
  readonly pushData: Value;
  readonly writes: LoopCounters;
  readonly writeSlot: Value;
  readonly readSlot: Value;
  readonly slots: number;
  readonly steps: LoopCounters;
}

/** One bank: what it holds of the present sample at the present step's address, one cycle later. */
function emitBank(p: BankPorts, bank: Bank, index: number): Value {
  const { m, slots } = p;
  const data = m.concat([...bank.planes].reverse().map((plane) => m.extract(p.pushData, plane * p.elem, p.elem)));
  if (bank.words.length === 1) {
    const mine =
      p.plan.words === 1 ? p.push : m.and(p.push, m.eq(p.writes.counter(0).value, m.constant(firstOf(bank.words))));
    const held = Array.from({ length: slots }, (_, k) =>
      m.reg(data, {
        enable: slots === 1 ? mine : m.and(mine, m.eq(p.writeSlot, m.constant(k))),
        hint: `bank_${index}_${k}`,
      }),
    );
    return m.reg(m.select(p.readSlot, held), { hint: `bank_${index}` });
  }
  const depthBits = addressWidth(bank.words.length);
  const positions = new Array<number>(p.plan.words).fill(NaN);
  bank.words.forEach((w, i) => (positions[w] = i));
  const takes = p.writes.running(
    positions.map((i) => (Number.isNaN(i) ? 0 : 1)),
    `bank_${index}_takes`,
  );
  const wen = m.and(p.push, takes);
  const position = p.writes.running(positions, `bank_${index}_position`);
  const read = p.steps.running(
    Float64Array.from(bank.address, (a) => (a < 0 ? NaN : a)),
    `bank_${index}_address`,
  );
  const within = (slot: Value, at: Value): Value => (slots === 1 ? at : m.concat([slot, m.cast(at, u(depthBits))]));
  const depth = bankDepth(bank.words.length, slots);
  return firstOf(
    m.memory({
      depth,
      word: u(bank.planes.length * p.elem),
      waddr: within(p.writeSlot, position),
      wdata: data,
      wen,
      raddr: [within(p.readSlot, read)],
      readLatency: 1,
      style: ramStorage(p.device, depth, bank.planes.length * p.elem, true).style,
      // A step waits until its words have been written, and words are written over only once they have been released.
      disjoint: true,
      hint: `bank_${index}`,
    }),
  );
}
