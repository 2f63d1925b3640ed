/** How random networks use windows and normalizations: convolutions, pools, resizing, norms. */
import { count, type ModelBuilder, type Tensor } from "./model-builder.js";
import { axisOf, bounded, positive, ranked, type Use } from "./random-operands.js";

/** Kernel, strides, pads and so on for the spatial axes of x. */
function windowOf(
  b: ModelBuilder,
  spatial: readonly number[],
  dilated: boolean,
): { kernel: number[]; attrs: Record<string, readonly number[] | string> } {
  const dilations = spatial.map(() => (dilated && b.chance(0.3) ? 2 : 1));
  const kernel = spatial.map((n, d) => Math.max(1, Math.min(b.int(1, 3), Math.floor((n - 1) / dilations[d]!) + 1)));
  const extent = kernel.map((k, d) => (k - 1) * dilations[d]! + 1);
  const pads = [...kernel, ...kernel].map((k) => (b.chance(0.5) ? 0 : b.int(0, k - 1)));
  const auto = b.chance(0.2) ? b.pick(["SAME_UPPER", "SAME_LOWER", "VALID"]) : undefined;
  const fits = extent.every((e, d) => e <= spatial[d]!);
  return {
    kernel,
    attrs: {
      kernel_shape: kernel,
      strides: spatial.map(() => b.pick([1, 1, 2])),
      ...(fits && { dilations }),
      ...(auto === undefined ? { pads } : { auto_pad: auto }),
    },
  };
}
const spatialTensor = (b: ModelBuilder): Tensor => (b.chance(0.7) ? ranked(b, 4) : ranked(b, 3));

export const windows: Use[] = [
  {
    name: "Conv",
    build: (b) => {
      const x = spatialTensor(b);
      const [, c, ...spatial] = x.shape as [number, number, ...number[]];
      const group = b.chance(0.3) ? b.pick([c, c % 2 === 0 ? 2 : 1]) : 1;
      const out = group * b.int(1, group > 2 ? 1 : 3);
      const { kernel, attrs } = windowOf(b, spatial, true);
      b.node("Conv", [x, b.weights([out, c / group, ...kernel]), ...(b.chance(0.6) ? [b.weights([out])] : [])], {
        attrs: { ...attrs, group },
        size: x.size * (c / group) * count(kernel),
      });
    },
  },
  {
    name: "ConvTranspose",
    build: (b) => {
      const x = spatialTensor(b);
      const [, c, ...spatial] = x.shape as [number, number, ...number[]];
      const group = c % 2 === 0 && b.chance(0.3) ? 2 : 1;
      const kernel = spatial.map(() => b.int(1, 3));
      const strides = spatial.map(() => b.int(1, 2));
      const out = b.int(1, 2);
      const pads = [...kernel, ...kernel].map((k, i) =>
        b.chance(0.7) || spatial[i % spatial.length]! < 2 ? 0 : b.int(0, k - 1),
      );
      b.node(
        "ConvTranspose",
        [x, b.weights([c, out, ...kernel]), ...(b.chance(0.5) ? [b.weights([out * group])] : [])],
        {
          attrs: {
            kernel_shape: kernel,
            strides,
            group,
            output_padding: strides.map((s) => (s > 1 ? b.int(0, s - 1) : 0)),
            ...(b.chance(0.2) ? { auto_pad: "SAME_UPPER" } : { pads }),
          },
          size: x.size * c * count(kernel),
        },
      );
    },
  },
  ...["MaxPool", "AveragePool", "LpPool"].map(
    (name): Use => ({
      name,
      build: (b) => {
        const x = spatialTensor(b);
        const { kernel, attrs } = windowOf(b, x.shape.slice(2), true);
        const own =
          name === "AveragePool" ? { count_include_pad: b.int(0, 1) } : name === "LpPool" ? { p: b.int(1, 2) } : {};
        b.node(name, [x], {
          attrs: { ...attrs, ...own, ceil_mode: "auto_pad" in attrs ? 0 : b.int(0, 1) },
          size: name === "LpPool" ? x.size * count(kernel) : x.size,
        });
      },
    }),
  ),
  ...["GlobalMaxPool", "GlobalAveragePool"].map(
    (name): Use => ({ name, build: (b) => void b.node(name, [spatialTensor(b)]) }),
  ),
  {
    name: "GlobalLpPool",
    build: (b) => {
      const x = spatialTensor(b);
      b.node("GlobalLpPool", [x], { attrs: { p: b.int(1, 2) }, size: x.size * count(x.shape) });
    },
  },
  {
    name: "DepthToSpace",
    build: (b) =>
      void b.node("DepthToSpace", [ranked(b, 4, (s) => s[1]! % 4 === 0)], {
        attrs: { blocksize: 2, mode: b.pick(["DCR", "CRD"]) },
      }),
  },
  {
    name: "SpaceToDepth",
    build: (b) =>
      void b.node("SpaceToDepth", [ranked(b, 4, (s) => s[2]! % 2 === 0 && s[3]! % 2 === 0)], {
        attrs: { blocksize: 2 },
      }),
  },
  {
    name: "Resize",
    build: (b) => {
      const x = spatialTensor(b);
      const linear = b.chance(0.5);
      const to = x.shape.map((n, d) => (d < 2 ? n : Math.max(1, b.pick([n, 2 * n, n - 1, n + 2]))));
      const bySizes = b.chance(0.5);
      const attrs = {
        mode: linear ? "linear" : "nearest",
        coordinate_transformation_mode: b.pick([
          "half_pixel",
          "asymmetric",
          "align_corners",
          "pytorch_half_pixel",
          "half_pixel_symmetric",
        ]),
        ...(!linear && { nearest_mode: b.pick(["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"]) }),
      };
      b.node(
        "Resize",
        [
          x,
          "",
          ...(bySizes
            ? ["", b.integers(to)]
            : [
                b.floats(
                  [to.length],
                  to.map((_, d) =>
                    d < 2 ? 1 : b.pick([1, 2, 0.5, 1.5].filter((s) => Math.floor(x.shape[d]! * s) >= 1)),
                  ),
                ),
              ]),
        ],
        { attrs },
      );
    },
  },
];

const parameters = (b: ModelBuilder, shape: readonly number[]): string[] => [b.positive(shape), b.weights(shape)];
export const norms: Use[] = [
  {
    name: "BatchNormalization",
    build: (b) => {
      const x = b.chance(0.3) ? ranked(b, 2) : spatialTensor(b);
      const c = [x.shape[1]!];
      b.node("BatchNormalization", [x, ...parameters(b, c), b.weights(c), b.positive(c)], {
        attrs: { epsilon: { float: 1e-3 } },
        size: 6 * x.size + 6,
      });
    },
  },
  {
    name: "LayerNormalization",
    build: (b) => {
      const x = b.chance(0.5) ? ranked(b, 3) : ranked(b, 2);
      const axis = b.int(1, x.shape.length - 1);
      b.node("LayerNormalization", [x, ...parameters(b, x.shape.slice(axis)).slice(0, b.int(1, 2))], {
        attrs: { axis, epsilon: { float: 0.01 } },
        size: 4,
      });
    },
  },
  {
    name: "RMSNormalization",
    build: (b) => {
      const x = ranked(b, 3);
      b.node("RMSNormalization", [x, b.positive([x.shape[2]!])], {
        attrs: { axis: -1, epsilon: { float: 0.01 } },
        size: 4,
      });
    },
  },
  {
    name: "InstanceNormalization",
    build: (b) => {
      const x = spatialTensor(b);
      b.node("InstanceNormalization", [x, ...parameters(b, [x.shape[1]!])], {
        attrs: { epsilon: { float: 0.01 } },
        size: 4,
      });
    },
  },
  {
    name: "GroupNormalization",
    build: (b) => {
      const x = spatialTensor(b);
      const c = x.shape[1]!;
      b.node("GroupNormalization", [x, ...parameters(b, [c])], {
        attrs: { num_groups: c % 2 === 0 ? 2 : 1, epsilon: { float: 0.01 } },
        size: 4,
      });
    },
  },
  {
    name: "LpNormalization",
    build: (b) => {
      const x = ranked(b, b.int(2, 3));
      b.node("LpNormalization", [positive(b, x)], { attrs: { axis: axisOf(b, x.shape), p: b.int(1, 2) }, size: 1 });
    },
  },
  {
    name: "Softmax",
    build: (b) => {
      const x = ranked(b, b.int(2, 4));
      b.node("Softmax", [x], { attrs: { axis: axisOf(b, x.shape) }, size: 1 });
    },
  },
  {
    name: "MaskedSoftmax",
    build: (b) => {
      const x = bounded(b, ranked(b, b.int(2, 3)), 4);
      const s = b.node(
        "Where",
        [
          b.node("Greater", [x, b.floats([], [b.pick([-0.5, 0, 0.5])])], { kind: "truth" }),
          x,
          b.floats([], [b.pick([-Infinity, -1e9, -1e4])]),
        ],
        { size: 4 },
      );
      // Nothing else may compute with -Infinity.
      b.tensors.splice(b.tensors.indexOf(s), 1);
      const p = b.node("Softmax", [s], { attrs: { axis: -1 }, size: 1 });
      b.node("Where", [b.constantNode("IsNaN", [p]), b.floats([], [0]), p], { size: 1 });
    },
  },
  {
    name: "LogSoftmax",
    build: (b) => {
      const x = ranked(b, b.int(2, 3));
      b.node("LogSoftmax", [x], { attrs: { axis: axisOf(b, x.shape) }, size: 2 * x.size + 3 });
    },
  },
];
