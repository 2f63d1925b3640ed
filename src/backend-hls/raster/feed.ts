/**
 * From patches to the network: pixels in its port's order, normalised, and behind them a queue that the network takes
 * from. Nothing in the pipeline waits: a beat begins only where the queue has room for it. What goes along with a patch
 * is handed on when the patch begins.
 */
import type { Module, Op, Value } from "../../ir/core.js";
import { RtlModuleBuilder, u } from "../../ir/rtl/builder.js";
import { addressWidth, bitLengthOf } from "../../ir/rtl/semantics.js";
import { fixed, type FixedType, ufixed } from "../../ir/types.js";
import { type Sensor, valueBits } from "../../sensor/sensor.js";
import { usablePeriod } from "../device/devices.js";
import { chooseDelay } from "../device/operators.js";
import { emitRequantize } from "../emit/emit-body.js";
import type { AxisPort } from "../emit/flow-to-rtl.js";
import { bitsOfFields, factFields, FRAME_END_FIELDS } from "./fetch.js";
import { packFields, unpackFields } from "./finder.js";
import { QUEUE_LATENCY, queue, upDown } from "./queue.js";
import type { Target } from "./scalar.js";

export interface FeedPlan {
  /** Pixels of a beat; a divisor of the patch's edge. */
  readonly lanes: number;
  readonly type: FixedType;
  /** Quotient bits that a stage makes, and stages; 0 stages where nothing is divided. */
  readonly bitsPerStage: number;
  readonly stages: number;
  /** Cycles from the cycle that begins a beat to its push into the queue. */
  readonly latency: number;
  /** Beats that may be on their way or in the queue. */
  readonly credits: number;
}

/** Type of the elements of a port. */
export function portType(p: AxisPort): FixedType {
  return fixed(p.width, p.frac, p.signed);
}

export function planFeed(sensor: Sensor, input: AxisPort, { device, clockMhz }: Target): FeedPlan {
  const type = portType(input);
  const bits = valueBits(sensor);
  const divides = sensor.normalisation === "min-max";
  // An integer bit, the fraction, and one to round by.
  const quotient = divides ? type.frac + 2 : 0;
  const step = chooseDelay(device, bits + 1) + device.timing.lut;
  const bitsPerStage = Math.max(1, Math.floor((usablePeriod(clockMhz) - device.timing.base) / step));
  const stages = Math.ceil(quotient / bitsPerStage);
  // Difference to the least, division, rounding.
  const latency = (divides ? 1 + stages : 0) + 1;
  return {
    lanes: input.elementsPerBeat,
    type,
    bitsPerStage,
    stages,
    latency,
    credits: 2 ** Math.ceil(Math.log2(latency + QUEUE_LATENCY + 4)),
  };
}

/** What is known of a patch when its result comes. */
export function recordFields(sensor: Sensor): Readonly<Record<string, number>> {
  return { end: 1, frame: 24, row: 13, column: 13, most: valueBits(sensor), sum: 24, pixels: 8 };
}

/** Emits the feed. Outputs `along_pop`, `facts_pop`, `row_pop`, `patch_done` to the fetch; `tag_push` and `tag`; `tvalid`, `tdata`. */
export function emitFeed(module: Module, name: string, sensor: Sensor, plan: FeedPlan, target: Target): Op {
  const { patch } = sensor;
  const bits = valueBits(sensor);
  const facts = factFields(sensor);
  const alongBits = bitsOfFields(FRAME_END_FIELDS);
  const tags = recordFields(sensor);
  const tagBits = Math.max(bitsOfFields(tags), alongBits);
  const m = new RtlModuleBuilder(module, name, [
    { name: "along_valid", type: u(1) },
    { name: "along", type: u(alongBits) },
    { name: "facts_valid", type: u(1) },
    { name: "facts", type: u(bitsOfFields(facts)) },
    { name: "patch_row", type: u(patch * bits) },
    { name: "tag_room", type: u(1) },
    { name: "tready", type: u(1) },
  ]);
  const one = m.constant(1, u(1));
  const along = m.input("along");
  const isEnd = m.bit(along, 0, "is_end");
  const ready = m.and(m.input("along_valid"), m.input("tag_room"));
  const sending = m.regDeclare(u(1), { reset: 0, hint: "sending" });
  const last = m.forward(u(1), "last_beat");
  const start = m.all([ready, m.not(isEnd), m.input("facts_valid"), m.or(m.not(sending), last)], "start");
  const takeEnd = m.and(ready, isEnd, "take_end");
  const groups = patch / plan.lanes;
  const used = m.forward(u(1), "taken");
  const issueLater = m.forward(u(1), "issue");
  const count = upDown(m, plan.credits, issueLater, used, "on_the_way");
  const credit = m.lt(count, m.constant(plan.credits, u(bitLengthOf(BigInt(plan.credits)))), "credit");
  const issue = m.and(sending, credit, "issue");
  m.resolve(issueLater, issue);
  const rowType = u(addressWidth(patch));
  const rowsLeft = m.regDeclare(rowType, { hint: "rows_left" });
  const groupType = u(addressWidth(groups));
  const groupsLeft = groups === 1 ? undefined : m.regDeclare(groupType, { hint: "groups_left" });
  const rowEnds = groupsLeft === undefined ? one : m.eq(groupsLeft, m.constant(0), "row_ends");
  const noRows = m.eq(rowsLeft, m.constant(0));
  const lastNow = m.all([issue, rowEnds, noRows], "last_now");
  m.resolve(last, lastNow);
  m.connect(sending, m.or(start, m.and(sending, m.not(lastNow))));
  const nextRow = m.all([issue, rowEnds, m.not(noRows)], "next_row");
  const load = m.or(start, nextRow, "load");
  const row = m.regDeclare(u(patch * bits), { hint: "row" });
  m.connect(row, m.mux(load, m.input("patch_row"), m.shr(row, plan.lanes * bits, u(patch * bits))), m.or(load, issue));
  m.connect(
    rowsLeft,
    m.mux(start, m.constant(patch - 1), m.sub(rowsLeft, one, rowType), rowType),
    m.or(start, nextRow),
  );
  if (groupsLeft !== undefined)
    m.connect(
      groupsLeft,
      m.mux(load, m.constant(groups - 1), m.sub(groupsLeft, one, groupType), groupType),
      m.or(load, issue),
    );

  // Normalisation.
  const f = unpackFields(m, facts, m.input("facts"));
  const pixels = m.split(m.extract(row, 0, plan.lanes * bits), u(bits), plan.lanes);
  const raw = ufixed(bits, 0);
  let results: Value[];
  if (plan.stages === 0) {
    results = pixels.map((p) => m.reg(emitRequantize(m, p, raw, plan.type, "half-up", "saturate", "pixel")));
  } else {
    const least = m.reg(f["least"]!, { enable: start, hint: "least" });
    const range = m.sub(f["most"]!, f["least"]!, u(bits));
    const divisor = m.reg(m.mux(m.eq(range, m.constant(0)), m.constant(1, u(bits)), range, u(bits)), {
      enable: start,
      hint: "range",
    });
    results = divide(
      m,
      pixels.map((p) => m.reg(m.sub(p, least, u(bits)), { hint: "above" })),
      m.reg(divisor),
      plan,
    );
  }
  const push = m.delay(issue, plan.latency, { reset: 0, hint: "push" });
  const pop = m.forward(u(1), "pop");
  const out = queue(m, target.device, plan.credits, push, m.concat([...results].reverse()), pop, "beats");
  const taken = m.and(out.valid, m.input("tready"), "take");
  m.resolve(pop, taken);
  m.resolve(used, taken);
  const tag = m.mux(
    isEnd,
    m.cast(along, u(tagBits)),
    m.cast(
      m.concat([
        packFields(m, { most: facts["most"]!, sum: 24, pixels: 8 }, f),
        m.extract(along, 0, tags["end"]! + tags["frame"]! + tags["row"]! + tags["column"]!),
      ]),
      u(tagBits),
    ),
  );
  const begins = m.or(start, takeEnd);
  return m.finish({
    along_pop: begins,
    facts_pop: start,
    row_pop: load,
    patch_done: lastNow,
    tag_push: begins,
    tag,
    tvalid: out.valid,
    tdata: out.head,
  });
}

/**
 * Quotients of numbers not above the divisor, rounded half up: bit by bit, the integer bit first, several to a stage.
 */
function divide(m: RtlModuleBuilder, numbers: readonly Value[], by: Value, plan: FeedPlan): Value[] {
  const { frac } = plan.type;
  const total = frac + 2;
  const width = (by.type as { width: number }).width;
  let divisor = by;
  let rest = numbers.map((n) => m.cast(n, u(width + 1)));
  const bits: Value[][] = numbers.map(() => []);
  for (let done = 0; done < total; ) {
    const here = Math.min(plan.bitsPerStage, total - done);
    for (let k = 0; k < here; k++) {
      rest = rest.map((r, lane) => {
        const difference = m.sub(r, divisor);
        const negative = m.bit(difference, (difference.type as { width: number }).width - 1);
        bits[lane]!.push(m.not(negative));
        return m.shl(m.mux(negative, r, difference, u(width + 1)), 1, u(width + 1));
      });
    }
    done += here;
    rest = rest.map((r) => m.reg(r, { hint: "rest" }));
    bits.forEach((b) => {
      const word = m.reg(m.concat(b), { hint: "quotient" });
      b.length = 0;
      b.push(word);
    });
    divisor = m.reg(divisor, { hint: "divisor" });
  }
  return bits.map(([q]) =>
    m.reg(emitRequantize(m, q!, ufixed(total, frac + 1), plan.type, "half-up", "saturate", "pixel"), { hint: "pixel" }),
  );
}
