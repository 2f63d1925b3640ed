/**
 * `component.xml` of the packaged core: ports, bus interfaces and files for Vivado's catalog.
 *
 * @source IEEE 1685-2009 (IP-XACT) in Vivado's dialect (AMD UG1118)
 */
import { beatBytes } from "./verilator.js";
import { isInput, signalsOf, type Core } from "./ip-description.js";

class Xml {
  private readonly lines: string[] = [`<?xml version="1.0" encoding="UTF-8"?>`];
  private depth = 0;

  leaf(tag: string, text: string | number, attributes: Readonly<Record<string, string>> = {}): this {
    this.line(`<spirit:${tag}${attrs(attributes)}>${escapeXml(String(text))}</spirit:${tag}>`);
    return this;
  }
  node(tag: string, body: () => void, attributes: Readonly<Record<string, string>> = {}): this {
    this.line(`<spirit:${tag}${attrs(attributes)}>`);
    this.depth++;
    body();
    this.depth--;
    this.line(`</spirit:${tag}>`);
    return this;
  }
  empty(tag: string, attributes: Readonly<Record<string, string>> = {}): this {
    this.line(`<spirit:${tag}${attrs(attributes)}/>`);
    return this;
  }
  private line(text: string): void {
    this.lines.push("  ".repeat(this.depth) + text);
  }
  toString(): string {
    return `${this.lines.join("\n")}\n`;
  }
}

function attrs(a: Readonly<Record<string, string>>): string {
  return Object.entries(a)
    .map(([k, v]) => ` ${k}="${escapeXml(v)}"`)
    .join("");
}

/** Text for XML 1.0; characters that it cannot hold at all become question marks. */
export function escapeXml(text: string): string {
  // eslint-disable-next-line no-control-regex
  const legal = text.replace(
    /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g,
    "?",
  );
  return legal.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");
}

function vlnv(x: Xml, tag: string, library: string, name: string): void {
  x.empty(tag, {
    "spirit:vendor": "xilinx.com",
    "spirit:library": library,
    "spirit:name": name,
    "spirit:version": "1.0",
  });
}

export function componentXml(core: Core): string {
  const x = new Xml();
  x.node(
    "component",
    () => {
      x.leaf("vendor", core.vendor).leaf("library", core.library).leaf("name", core.name).leaf("version", core.version);
      x.node("busInterfaces", () => busInterfaces(x, core));
      x.node("model", () => {
        x.node("views", () => {
          for (const [name, purpose] of VIEWS) {
            x.node("view", () => {
              x.leaf("name", name)
                .leaf("envIdentifier", purpose)
                .leaf("language", "Verilog")
                .leaf("modelName", core.name);
              x.node("fileSetRef", () => void x.leaf("localName", `${name}_view_fileset`));
            });
          }
        });
        x.node("ports", () => {
          port(x, core.clock.port, "in", 1);
          port(x, core.resetn, "in", 1);
          for (const s of core.streams)
            for (const g of signalsOf(s)) port(x, g.port, isInput(s, g.fromMaster) ? "in" : "out", g.width);
        });
      });
      x.node("fileSets", () => {
        for (const [name] of VIEWS) {
          x.node("fileSet", () => {
            x.leaf("name", `${name}_view_fileset`);
            for (const f of core.files)
              x.node("file", () => void x.leaf("name", `hdl/${f}`).leaf("fileType", "verilogSource"));
            if (name === "xilinx_anylanguagesynthesis") {
              x.node(
                "file",
                () =>
                  void x
                    .leaf("name", `${core.name}.xdc`)
                    .leaf("userFileType", "xdc")
                    .leaf("userFileType", "USED_IN_out_of_context"),
              );
            }
          });
        }
      });
      x.leaf("description", core.doc);
      x.node("parameters", () => {
        x.node(
          "parameter",
          () =>
            void x.leaf("name", "Component_Name").leaf("value", `${core.name}_v${core.version.replace(".", "_")}`, {
              "spirit:resolve": "user",
              "spirit:id": "PARAM_VALUE.Component_Name",
            }),
        );
      });
    },
    {
      "xmlns:spirit": "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009",
      "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
    },
  );
  return x.toString();
}

const VIEWS = [
  ["xilinx_anylanguagesynthesis", ":vivado.xilinx.com:synthesis"],
  ["xilinx_anylanguagebehavioralsimulation", ":vivado.xilinx.com:simulation"],
] as const;

function busInterfaces(x: Xml, core: Core): void {
  for (const s of core.streams) {
    x.node("busInterface", () => {
      x.leaf("name", s.name);
      if (s.doc !== undefined) x.leaf("description", s.doc);
      vlnv(x, "busType", "interface", "axis");
      vlnv(x, "abstractionType", "interface", "axis_rtl");
      x.empty(s.direction === "in" ? "slave" : "master");
      portMaps(
        x,
        signalsOf(s).map((g) => [g.role, g.port]),
      );
      x.node("parameters", () => {
        parameter(x, s.name, "TDATA_NUM_BYTES", beatBytes(s));
        parameter(x, s.name, "HAS_TLAST", s.hasLast === false ? 0 : 1);
        parameter(x, s.name, "HAS_TREADY", 1);
      });
    });
  }
  x.node("busInterface", () => {
    x.leaf("name", core.clock.port);
    vlnv(x, "busType", "signal", "clock");
    vlnv(x, "abstractionType", "signal", "clock_rtl");
    x.empty("slave");
    portMaps(x, [["CLK", core.clock.port]]);
    x.node("parameters", () => {
      parameter(x, core.clock.port, "ASSOCIATED_BUSIF", core.streams.map((s) => s.name).join(":"));
      parameter(x, core.clock.port, "ASSOCIATED_RESET", core.resetn);
      parameter(x, core.clock.port, "FREQ_HZ", Math.round(core.clock.mhz * 1e6));
    });
  });
  x.node("busInterface", () => {
    x.leaf("name", core.resetn);
    vlnv(x, "busType", "signal", "reset");
    vlnv(x, "abstractionType", "signal", "reset_rtl");
    x.empty("slave");
    portMaps(x, [["RST", core.resetn]]);
    x.node("parameters", () => parameter(x, core.resetn, "POLARITY", "ACTIVE_LOW"));
  });
}

function portMaps(x: Xml, pairs: readonly (readonly [string, string])[]): void {
  x.node("portMaps", () => {
    for (const [logical, physical] of pairs) {
      x.node("portMap", () => {
        x.node("logicalPort", () => void x.leaf("name", logical));
        x.node("physicalPort", () => void x.leaf("name", physical));
      });
    }
  });
}

function parameter(x: Xml, owner: string, name: string, value: string | number): void {
  x.node(
    "parameter",
    () =>
      void x
        .leaf("name", name)
        .leaf("value", value, { "spirit:id": `BUSIFPARAM_VALUE.${owner.toUpperCase()}.${name}` }),
  );
}

function port(x: Xml, name: string, direction: string, width: number): void {
  x.node("port", () => {
    x.leaf("name", name);
    x.node("wire", () => {
      x.leaf("direction", direction);
      if (width > 1)
        x.node(
          "vector",
          () =>
            void x.leaf("left", width - 1, { "spirit:format": "long" }).leaf("right", 0, { "spirit:format": "long" }),
        );
      x.node("wireTypeDefs", () => {
        x.node("wireTypeDef", () => {
          x.leaf("typeName", "wire");
          for (const [view] of VIEWS) x.leaf("viewNameRef", view);
        });
      });
    });
  });
}
