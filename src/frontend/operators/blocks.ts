/** Blocks of pixels that become channels, and back: DepthToSpace, SpaceToDepth. */
import { reshape, transpose } from "./build.js";
import { shapeOf, type OperatorImporter } from "../context.js";

const depthToSpace: OperatorImporter = {
  opType: "DepthToSpace",
  import: (ctx) => {
    const x = ctx.value(0);
    const [n, c, h, w] = shapeOf(x) as [number, number, number, number];
    const b = ctx.int("blocksize", 1);
    const mode = ctx.string("mode", "DCR");
    if (shapeOf(x).length !== 4 || b < 1 || c % (b * b) !== 0)
      throw ctx.error(`blocks of ${b} x ${b} do not divide the shape [${shapeOf(x).join(", ")}]`);
    if (mode !== "DCR" && mode !== "CRD") throw ctx.error(`mode "${mode}" is not defined`);
    const d = c / (b * b);
    const split = mode === "DCR" ? [n, b, b, d, h, w] : [n, d, b, b, h, w];
    const perm = mode === "DCR" ? [0, 3, 4, 1, 5, 2] : [0, 1, 4, 2, 5, 3];
    return reshape(ctx, transpose(ctx, reshape(ctx, x, split), perm), [n, d, h * b, w * b]);
  },
};

const spaceToDepth: OperatorImporter = {
  opType: "SpaceToDepth",
  import: (ctx) => {
    const x = ctx.value(0);
    const [n, c, h, w] = shapeOf(x) as [number, number, number, number];
    const b = ctx.int("blocksize", 1);
    const mode = ctx.string("mode", "DCR");
    if (mode !== "DCR" && mode !== "CRD") throw ctx.error(`mode "${mode}" is not defined`);
    if (shapeOf(x).length !== 4 || b < 1 || h % b !== 0 || w % b !== 0)
      throw ctx.error(`blocks of ${b} x ${b} do not divide the shape [${shapeOf(x).join(", ")}]`);
    return reshape(
      ctx,
      transpose(
        ctx,
        reshape(ctx, x, [n, c, h / b, b, w / b, b]),
        mode === "DCR" ? [0, 3, 5, 1, 2, 4] : [0, 1, 3, 5, 2, 4],
      ),
      [n, c * b * b, h / b, w / b],
    );
  },
};

export const blockOperators: readonly OperatorImporter[] = [depthToSpace, spaceToDepth];
