import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { escapeXml } from "../../src/backend-verilog/component-xml.js";
import type { IpDescription } from "../../src/backend-verilog/ip-description.js";
import { packageIp } from "../../src/backend-verilog/ip-package.js";
import { packBeats, unpackBeats } from "../../src/backend-verilog/beats.js";
import { findTool } from "../../src/backend-verilog/tools.js";
import { writeVerilog } from "../../src/backend-verilog/write-verilog.js";
import { streamFifo } from "./examples.js";
import "./helpers.js";

const core: IpDescription = {
  name: "stream_fifo",
  title: 'A "queue" of $5 [beats] & more',
  doc: "<b>x</b>\nsecond line",
  clock: { port: "aclk", mhz: 250 },
  resetn: "aresetn",
  streams: [
    { name: "s_axis", direction: "in", width: 16, doc: 'image "x" & <y>' },
    { name: "m_axis", direction: "out", width: 20, hasLast: false },
  ],
};

/** Elements of a document; throws where tags do not nest. */
function parseXml(text: string): { tag: string; path: string; text: string }[] {
  const stack: string[] = [];
  const elements: { tag: string; path: string; text: string }[] = [];
  const body = text.replace(/^<\?xml [^?]*\?>\s*/, "");
  let rest = body;
  while (rest !== "") {
    const m =
      /^(?:<(\/?)([\w:]+)((?:\s+[\w:]+="[^"<&]*(?:&(?:amp|lt|gt|quot);[^"<&]*)*")*)\s*(\/?)>|((?:[^<&]|&(?:amp|lt|gt|quot);)+))/.exec(
        rest,
      );
    if (m === null) throw new Error(`not well-formed at: ${rest.slice(0, 80)}`);
    rest = rest.slice(m[0].length);
    if (m[5] !== undefined) {
      if (m[5].trim() !== "" && stack.length === 0) throw new Error("text outside of the root");
      if (elements.length > 0) elements[elements.length - 1]!.text += m[5].trim();
    } else if (m[1] === "/") {
      if (stack.pop() !== m[2]) throw new Error(`</${m[2]}> closes another element`);
    } else {
      elements.push({ tag: m[2]!, path: [...stack, m[2]].join("/").replace(/spirit:/g, ""), text: "" });
      if (m[4] !== "/") stack.push(m[2]!);
    }
  }
  if (stack.length > 0) throw new Error(`<${stack.at(-1)}> is not closed`);
  return elements;
}

describe("the IP package", () => {
  const sources = writeVerilog(streamFifo(16, 5, 4));
  const files = packageIp(core, sources);

  it("has the sources and descriptions for both vendors", () => {
    expect([...files.keys()].sort()).toEqual([
      "component.xml",
      "hdl/fifo.v",
      "hdl/stream_fifo.v",
      "stream_fifo.sdc",
      "stream_fifo.xdc",
      "stream_fifo_hw.tcl",
      "vivado_ip.tcl",
    ]);
    expect(files.get("stream_fifo.xdc")).toContain("create_clock -name aclk -period 4.000 [get_ports aclk]");
  });

  it("describes every port and bus interface in well-formed IP-XACT", () => {
    const elements = parseXml(files.get("component.xml")!);
    const texts = (path: string): string[] => elements.filter((e) => e.path === path).map((e) => e.text);
    expect(texts("component/busInterfaces/busInterface/name")).toEqual(["s_axis", "m_axis", "aclk", "aresetn"]);
    expect(texts("component/model/ports/port/name")).toEqual([
      "aclk",
      "aresetn",
      "s_axis_tdata",
      "s_axis_tvalid",
      "s_axis_tlast",
      "s_axis_tready",
      "m_axis_tdata",
      "m_axis_tvalid",
      "m_axis_tready",
    ]);
    expect(texts("component/model/ports/port/wire/direction")).toEqual([
      "in",
      "in",
      "in",
      "in",
      "in",
      "out",
      "out",
      "out",
      "in",
    ]);
    expect(texts("component/busInterfaces/busInterface/parameters/parameter/value")).toEqual([
      "2",
      "1",
      "1",
      "3",
      "0",
      "1",
      "s_axis:m_axis",
      "aresetn",
      "250000000",
      "ACTIVE_LOW",
    ]);
    const physical = texts("component/busInterfaces/busInterface/portMaps/portMap/physicalPort/name");
    expect(new Set(physical)).toEqual(new Set(texts("component/model/ports/port/name")));
    for (const f of texts("component/fileSets/fileSet/file/name")) expect(files.has(f)).toBe(true);
  });

  it("escapes any text", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary" }),
        (s) => void expect(parseXml(`<a>${escapeXml(s).trim() || "x"}</a>`)).toHaveLength(1),
      ),
      { numRuns: 200, seed: 1 },
    );
  });

  it.skipIf(findTool("tclsh") === undefined)("has Tcl that runs (skipped where tclsh is not installed)", () => {
    // Commands of the tool are taken for procedures that print their words.
    const stub = "proc unknown {args} { puts [join $args |] }\nproc package {args} {}\n";
    const out = execFileSync("tclsh", [], { input: stub + files.get("stream_fifo_hw.tcl")!, encoding: "utf8" });
    expect(out).toContain('set_module_property|DISPLAY_NAME|A "queue" of $5 [beats] & more');
    expect(out).toContain("add_interface_port|m_axis|m_axis_tready|tready|Input|1");
  });
});

describe("beats", () => {
  it("hold elements of any width", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 53 }),
        fc.integer({ min: 1, max: 9 }),
        fc.nat(20),
        fc.boolean(),
        fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), { minLength: 1, maxLength: 40 }),
        (elementBits, elementsPerBeat, pad, signed, parts) => {
          const lo = signed ? -(2 ** (elementBits - 1)) : 0;
          const values = parts.map((p) => Math.floor(p * 2 ** elementBits) + lo);
          const layout = { elementBits, elementsPerBeat, signed, width: elementBits * elementsPerBeat + pad };
          expect([...unpackBeats(packBeats(values, layout), layout, values.length)]).toEqual(values);
        },
      ),
      { numRuns: 300, seed: 2 },
    );
  });

  it("have element 0 lowest", () => {
    const layout = { elementBits: 12, elementsPerBeat: 2, signed: true, width: 24 };
    expect([...packBeats([-1, 0x123], layout)]).toEqual([0xff, 0x3f, 0x12]);
  });
});
