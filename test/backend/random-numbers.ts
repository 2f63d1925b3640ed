/**
 * How random networks use roundings, integers and their bits, angles, volumes, spectra, and moves by constant indices.
 */
import { count, FLOAT, INT32, type Attributes, type ModelBuilder, type Tensor } from "./model-builder.js";
import { axisOf, bounded, ofKind, positive, ranked, real, type Use, wrap } from "./random-operands.js";

const use = (name: string, build: (b: ModelBuilder) => void): Use => ({ name, build });
/** Wide enough that roundings meet several integers. */
function spread(b: ModelBuilder): Tensor {
  const x = bounded(b, real(b), 8);
  return b.node("Mul", [x, b.floats([], [b.pick([1.375, 3, 4])])], { size: 4 * x.size });
}
const choose = (b: ModelBuilder, n: number, most: number, least = 0): number[] =>
  Array.from({ length: n }, () => b.int(least, most - 1));
const last = (x: Tensor): number => x.shape[x.shape.length - 1]!;

// --- integers

const UINT8 = 2;
/** Integers of 32 bits of either sign, or bytes. */
function whole(b: ModelBuilder, type = INT32): Tensor {
  const known = ofKind(b, "index");
  if (type === INT32 && known?.type === INT32 && known.size <= 64 && b.chance(0.3)) return known;
  const x = spread(b);
  const part = type === UINT8 ? b.node("Abs", [x]) : x;
  return b.node("Cast", [part], { attrs: { to: type }, kind: "index", size: Math.ceil(x.size) });
}
/** An operation of integers and a constant, as real numbers. */
function onIntegers(
  name: string,
  constant: (b: ModelBuilder) => number,
  attrs: (b: ModelBuilder) => Attributes = () => ({}),
  type: number = INT32,
): Use {
  return use(name, (b) => {
    const x = whole(b, type);
    const k = b.codes(type === UINT8 ? "uint8" : "int32", [], [constant(b)]);
    const y = b.node(name, [x, k], {
      attrs: attrs(b),
      kind: "index",
      size: name === "BitShift" || name.startsWith("Bitwise") ? 255 : Math.max(16, x.size),
    });
    b.node("Cast", [y], { attrs: { to: FLOAT }, size: y.size });
  });
}
const integers: Use[] = [
  ...["Floor", "Ceil", "Round"].map((name) =>
    use(name, (b) => {
      const x = spread(b);
      b.node(name, [x], { size: x.size + 1 });
    }),
  ),
  use("Cast of computed numbers", (b) => {
    const x = whole(b);
    b.node("Cast", [b.chance(0.3) ? b.node("Cast", [x], { attrs: { to: 9 } }) : x], {
      attrs: { to: FLOAT },
      size: x.size,
    });
  }),
  use("CastLike of computed numbers", (b) => {
    const x = spread(b);
    const y = b.node("CastLike", [x, b.integers([0])], { size: x.size });
    b.node("CastLike", [y, b.weights([1])], { size: x.size });
  }),
  onIntegers("Mod", (b) => b.pick([3, -3, 5, 8])),
  onIntegers(
    "Mod",
    (b) => b.int(2, 6),
    () => ({ fmod: 1 }),
  ),
  onIntegers("Div", (b) => b.pick([3, -7, 8])),
  onIntegers("Sub", (b) => b.int(-9, 9)),
  use(
    "Mod of real numbers",
    (b) => void b.node("Mod", [spread(b), b.floats([], [b.pick([0.75, 1.5])])], { attrs: { fmod: 1 }, size: 2 }),
  ),
  ...["BitwiseAnd", "BitwiseOr", "BitwiseXor"].map((name) =>
    onIntegers(
      name,
      (b) => b.int(0, 255),
      () => ({}),
      UINT8,
    ),
  ),
  use("BitwiseNot", (b) => {
    const x = whole(b, UINT8);
    b.node("Cast", [b.node("BitwiseNot", [x], { kind: "index", size: 255 })], { attrs: { to: FLOAT }, size: 255 });
  }),
  onIntegers(
    "BitShift",
    (b) => b.int(1, 3),
    (b) => ({ direction: b.pick(["LEFT", "RIGHT"]) }),
    UINT8,
  ),
  ...["IsInf", "IsNaN"].map((name) =>
    use(name, (b) => {
      const x = real(b);
      b.node("Where", [b.node(name, [x]), b.floats([], [1]), x]);
    }),
  ),
];

// --- functions

const within = (name: string, limit: number, size: number): Use =>
  use(
    name,
    (b) =>
      void b.node(name, [b.node("Clip", [real(b), b.floats([], [-limit]), b.floats([], [limit])], { size: limit })], {
        size,
      }),
  );
const functions: Use[] = [
  ...["Sin", "Cos"].map((name) =>
    use(name, (b) => void b.node(name, [b.chance(0.5) ? spread(b) : real(b)], { size: 1 })),
  ),
  within("Tan", 1.25, 3),
  within("Asin", 0.9375, 1.5),
  within("Acos", 0.9375, 3),
  within("Atanh", 0.9375, 2),
  within("Sinh", 2, 4),
  within("Cosh", 2, 4),
  ...["Atan", "Asinh"].map((name) =>
    use(name, (b) => {
      const x = real(b);
      b.node(name, [x], { size: Math.max(1.6, Math.log2(1 + x.size)) });
    }),
  ),
  use("Acosh", (b) => {
    const x = real(b);
    b.node("Acosh", [b.node("Add", [b.node("Abs", [x]), b.floats([], [1.125])], { size: x.size + 1.125 })], {
      size: 2 + Math.log2(1 + x.size),
    });
  }),
  use(
    "Pow of fractions",
    (b) =>
      void b.node("Pow", [positive(b, bounded(b, real(b), 4)), b.floats([], [b.pick([1.5, 2 / 3, -0.5, -0.75])])], {
        size: 16,
      }),
  ),
  use(
    "Shrink",
    (b) =>
      void b.node("Shrink", [real(b)], {
        attrs: { lambd: { float: b.pick([0.5, 0.8]) }, bias: { float: b.pick([0, 0.3]) } },
      }),
  ),
  use("Hardmax", (b) => {
    const x = ranked(b, b.int(2, 3));
    b.node("Hardmax", [x], { attrs: { axis: axisOf(b, x.shape) }, size: 1 });
  }),
  use(
    "LRN",
    (b) =>
      void b.node("LRN", [ranked(b, 4)], {
        attrs: { size: b.pick([1, 3]), alpha: { float: 0.3 }, beta: { float: 0.75 }, bias: { float: 1.5 } },
      }),
  ),
  use("MeanVarianceNormalization", (b) => {
    const x = ranked(b, 4);
    if (count(x.shape.slice(2)) > 1) b.node("MeanVarianceNormalization", [x], { attrs: { axes: [0, 2, 3] }, size: 6 });
  }),
  use("CumProd", (b) => {
    const x = bounded(b, real(b), 1);
    if (x.shape.length > 0)
      b.node("CumProd", [x, b.integers([axisOf(b, x.shape)], [])], {
        attrs: { exclusive: b.int(0, 1), reverse: b.int(0, 1) },
        size: 1,
      });
  }),
];

// --- volumes

const volume = (b: ModelBuilder): Tensor => {
  const x = ranked(b, 4, (s) => s[1]! <= 3);
  const [, c, h, w] = x.shape as [number, number, number, number];
  return c % 2 === 0
    ? b.node("Reshape", [x, b.integers([1, 1, c, h, w])])
    : b.node("Reshape", [x, b.integers([1, c, 1, h, w])]);
};
function windowOf(b: ModelBuilder, x: Tensor): Attributes & { readonly kernel_shape: readonly number[] } {
  const kernel = x.shape.slice(2).map((n) => Math.min(n, b.int(1, 2)));
  return {
    kernel_shape: kernel,
    strides: kernel.map(() => b.int(1, 2)),
    pads: [...kernel, ...kernel].map((k) => (b.chance(0.6) ? 0 : k - 1)),
  };
}
const volumes: Use[] = [
  use("Conv of a volume", (b) => {
    const x = volume(b);
    const attrs = windowOf(b, x);
    const fan = x.shape[1]! * count(attrs.kernel_shape);
    b.node("Conv", [x, b.weights([2, x.shape[1]!, ...attrs.kernel_shape]), b.weights([2])], {
      attrs,
      size: fan * x.size + 1,
    });
  }),
  use("ConvTranspose of a volume", (b) => {
    const x = volume(b);
    b.node("ConvTranspose", [x, b.weights([x.shape[1]!, 1, 1, 2, 2])], {
      attrs: { kernel_shape: [1, 2, 2], strides: [1, 1, b.int(1, 2)] },
      size: 4 * x.shape[1]! * x.size,
    });
  }),
  ...["MaxPool", "AveragePool"].map((name) =>
    use(`${name} of a volume`, (b) => {
      const x = volume(b);
      b.node(name, [x], {
        attrs: { ...windowOf(b, x), ...(name === "AveragePool" && { count_include_pad: b.int(0, 1) }) },
      });
    }),
  ),
  use("GlobalAveragePool of a volume", (b) => void b.node("GlobalAveragePool", [volume(b)])),
  use("LpPool of any order", (b) => {
    const x = bounded(b, ranked(b, 4), 3);
    const attrs = windowOf(b, x);
    b.node("LpPool", [x], { attrs: { ...attrs, p: 3 }, size: x.size * count(attrs.kernel_shape) });
  }),
];

// --- moves

const moves: Use[] = [
  use("GatherND", (b) => {
    const x = ranked(b, 3);
    const n = b.int(1, 3);
    const deep = b.int(2, 3);
    b.node("GatherND", [
      x,
      b.integers(Array.from({ length: n }, () => x.shape.slice(0, deep).map((m) => b.int(-m, m - 1))).flat(), [
        n,
        deep,
      ]),
    ]);
  }),
  use("ScatterND", (b) => {
    const x = ranked(b, 2);
    const reduction = b.pick(["none", "add", "max", "min"]);
    const n = b.int(1, Math.min(3, last(x)));
    // Without a reduction each place is written once.
    const at =
      reduction === "none" ? Array.from({ length: n }, (_, i) => [0, i]) : choose(b, n, last(x)).map((i) => [0, i]);
    const updates = b.chance(0.5)
      ? b.weights([n])
      : b.node("Reshape", [b.node("Slice", [x, b.integers([0]), b.integers([n]), b.integers([1])]), b.integers([n])]);
    b.node("ScatterND", [x, b.integers(at.flat(), [n, 2]), updates], {
      attrs: { reduction },
      size: (n + 1) * Math.max(1, x.size),
    });
  }),
  use("ScatterElements", (b) => {
    const x = ranked(b, b.int(2, 3));
    const axis = axisOf(b, x.shape);
    const n = x.shape[wrap(axis, x.shape.length)]!;
    const shape = x.shape.map((m, d) => (d === wrap(axis, x.shape.length) ? 1 : m));
    b.node("ScatterElements", [x, b.integers(choose(b, count(shape), n, -n), shape), b.weights(shape)], {
      attrs: { axis, reduction: b.pick(["none", "add", "mul", "max"]) },
      size: x.size + 1,
    });
  }),
  use("ReverseSequence", (b) => {
    const x = ranked(b, 3);
    b.node("ReverseSequence", [x, b.integers([b.int(1, x.shape[1]!)])], { attrs: { batch_axis: 0, time_axis: 1 } });
  }),
  use("Compress", (b) => {
    const x = ranked(b, b.int(2, 3));
    const axis = b.int(1, x.shape.length - 1);
    b.node(
      "Compress",
      [
        x,
        b.codes(
          "bool",
          [x.shape[axis]!],
          x.shape
            .slice(axis, axis + 1)
            .flatMap((n) => Array.from({ length: n }, (_, i) => (i === 0 ? 1 : b.int(0, 1)))),
        ),
      ],
      { attrs: { axis } },
    );
  }),
  use("CenterCropPad", (b) => {
    const x = ranked(b, 3);
    b.node("CenterCropPad", [x, b.integers([b.int(1, 5), b.int(1, 5)])], { attrs: { axes: [1, 2] } });
  }),
  use("EyeLike", (b) => {
    const x = ranked(b, 2);
    b.node("Add", [x, b.constantNode("EyeLike", [x], { k: b.int(0, 1), dtype: FLOAT })], { size: x.size + 1 });
  }),
  use("NonZero", (b) => {
    const x = ranked(b, 2);
    const mask = Array.from({ length: last(x) }, (_, i) => (i === 0 ? 1 : b.int(0, 1)));
    b.node(
      "Gather",
      [x, b.constantNode("Reshape", [b.constantNode("NonZero", [b.floats([mask.length], mask)]), b.integers([-1])])],
      { attrs: { axis: 1 } },
    );
  }),
  use("Einsum of a diagonal", (b) => {
    const x = ranked(b, 2);
    const n = last(x);
    const square = b.node("Einsum", [x, x], { attrs: { equation: "bi,bj->bij" }, size: x.size ** 2 });
    b.node("Einsum", [square], { attrs: { equation: b.pick(["bii->bi", "bii->b"]) }, size: n * x.size ** 2 });
  }),
  use("Pad with negative pads", (b) => {
    const x = ranked(b, 2, (s) => s[1]! >= 3);
    b.node("Pad", [x, b.integers([0, b.pick([-1, 1]), b.int(0, 1), -1]), b.floats([], [0.5])], {
      attrs: { mode: "constant" },
    });
  }),
  use("Col2Im", (b) => {
    const x = ranked(b, 3, (s) => s[1]! % 2 === 0);
    const blocks = x.shape[2]!;
    b.node("Col2Im", [x, b.integers([1, blocks + 1]), b.integers([1, 2])], { size: 2 * x.size });
  }),
];

// --- resampling and spectra

const sampling: Use[] = [
  use("Resize by cubic filters", (b) => {
    const x = ranked(b, 4, (s) => s[2]! >= 2 && s[3]! >= 2);
    const [h, w] = [x.shape[2]!, x.shape[3]!];
    const attrs = b.pick<Attributes>([
      { mode: "cubic", exclude_outside: b.int(0, 1) },
      { mode: "linear", antialias: 1 },
      { mode: "cubic", antialias: 1 },
    ]);
    b.node("Resize", [x, "", "", b.integers([1, x.shape[1]!, b.pick([h, h + 1]), b.pick([w - 1, w + 2])])], {
      attrs: { ...attrs, coordinate_transformation_mode: b.pick(["half_pixel", "asymmetric", "align_corners"]) },
      size: 2 * x.size,
    });
  }),
  use("Resize of a region", (b) => {
    const x = ranked(b, 4);
    b.node("Resize", [x, b.floats([8], [0, 0, 0.2, -0.2, 1, 1, 0.9, 0.7]), "", b.integers([1, x.shape[1]!, 2, 3])], {
      attrs: {
        mode: "linear",
        coordinate_transformation_mode: "tf_crop_and_resize",
        extrapolation_value: { float: 0.75 },
      },
    });
  }),
  use("GridSample", (b) => {
    const x = ranked(b, 4);
    b.node("GridSample", [x, b.weights([1, 2, 2, 2], 1.1)], {
      attrs: {
        mode: b.pick(["linear", "nearest", "cubic"]),
        padding_mode: b.pick(["zeros", "border", "reflection"]),
        align_corners: b.int(0, 1),
      },
      size: 2 * x.size,
    });
  }),
  use("AffineGrid", (b) => {
    const x = ranked(b, 2);
    const theta = b.node("Reshape", [
      b.node("MatMul", [x, b.weights([last(x), 6], 0.5)], { size: last(x) * x.size }),
      b.integers([1, 2, 3]),
    ]);
    b.node("AffineGrid", [theta, b.integers([1, 1, 2, 3])], {
      attrs: { align_corners: b.int(0, 1) },
      size: 3 * theta.size,
    });
  }),
  use("RoiAlign", (b) => {
    const x = ranked(b, 4);
    b.node("RoiAlign", [x, b.floats([1, 4], [0.25, 0.5, x.shape[3]!, x.shape[2]!]), b.integers([0])], {
      attrs: { output_height: 2, output_width: 2, sampling_ratio: b.int(1, 2) },
    });
  }),
  use("DFT", (b) => {
    const x = ranked(b, 2);
    const n = last(x);
    b.node("DFT", [b.node("Reshape", [x, b.integers([1, n, 1])]), "", b.integers([1], [])], {
      attrs: { onesided: b.int(0, 1) },
      size: n * x.size,
    });
  }),
  use("STFT", (b) => {
    const x = ranked(b, 2, (s) => s[1]! >= 4);
    const n = last(x);
    const window = b.constantNode(b.pick(["HannWindow", "HammingWindow", "BlackmanWindow"]), [b.integers([4], [])]);
    b.node("STFT", [b.node("Reshape", [x, b.integers([1, n, 1])]), b.integers([2], []), window], { size: 4 * x.size });
  }),
  ...["HannWindow", "HammingWindow", "BlackmanWindow"].map((name) =>
    use(name, (b) => {
      const x = ranked(b, 2);
      b.node("Mul", [
        x,
        b.constantNode(name, [b.integers([last(x)], [])], { periodic: last(x) === 1 ? 1 : b.int(0, 1) }),
      ]);
    }),
  ),
  use("MelWeightMatrix", (b) => {
    const x = ranked(b, 2, (s) => s[1]! >= 3);
    const n = last(x);
    const mel = b.constantNode("MelWeightMatrix", [
      b.integers([2], []),
      b.integers([2 * n - 2], []),
      b.integers([8000], []),
      b.floats([], [100]),
      b.floats([], [3900]),
    ]);
    b.node("MatMul", [x, mel], { size: n * x.size });
  }),
];

export const numberUses: readonly Use[] = [...integers, ...functions, ...volumes, ...moves, ...sampling];
