/** What a design takes: counted on its hardware, as the report counts it. */
import { prepareVerilog } from "../backend-verilog/write-verilog.js";
import { lookUp } from "../ir/present.js";
import type { Design } from "../backend-hls/design/design.js";
import type { Resources } from "../backend-hls/device/resources.js";
import { lowerToRtl } from "../backend-hls/emit/flow-to-rtl.js";
import { rtlArea } from "../backend-hls/emit/rtl-area.js";

/** Area of the top module with all that it instantiates. */
export function hardwareArea(design: Design): Resources {
  const rtl = lowerToRtl(design);
  return lookUp(rtlArea(prepareVerilog(rtl.module), design.device), rtl.top, "area");
}
