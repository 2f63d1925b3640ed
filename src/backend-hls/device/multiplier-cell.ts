/**
 * Multiplier blocks that are instantiated with their own registers, for devices whose tools would leave them unused.
 * The Verilog is `runtime/cells/<name>.v`; the module built here is its behavioural twin, for the simulator and all
 * passes.
 */
import type { Module, Op } from "../../ir/core.js";
import { RtlModuleBuilder, s } from "../../ir/rtl/builder.js";
import { CELL_FILE, rtlModules } from "../../ir/rtl/index.js";
import type { FixedType } from "../../ir/types.js";
import type { Device } from "./devices.js";
import type { MultiplierCell } from "./family.js";
import { usesDsp } from "./operators.js";

/** The cell for a product of these factors; undefined where it is inferred, or no multiplier block. */
export function multiplierCell(device: Device, a: FixedType, b: FixedType): MultiplierCell | undefined {
  const cell = device.family.multiplierCell;
  const fits = (t: FixedType): boolean => t.width + (t.signed ? 0 : 1) <= (cell?.width ?? 0);
  return cell !== undefined && usesDsp(device, a, b) && fits(a) && fits(b) ? cell : undefined;
}

/** The module of a cell; built where it is first asked for. Ports: `a`, `b` in, `p` out. */
export function cellModule(module: Module, cell: MultiplierCell): Op {
  const known = rtlModules(module).find((op) => op.attrs["sym"] === cell.name);
  if (known !== undefined) return known;
  const type = s(cell.width);
  const m = new RtlModuleBuilder(
    module,
    cell.name,
    [
      { name: "a", type },
      { name: "b", type },
    ],
    { attrs: { [CELL_FILE]: `${cell.name}.v` } },
  );
  const product = m.mul(m.reg(m.input("a"), { hint: "a_q" }), m.reg(m.input("b"), { hint: "b_q" }), s(2 * cell.width));
  return m.finish({ p: m.delay(product, cell.latency - 1, { hint: "product" }) });
}
