/**
 * From the network's results to records, in the order in which their patches were begun; the end of a frame is a record
 * of its own behind its peaks. The layout is `sensor/records.ts`.
 */
import type { Module, Op, Value } from "../../ir/core.js";
import { RtlModuleBuilder, u } from "../../ir/rtl/builder.js";
import { addressWidth, bitLengthOf } from "../../ir/rtl/semantics.js";
import { fixed, ufixed } from "../../ir/types.js";
import { POSITION_BITS, POSITION_FRAC } from "../../sensor/patch.js";
import { type Field, FRAME_FIELDS, KIND_BIT, PEAK_FIELDS, PEAK_FLAGS, RECORD_BITS } from "../../sensor/records.js";
import type { Sensor } from "../../sensor/sensor.js";
import { moduloCounter } from "../emit/emit-counters.js";
import type { AxisPort } from "../emit/flow-to-rtl.js";
import { portType, recordFields } from "./feed.js";
import { bitsOfFields, FRAME_END_FIELDS } from "./fetch.js";
import { unpackFields } from "./finder.js";
import { QUEUE_LATENCY, queue, upDown } from "./queue.js";
import { ScalarEmitter, type ScalarFunction, scalarFunction, type Target } from "./scalar.js";

export interface RecordPlan {
  /** Results that may be on their way through the network, with ends of frames among them. */
  readonly tags: number;
  readonly position: ScalarFunction;
  readonly credits: number;
}

/** @param inFlight samples that the network holds at most */
export function planRecords(sensor: Sensor, output: AxisPort, inFlight: number, target: Target): RecordPlan {
  const type = portType(output);
  const edge = sensor.output.unit === "patch" ? sensor.patch : 1;
  const position = scalarFunction(target, [type, ufixed(13, 0)], (b, [y, origin]) => {
    const scaled = edge === 1 ? y! : b.mul(y!, b.constant(edge, ufixed(addressWidth(edge + 1), 0)));
    const { width } = scaled.type as { width: number };
    const within = b.requantize(
      scaled,
      fixed(width + 2 + Math.max(0, POSITION_FRAC - type.frac), POSITION_FRAC),
      "half-up",
      "saturate",
    );
    return b.requantize(b.add(origin!, within), fixed(POSITION_BITS, POSITION_FRAC), "floor", "saturate");
  });
  return {
    tags: 2 ** Math.ceil(Math.log2(inFlight + 8)),
    position,
    credits: 2 ** Math.ceil(Math.log2(position.latency + QUEUE_LATENCY + 4)),
  };
}

/** Emits the records. Inputs: `tag_push`, `tag`, the network's `tvalid`, `tdata`, and `record_tready`. */
export function emitRecords(
  module: Module,
  name: string,
  sensor: Sensor,
  plan: RecordPlan,
  output: AxisPort,
  target: Target,
): Op {
  const fields = recordFields(sensor);
  const tagBits = Math.max(bitsOfFields(fields), bitsOfFields(FRAME_END_FIELDS));
  const m = new RtlModuleBuilder(module, name, [
    { name: "tag_push", type: u(1) },
    { name: "tag", type: u(tagBits) },
    { name: "tvalid", type: u(1) },
    { name: "tdata", type: u(output.dataBits) },
    { name: "record_tready", type: u(1) },
  ]);
  // The network's answer.
  const full = m.regDeclare(u(1), { reset: 0, hint: "answer_there" });
  const issueLater = m.forward(u(1), "issue");
  const usedLater = m.forward(u(1), "answer_used");
  const ready = m.or(m.not(full), usedLater, "tready");
  const take = m.and(m.input("tvalid"), ready, "take");
  const beat = moduloCounter(m, output.beats, take, "beat");
  const done = m.and(take, beat.last);
  const elements = m.split(
    m.input("tdata"),
    { kind: "bits", signed: output.signed, width: output.width },
    output.elementsPerBeat,
  );
  const answer = (index: number, hint: string): Value => {
    const at = Math.floor(index / output.elementsPerBeat);
    const mine = output.beats === 1 ? take : m.and(take, m.eq(beat.value, m.constant(at)));
    return m.reg(elements[index % output.elementsPerBeat]!, { enable: mine, hint });
  };
  const answers = { row: answer(sensor.output.row, "row"), column: answer(sensor.output.column, "column") };

  // What it belongs to.
  const tagQueue = queue(m, target.device, plan.tags, m.input("tag_push"), m.input("tag"), issueLater, "tags");
  const tagCount = upDown(m, plan.tags, m.input("tag_push"), issueLater, "tag_count");
  const isEnd = m.bit(tagQueue.head, 0, "is_end");
  const takenLater = m.forward(u(1), "taken");
  const onTheWay = upDown(m, plan.credits, issueLater, takenLater, "on_the_way");
  const credit = m.lt(onTheWay, m.constant(plan.credits, u(bitLengthOf(BigInt(plan.credits)))));
  const issue = m.all([tagQueue.valid, m.or(isEnd, full), credit], "issue_record");
  m.resolve(issueLater, issue);
  const used = m.and(issue, m.not(isEnd), "answer_used");
  m.resolve(usedLater, used);
  m.connect(full, m.or(done, m.and(full, m.not(used))));

  const peak = unpackFields(m, fields, tagQueue.head);
  const frame = unpackFields(m, FRAME_END_FIELDS, tagQueue.head);
  const scalar = new ScalarEmitter(m);
  const positionOf = (y: Value, last: Value, hint: string): Value =>
    scalar.emit(plan.position, [y, m.sub(last, m.constant(sensor.patch - 1), u(13))], hint);
  const wait = (v: Value): Value => m.delay(v, plan.position.latency);
  const clips = sensor.pixelBits === 32 || sensor.flat !== undefined;
  const clipped = clips ? m.eq(peak["most"]!, m.constant(65535)) : m.constant(0, u(1));
  const peakWord = record(m, PEAK_FIELDS, {
    flags: m.shl(m.cast(wait(clipped), u(8)), PEAK_FLAGS.clipped, u(8)),
    frame: wait(peak["frame"]!),
    row: positionOf(answers.row, peak["row"]!, "row_position"),
    pixels: wait(peak["pixels"]!),
    column: positionOf(answers.column, peak["column"]!, "column_position"),
    maximum: wait(peak["most"]!),
    sum: wait(peak["sum"]!),
  });
  const frameWord = record(m, FRAME_FIELDS, {
    flags: wait(m.or(frame["flags"]!, m.constant(2 ** KIND_BIT, u(8)))),
    frame: wait(frame["frame"]!),
    found: wait(frame["found"]!),
    sent: wait(frame["sent"]!),
    dropped: wait(m.sub(frame["found"]!, frame["sent"]!, u(32))),
  });
  const push = m.delay(issue, plan.position.latency, { reset: 0, hint: "push" });
  const word = m.mux(wait(isEnd), frameWord, peakWord, u(RECORD_BITS), "record");
  const pop = m.forward(u(1), "pop");
  const out = queue(m, target.device, plan.credits, push, word, pop, "records");
  const taken = m.and(out.valid, m.input("record_tready"), "record_take");
  m.resolve(pop, taken);
  m.resolve(takenLater, taken);
  return m.finish({
    tag_room: m.lt(tagCount, m.constant(plan.tags, u(bitLengthOf(BigInt(plan.tags))))),
    tready: ready,
    record_tvalid: out.valid,
    record_tdata: out.head,
    record_tlast: m.bit(out.head, KIND_BIT),
  });
}

/** Fields at their places; what no field covers is zero. */
function record(m: RtlModuleBuilder, fields: readonly Field[], values: Readonly<Record<string, Value>>): Value {
  const parts: Value[] = [];
  let at = 0;
  for (const f of [...fields].sort((a, b) => a.lo - b.lo)) {
    if (f.lo > at) parts.push(m.constant(0, u(f.lo - at)));
    parts.push(
      m.extract(m.cast(values[f.name]!, { kind: "bits", signed: f.signed === true, width: f.bits }), 0, f.bits),
    );
    at = f.lo + f.bits;
  }
  if (at < RECORD_BITS) parts.push(m.constant(0, u(RECORD_BITS - at)));
  return m.concat(parts.reverse());
}
