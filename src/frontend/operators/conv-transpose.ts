/** ConvTranspose: zeros between the elements, then an ordinary convolution with the weights turned around. */
import { elementCount } from "../../ir/types.js";
import { reshape } from "./build.js";
import { shapeOf, type OperatorImporter } from "../context.js";

const convTranspose: OperatorImporter = {
  opType: "ConvTranspose",
  limits: "1-D, 2-D and 3-D; constant weights",
  import: (ctx) => {
    const x = ctx.value(0);
    const w = ctx.needWeight(1, "the weight");
    const xs = shapeOf(x);
    const rank = xs.length - 2;
    if (rank < 1 || rank > 3)
      throw ctx.error(`a convolution of rank ${xs.length} is not supported`, "use 1-D, 2-D or 3-D convolutions");
    if (w.shape.length !== xs.length || w.shape[0] !== xs[1])
      throw ctx.error(`its weight of shape [${w.shape.join(", ")}] does not fit an input of shape [${xs.join(", ")}]`);
    const group = ctx.int("group", 1);
    const [inputs, perGroup] = [w.shape[0]!, w.shape[1]!];
    if (group < 1 || inputs % group !== 0) throw ctx.error(`group ${group} does not divide ${inputs} channels`);
    const kernel = w.shape.slice(2);
    const stated = ctx.ints("kernel_shape");
    if (stated !== undefined && stated.join() !== kernel.join())
      throw ctx.error(`kernel_shape [${stated.join(", ")}] contradicts the weight's [${kernel.join(", ")}]`);
    const list = (name: string, fallback: number, count: number): number[] => {
      const v = ctx.ints(name) ?? new Array<number>(count).fill(fallback);
      if (v.length !== count) throw ctx.error(`${name} has ${v.length} entries instead of ${count}`);
      return v;
    };
    const [strides, dilations, extra] = [
      list("strides", 1, rank),
      list("dilations", 1, rank),
      list("output_padding", 0, rank),
    ];
    if ([...strides, ...dilations].some((v) => v < 1)) throw ctx.error("strides and dilations are positive");
    const extent = kernel.map((k, d) => (k - 1) * dilations[d]! + 1);
    const full = xs.slice(2).map((n, d) => strides[d]! * (n - 1) + extent[d]! + extra[d]!);
    let pads = list("pads", 0, 2 * rank);
    const target = ctx.ints("output_shape");
    const autoPad = ctx.string("auto_pad", "NOTSET");
    if (target !== undefined || autoPad === "SAME_UPPER" || autoPad === "SAME_LOWER") {
      const wanted = target?.slice(-rank) ?? xs.slice(2).map((n, d) => n * strides[d]!);
      const total = full.map((n, d) => n - wanted[d]!);
      const half = total.map((t) => Math.floor(t / 2));
      const rest = total.map((t, d) => t - half[d]!);
      pads = autoPad === "SAME_UPPER" ? [...half, ...rest] : [...rest, ...half];
    } else if (autoPad === "VALID") pads = pads.map(() => 0);
    // Zeros between elements.
    let spread = x;
    for (let d = 0; d < rank; d++) {
      const s = strides[d]!;
      if (s === 1) continue;
      const shape = shapeOf(spread);
      const at = 2 + d;
      const apart = [...shape.slice(0, at + 1), 1, ...shape.slice(at + 1)];
      const wide = apart.map((n, i) => (i === at + 1 ? s : n));
      const padded = ctx.emit("nn.pad", [reshape(ctx, spread, apart)], wide, {
        pads: [...apart.map(() => 0), ...apart.map((_, i) => (i === at + 1 ? s - 1 : 0))],
        value: 0,
      });
      const merged = reshape(
        ctx,
        padded,
        shape.map((n, i) => (i === at ? n * s : n)),
      );
      const cut = shape.map((n, i) => (i === at ? (n - 1) * s + 1 : n));
      spread = ctx.emit("nn.slice", [merged], cut, {
        shape: [...cut],
        starts: cut.map(() => 0),
        steps: cut.map(() => 1),
      });
    }
    const begin = extent.map((e, d) => e - 1 - pads[d]!);
    const end = extent.map((e, d) => e - 1 - pads[rank + d]! + extra[d]!);
    // Pads beyond the kernel cut into the input instead.
    const [cutBegin, cutEnd] = [begin.map((p) => Math.max(0, -p)), end.map((p) => Math.max(0, -p))];
    if ([...cutBegin, ...cutEnd].some((c) => c > 0)) {
      const shape = shapeOf(spread).map((n, i) => (i < 2 ? n : n - cutBegin[i - 2]! - cutEnd[i - 2]!));
      spread = ctx.emit("nn.slice", [spread], shape, {
        shape: [...shape],
        starts: shape.map((_, i) => (i < 2 ? 0 : cutBegin[i - 2]!)),
        steps: shape.map(() => 1),
      });
    }
    const outputs = perGroup * group;
    const [insideGroup, size] = [inputs / group, elementCount(kernel)];
    const turned = new Float64Array(w.data.length);
    for (let i = 0; i < inputs; i++) {
      for (let o = 0; o < perGroup; o++) {
        for (let k = 0; k < size; k++)
          turned[
            ((Math.floor(i / insideGroup) * perGroup + o) * insideGroup + (i % insideGroup)) * size + size - 1 - k
          ] = w.data[(i * perGroup + o) * size + k]!;
      }
    }
    const weight = ctx.fromConstant(
      { shape: [outputs, insideGroup, ...kernel], data: turned, integer: false },
      `${ctx.node.input[1]}_turned`,
    );
    const convPads = [...begin.map((p) => Math.max(0, p)), ...end.map((p) => Math.max(0, p))];
    const out = shapeOf(spread)
      .slice(2)
      .map((n, d) => n + convPads[d]! + convPads[rank + d]! - extent[d]! + 1);
    if (out.some((n) => n < 1)) throw ctx.error(`its result would have the shape [${out.join(", ")}]`);
    const operands = [spread, weight, ...(ctx.has(2) ? [ctx.value(2)] : [])];
    return ctx.emit("nn.conv", operands, [xs[0]!, outputs, ...out], {
      strides: strides.map(() => 1),
      pads: convPads,
      dilations,
      group,
    });
  },
};

export const convTransposeOperators: readonly OperatorImporter[] = [convTranspose];
