/**
 * A detector as hardware: the front end with the network behind it. The front end is a module of its own, `shell`, with
 * the network's ports on its outside; the top joins both.
 */
import { CompilerBug, UserError } from "../../diagnostics/index.js";
import type { Module, Op, Value } from "../../ir/core.js";
import { RtlModuleBuilder, u, type Port } from "../../ir/rtl/builder.js";
import { bitsOf } from "../../ir/rtl/index.js";
import type { Planes } from "../../sensor/correct.js";
import { RECORD_BITS } from "../../sensor/records.js";
import { checkNetwork } from "../../sensor/locate.js";
import type { Sensor } from "../../sensor/sensor.js";
import type { AxisPort, RtlDesign } from "../emit/flow-to-rtl.js";
import { emitFeed, type FeedPlan, planFeed } from "./feed.js";
import { emitFetch } from "./fetch.js";
import { emitFinder } from "./finder.js";
import { emitPixelPort } from "./pixel-port.js";
import { type FrontEndPlan, planFrontEnd } from "./plan.js";
import { emitRecords, planRecords, type RecordPlan } from "./records.js";
import type { Target } from "./scalar.js";

/** A port of a detector: a stream with marks, as the video convention has them, or the stream of records. */
export interface DetectorPort {
  readonly role: "pixels" | "dark" | "records";
  readonly prefix: string;
  readonly direction: "input" | "output";
  /** Width of tdata: whole bytes. */
  readonly dataBits: number;
}

export interface DetectorPlan {
  readonly front: FrontEndPlan;
  readonly feed: FeedPlan;
  readonly records: RecordPlan;
}

/** The ports of the network that the front end feeds and reads. */
export interface NetworkPorts {
  readonly input: AxisPort;
  readonly output: AxisPort;
}

/** @errors SE012, SE013, SE015, SE030 where the network does not take one patch and give a position */
export function networkPorts(ports: readonly AxisPort[], sensor: Sensor): NetworkPorts {
  const inputs = ports.filter((p) => p.direction === "input");
  const outputs = ports.filter((p) => p.direction === "output");
  const refuse = (key: string, why: string, instead: string): never => {
    throw UserError.of("SE030", { key, why, instead });
  };
  if (inputs.length !== 1 || outputs.length !== 1)
    return refuse(
      "output",
      `the network has ${inputs.length} inputs and ${outputs.length} outputs, behind a sensor it has one of each`,
      "cut the network down to one input and one output",
    );
  const [input, output] = [inputs[0]!, outputs[0]!];
  const { patch } = sensor;
  checkNetwork(sensor, inputs, output.shape);
  for (const { name, scale = 1 } of [input, output]) if (scale !== 1) throw UserError.of("SE015", { name, scale });
  if (patch % input.elementsPerBeat !== 0)
    return refuse(
      "patch",
      `${input.elementsPerBeat} pixels a beat of the network do not make up its rows of ${patch}`,
      `give --axis-width 1e or ${patch}e, or a longer interval`,
    );
  if (input.frac < 0 && sensor.normalisation === "min-max")
    return refuse("normalisation", "the network's input has no fraction", "write normalisation: none");
  return { input, output };
}

/** @param inFlight samples that the network holds at most */
export function planDetector(
  sensor: Sensor,
  planes: Planes,
  network: NetworkPorts,
  inFlight: number,
  target: Target,
): DetectorPlan {
  return {
    front: planFrontEnd(sensor, planes, target),
    feed: planFeed(sensor, network.input, target),
    records: planRecords(sensor, network.output, inFlight, target),
  };
}

/** Ports of a detector. */
export function detectorPorts(sensor: Sensor): DetectorPort[] {
  const dataBits = Math.ceil((sensor.pixelsPerBeat * sensor.pixelBits) / 8) * 8;
  return [
    { role: "pixels", prefix: "s_axis", direction: "input", dataBits },
    ...(sensor.dark.kind === "stream"
      ? [{ role: "dark", prefix: "s_axis_dark", direction: "input", dataBits } as const]
      : []),
    { role: "records", prefix: "m_axis", direction: "output", dataBits: RECORD_BITS },
  ];
}

const NETWORK_IN = "m_axis_patch";
const NETWORK_OUT = "s_axis_answer";

/** The front end, with the network's ports on its outside: patches out, answers in. */
export function emitShell(
  module: Module,
  name: string,
  sensor: Sensor,
  planes: Planes,
  network: NetworkPorts,
  plan: DetectorPlan,
  target: Target,
  top = false,
): Op {
  const part = (what: string): string => `${name}_${what}`;
  const port = emitPixelPort(module, part("port"), sensor, planes, target);
  const finder = emitFinder(module, part("finder"), sensor, plan.front, target);
  const fetch = emitFetch(module, part("fetch"), sensor, plan.front, target);
  const feed = emitFeed(module, part("feed"), sensor, plan.feed, target);
  const records = emitRecords(module, part("records"), sensor, plan.records, network.output, target);
  const inputs: Port[] = [
    ...detectorPorts(sensor).flatMap((p) =>
      p.direction === "input"
        ? [
            { name: `${p.prefix}_tdata`, type: u(p.dataBits) },
            { name: `${p.prefix}_tvalid`, type: u(1) },
            { name: `${p.prefix}_tuser`, type: u(1) },
            { name: `${p.prefix}_tlast`, type: u(1) },
          ]
        : [{ name: `${p.prefix}_tready`, type: u(1) }],
    ),
    { name: `${NETWORK_IN}_tready`, type: u(1) },
    { name: `${NETWORK_OUT}_tdata`, type: u(network.output.dataBits) },
    { name: `${NETWORK_OUT}_tvalid`, type: u(1) },
  ];
  const m = new RtlModuleBuilder(module, name, inputs, top ? { attrs: { clock: "aclk", resetn: "aresetn" } } : {});
  const pixelBits = sensor.pixelsPerBeat * sensor.pixelBits;
  const axis = (prefix: string, signal: string): Value => m.input(`${prefix}_${signal}`);
  const p = m.instance(port, "port", {
    tvalid: axis("s_axis", "tvalid"),
    tdata: m.extract(axis("s_axis", "tdata"), 0, pixelBits),
    tuser: axis("s_axis", "tuser"),
    tlast: axis("s_axis", "tlast"),
    ...(sensor.dark.kind === "stream" && {
      dark_tvalid: axis("s_axis_dark", "tvalid"),
      dark_tdata: m.extract(axis("s_axis_dark", "tdata"), 0, pixelBits),
      dark_tuser: axis("s_axis_dark", "tuser"),
    }),
  });
  // Instances that wait for one another are joined in loops.
  const later = new Map<string, Value>();
  const forward = (of: Op, names: readonly string[]): Record<string, Value> =>
    Object.fromEntries(
      names.map((n) => {
        const ports = of.attrs["outputs"] as readonly string[];
        const result = of.body.terminator.operands[ports.indexOf(n)];
        if (result === undefined) throw new CompilerBug(`${name}: no output ${n}`);
        const v = m.forward(bitsOf(result.type), n);
        later.set(n, v);
        return [n, v];
      }),
    );
  const back = forward(fetch, ["tag_room", "end_room"]);
  const { dark_tready: darkReady, ...places } = p;
  const f = m.instance(finder, "finder", { ...places, tag_room: back["tag_room"]!, end_room: back["end_room"]! });
  const pops = forward(feed, ["along_pop", "facts_pop", "row_pop", "patch_done"]);
  const held = m.instance(fetch, "fetch", {
    tag_push: f["tag_push"]!,
    tag: f["tag"]!,
    end_push: f["end_push"]!,
    end: f["end"]!,
    now: f["now"]!,
    store: p["valid"]!,
    store_address: f["store_address"]!,
    values: p["values"]!,
    ...pops,
  });
  const { tag_room: tagRoom, end_room: endRoom, ...patches } = held;
  m.resolve(later.get("tag_room")!, tagRoom!);
  m.resolve(later.get("end_room")!, endRoom!);
  const recordRoom = m.forward(u(1), "record_room");
  const fed = m.instance(feed, "feed", {
    ...patches,
    tag_room: recordRoom,
    tready: m.input(`${NETWORK_IN}_tready`),
  });
  for (const n of ["along_pop", "facts_pop", "row_pop", "patch_done"]) m.resolve(later.get(n)!, fed[n]!);
  const r = m.instance(records, "records", {
    tag_push: fed["tag_push"]!,
    tag: fed["tag"]!,
    tvalid: m.input(`${NETWORK_OUT}_tvalid`),
    tdata: m.input(`${NETWORK_OUT}_tdata`),
    record_tready: axis("m_axis", "tready"),
  });
  m.resolve(recordRoom, r["tag_room"]!);
  return m.finish({
    s_axis_tready: m.constant(1, u(1)),
    ...(darkReady !== undefined && { s_axis_dark_tready: darkReady }),
    m_axis_tdata: r["record_tdata"]!,
    m_axis_tvalid: r["record_tvalid"]!,
    m_axis_tlast: r["record_tlast"]!,
    [`${NETWORK_IN}_tdata`]: m.cast(fed["tdata"]!, u(network.input.dataBits)),
    [`${NETWORK_IN}_tvalid`]: fed["tvalid"]!,
    [`${NETWORK_OUT}_tready`]: r["tready"]!,
  });
}

/** A compiled network with its front end. The network's top becomes a module inside. */
export function emitDetector(
  rtl: RtlDesign,
  sensor: Sensor,
  planes: Planes,
  plan: DetectorPlan,
  target: Target,
): { readonly top: string; readonly ports: readonly DetectorPort[] } {
  const { module } = rtl;
  const network = networkPorts(rtl.ports, sensor);
  const core = module.body.ops.find((op) => op.attrs["sym"] === rtl.top)!;
  delete core.attrs["clock"];
  delete core.attrs["resetn"];
  const taken = new Set(module.body.ops.map((op) => String(op.attrs["sym"])));
  let top = `${rtl.top}_detector`;
  while ([...taken].some((n) => n.startsWith(top))) top += "_";
  const shell = emitShell(module, `${top}_front`, sensor, planes, network, plan, target);
  const inputs = (shell.attrs["inputs"] as readonly string[]).filter(
    (n) => !n.startsWith(NETWORK_IN) && !n.startsWith(NETWORK_OUT),
  );
  const typeOf = (n: string): Port["type"] =>
    bitsOf(shell.body.args[(shell.attrs["inputs"] as readonly string[]).indexOf(n)]!.type);
  const m = new RtlModuleBuilder(
    module,
    top,
    inputs.map((n) => ({ name: n, type: typeOf(n) })),
    { attrs: { clock: "aclk", resetn: "aresetn" } },
  );
  const [ready, answer, answered] = [
    m.forward(u(1), "network_ready"),
    m.forward(u(network.output.dataBits), "answer"),
    m.forward(u(1), "answered"),
  ];
  const front = m.instance(shell, "front", {
    ...Object.fromEntries(inputs.map((n) => [n, m.input(n)])),
    [`${NETWORK_IN}_tready`]: ready,
    [`${NETWORK_OUT}_tdata`]: answer,
    [`${NETWORK_OUT}_tvalid`]: answered,
  });
  const [i, o] = [network.input.prefix, network.output.prefix];
  const inner = m.instance(core, "network", {
    [`${i}_tdata`]: front[`${NETWORK_IN}_tdata`]!,
    [`${i}_tvalid`]: front[`${NETWORK_IN}_tvalid`]!,
    [`${i}_tlast`]: m.constant(0, u(1)),
    [`${o}_tready`]: front[`${NETWORK_OUT}_tready`]!,
  });
  m.resolve(ready, inner[`${i}_tready`]!);
  m.resolve(answer, inner[`${o}_tdata`]!);
  m.resolve(answered, inner[`${o}_tvalid`]!);
  const outputs = (shell.attrs["outputs"] as readonly string[]).filter(
    (n) => !n.startsWith(NETWORK_IN) && !n.startsWith(NETWORK_OUT),
  );
  m.finish(Object.fromEntries(outputs.map((n) => [n, front[n]!])));
  return { top, ports: detectorPorts(sensor) };
}
