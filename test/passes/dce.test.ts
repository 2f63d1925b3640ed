/** Dead code as the object graph sees it; what text shows is in test/fixtures/dce.hir. */
import { describe, expect, it } from "vitest";
import "../../src/ir/dialects.js";
import { Block, Module, Op } from "../../src/ir/core.js";
import { fixed } from "../../src/ir/types.js";
import { findProblems } from "../../src/ir/verify.js";
import { removeDead } from "../../src/passes/common/dce.js";

const type = fixed(8, 4);

/** A body in which `%kept` is returned, and a dead operation has a region that reads it. */
function withDeadRegion(): { body: Block; kept: Op } {
  const body = new Block();
  new Op({ name: "func", attrs: { sym: "f" }, regions: [body] });
  const x = body.addArg(type, "x");
  const kept = body.append(new Op({ name: "fx.cast", operands: [x], resultTypes: [type], hints: ["kept"] }));
  const inner = new Block();
  inner.append(new Op({ name: "fx.yield", operands: [kept.result] }));
  body.append(new Op({ name: "flow.kernel", resultTypes: [type], regions: [inner] }));
  body.append(new Op({ name: "return", operands: [kept.result] }));
  return { body, kept };
}

describe("dce", () => {
  it("leaves no use of what dead operations read in their regions", () => {
    const { body, kept } = withDeadRegion();
    expect(kept.result.uses.length).toBe(2);
    removeDead(body);
    expect(body.ops.map((op) => op.name)).toEqual(["fx.cast", "return"]);
    expect(kept.result.uses.map((u) => u.op.name)).toEqual(["return"]);
  });
  it("takes operations apart that use each other in a cycle", () => {
    const module = new Module("m");
    const body = new Block();
    const m = new Op({
      name: "rtl.module",
      attrs: { sym: "m", inputs: [], outputs: [] },
      regions: [body],
    });
    module.body.append(m);
    const u8 = { kind: "bits", signed: false, width: 8 } as const;
    const a = body.append(new Op({ name: "rtl.not", resultTypes: [u8] }));
    const b = body.append(new Op({ name: "rtl.not", operands: [a.result], resultTypes: [u8] }));
    a.addOperand(b.result);
    body.append(new Op({ name: "rtl.output" }));
    removeDead(module.body);
    expect(body.ops.map((op) => op.name)).toEqual(["rtl.output"]);
    expect([a, b].map((op) => [op.parent, op.operands.length, op.result.uses.length])).toEqual([
      [undefined, 0, 0],
      [undefined, 0, 0],
    ]);
    expect(findProblems(module)).toEqual([]);
  });
});
