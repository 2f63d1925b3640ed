/**
 * Random quantized networks as converters and quantizers write them: QDQ around float operators, QLinear operators, and
 * Integer operators with a scale and a float bias behind them; every zero point, type of input and weight, per tensor
 * and per channel.
 */
import { floats, integers, node, onnx, weights } from "../frontend/support.js";

export type CodeType = "int8" | "uint8" | "int16" | "uint16";
const LIMITS: Readonly<Record<CodeType, readonly [number, number]>> = {
  uint8: [0, 255],
  int8: [-128, 127],
  uint16: [0, 65535],
  int16: [-32768, 32767],
};
const ELEMENT: Readonly<Record<string, number>> = { float: 1, uint8: 2, int8: 3, uint16: 4, int16: 5, int32: 6 };
const MICROSOFT = "com.microsoft";

/** Integers with a scale and a zero point. */
interface Codes {
  readonly q: string;
  readonly type: CodeType;
  readonly scale: string;
  readonly zero: string;
  readonly shape: readonly number[];
  /** Bound of the real numbers, roughly. */
  readonly size: number;
}

type Attrs = Readonly<Record<string, number | readonly number[] | string | { readonly float: number }>>;

function attribute(name: string, v: Attrs[string]): object {
  if (typeof v === "number") return { name, type: 2, i: v };
  if (typeof v === "string") return { name, type: 3, s: new TextEncoder().encode(v) };
  return "float" in v ? { name, type: 1, f: v.float } : { name, type: 7, ints: v };
}

const count = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

export interface RandomQuantized {
  readonly bytes: Uint8Array;
  readonly operators: readonly string[];
}

export function randomQuantized(rnd: () => number, wide: boolean): RandomQuantized {
  return new Generator(rnd, wide).network();
}

class Generator {
  private readonly nodes: object[] = [];
  private readonly initializers: object[] = [];
  private readonly operators: string[] = [];
  private names = 0;

  constructor(
    private readonly rnd: () => number,
    private readonly wide: boolean,
  ) {}

  private int(lo: number, hi: number): number {
    return lo + Math.floor(this.rnd() * (hi - lo + 1));
  }
  private pick<T>(list: readonly T[]): T {
    return list[this.int(0, list.length - 1)]!;
  }
  private chance(p: number): boolean {
    return this.rnd() < p;
  }

  // --- constants and nodes

  private fresh(): string {
    return `v${this.names++}`;
  }
  private floats(shape: readonly number[], data: readonly number[]): string {
    const name = this.fresh();
    this.initializers.push(weights(name, shape, data));
    return name;
  }
  private codes(type: string, shape: readonly number[], data: readonly number[]): string {
    const name = this.fresh();
    this.initializers.push({ name, dims: shape, dataType: ELEMENT[type], int32Data: data });
    return name;
  }
  private ints(data: readonly number[]): string {
    const name = this.fresh();
    this.initializers.push(integers(name, [data.length], data));
    return name;
  }
  private op(opType: string, inputs: readonly string[], attrs: Attrs = {}, domain = ""): string {
    const name = this.fresh();
    this.operators.push(opType);
    this.nodes.push({
      ...node(
        opType,
        inputs,
        [name],
        `${opType}_${this.nodes.length}`,
        Object.entries(attrs).map(([k, v]) => attribute(k, v)),
      ),
      domain,
    });
    return name;
  }

  private type(): CodeType {
    return this.wide
      ? this.pick<CodeType>(["int8", "uint8", "int16", "uint16"])
      : this.pick<CodeType>(["int8", "uint8"]);
  }
  /**
   * Any zero point of the type, at its limits and in the middle more often; scales that use the type, now and then
   * powers of two.
   */
  private scaled(size: number, type: CodeType, nonNegative = false): { scale: string; zero: string } {
    const [lo, hi] = LIMITS[type];
    const step = ((nonNegative ? 1 : 2) * size * (0.4 + 0.5 * this.rnd())) / (hi - lo);
    const z = nonNegative
      ? lo
      : this.pick([
          lo,
          hi,
          Math.ceil((lo + hi) / 2),
          0 < lo ? lo : 0,
          this.int(lo, hi),
          this.int(lo, hi),
          Math.round((lo + hi) / 2) + this.int(-20, 20),
        ]);
    return {
      scale: this.floats([], [this.chance(0.3) ? 2 ** Math.round(Math.log2(step)) : step]),
      zero: this.codes(type, [], [z]),
    };
  }
  private dq(c: Codes): string {
    return this.op("DequantizeLinear", [c.q, c.scale, c.zero]);
  }
  private quantize(x: string, shape: readonly number[], size: number, nonNegative = false): Codes {
    const type = this.type();
    const s = this.scaled(size, type, nonNegative && this.chance(0.6));
    return { q: this.op("QuantizeLinear", [x, s.scale, s.zero]), type, ...s, shape, size };
  }

  /** Weights with their scale and zero point, which is one for all unless it is 0. */
  private weight(
    shape: readonly number[],
    axis: number,
    onlyTensor = false,
    type: CodeType = this.pick<CodeType>(["int8", "int8", "uint8"]),
  ): { q: string; scale: string; zero: string; scales: number[]; perChannel: boolean; type: CodeType } {
    const [lo, hi] = LIMITS[type];
    const q = this.codes(
      type,
      shape,
      Array.from({ length: count(shape) }, () => this.int(lo, hi)),
    );
    const perChannel = !onlyTensor && this.chance(0.5);
    const n = perChannel ? shape[axis]! : 1;
    const scales = Array.from({ length: n }, () =>
      Math.fround(this.chance(0.2) ? 2 ** -this.int(6, 9) : 0.002 + 0.01 * this.rnd()),
    );
    const z = type === "uint8" ? this.int(100, 150) : this.chance(0.6) ? 0 : this.int(-20, 20);
    return {
      q,
      scale: this.floats(perChannel ? [n] : [], scales),
      zero: this.codes(type, perChannel ? [n] : [], new Array<number>(n).fill(z)),
      scales,
      perChannel,
      type,
    };
  }
  private valueOf(name: string): number {
    return (this.initializers.find((i) => (i as { name: string }).name === name) as { floatData: number[] })
      .floatData[0]!;
  }

  // --- layers

  private activation(x: string, shape: readonly number[], size: number): Codes {
    const kind = this.int(0, 3);
    if (kind === 0) return this.quantize(this.op("Relu", [x]), shape, size, true);
    if (kind === 1)
      return this.quantize(
        this.op("Clip", [x, this.floats([], [0]), this.floats([], [6])]),
        shape,
        Math.min(6, size),
        true,
      );
    return this.quantize(x, shape, size);
  }

  private conv(c: Codes): Codes {
    const [, channels, h, w] = c.shape as [number, number, number, number];
    const depthwise = this.chance(0.3);
    const out = depthwise ? channels * this.int(1, 2) : this.int(1, 4);
    const group = depthwise ? channels : 1;
    const kernel = [Math.min(h, this.int(1, 3)), Math.min(w, this.int(1, 3))];
    const pads = [...kernel, ...kernel].map((k) => (this.chance(0.5) ? 0 : this.int(0, k - 1)));
    const strides = [this.int(1, 2), this.int(1, 2)];
    const shape = [
      1,
      out,
      ...[h, w].map((n, d) => Math.floor((n + pads[d]! + pads[d + 2]! - kernel[d]!) / strides[d]!) + 1),
    ];
    const terms = (channels / group) * count(kernel);
    const attrs: Attrs = { kernel_shape: kernel, pads, strides, group };
    const form = this.wideInput(c) ? 0 : this.int(0, 3);
    // ONNX Runtime has no kernel for int8 times uint8.
    const k = this.weight(
      [out, channels / group, ...kernel],
      0,
      form === 3,
      ...(form === 2 && c.type === "int8" ? ["int8" as const] : []),
    );
    const size = Math.max(0.05, Math.sqrt(terms) * c.size * Math.max(...k.scales) * 60);
    const sx = this.valueOf(c.scale);
    const biasCodes = (): string =>
      this.codes(
        "int32",
        [out],
        Array.from({ length: out }, () => this.int(-3000, 3000)),
      );
    if (form === 2) {
      const y = this.scaled(size, c.type);
      const bias = this.chance(0.6) ? [biasCodes()] : [];
      return {
        q: this.op("QLinearConv", [c.q, c.scale, c.zero, k.q, k.scale, k.zero, y.scale, y.zero, ...bias], attrs),
        type: c.type,
        ...y,
        shape,
        size,
      };
    }
    if (form === 3 && !depthwise) {
      const acc = this.op("Cast", [this.op("ConvInteger", [c.q, k.q, c.zero, k.zero], attrs)], { to: 1 });
      const y = this.op("Mul", [acc, this.floats([], [sx * k.scales[0]!])]);
      return this.activation(
        this.op("Add", [
          y,
          this.floats(
            [1, out, 1, 1],
            Array.from({ length: out }, () => size * (this.rnd() - 0.5)),
          ),
        ]),
        shape,
        size,
      );
    }
    const bias = this.pick(["none", "integers", "real"]);
    const inputs = [this.dq(c), this.op("DequantizeLinear", [k.q, k.scale, k.zero], { axis: 0 })];
    if (bias === "integers")
      inputs.push(
        this.op(
          "DequantizeLinear",
          [
            biasCodes(),
            this.floats(
              [out],
              Array.from({ length: out }, (_, i) => Math.fround(sx * k.scales[k.perChannel ? i : 0]!)),
            ),
            this.codes("int32", [out], new Array<number>(out).fill(0)),
          ],
          { axis: 0 },
        ),
      );
    if (bias === "real")
      inputs.push(
        this.floats(
          [out],
          Array.from({ length: out }, () => size * (this.rnd() - 0.5)),
        ),
      );
    return this.activation(this.op("Conv", inputs, attrs), shape, size);
  }

  private wideInput(c: Codes): boolean {
    return c.type === "int16" || c.type === "uint16";
  }

  private dense(c: Codes): Codes {
    const rank = c.shape.length;
    const k = c.shape[rank - 1]!;
    const n = this.int(1, 6);
    const shape = [...c.shape.slice(0, -1), n];
    const form = this.wideInput(c) ? 0 : this.int(0, 3);
    const w = this.weight([k, n], 1, form >= 2, ...(form === 2 && c.type === "int8" ? ["int8" as const] : []));
    const size = Math.max(0.05, Math.sqrt(k) * c.size * Math.max(...w.scales) * 60);
    const sx = this.valueOf(c.scale);
    if (form === 2) {
      const y = this.scaled(size, c.type);
      return {
        q: this.op("QLinearMatMul", [c.q, c.scale, c.zero, w.q, w.scale, w.zero, y.scale, y.zero]),
        type: c.type,
        ...y,
        shape,
        size,
      };
    }
    if (form === 3) {
      const acc = this.op("Cast", [this.op("MatMulInteger", [c.q, w.q, c.zero, w.zero])], { to: 1 });
      const y = this.op("Mul", [acc, this.floats([], [sx * w.scales[0]!])]);
      return this.activation(
        this.op("Add", [
          y,
          this.floats(
            [n],
            Array.from({ length: n }, () => size * (this.rnd() - 0.5)),
          ),
        ]),
        shape,
        size,
      );
    }
    const weightsReal = this.op("DequantizeLinear", [w.q, w.scale, w.zero], { axis: 1 });
    const scales = Array.from({ length: n }, (_, i) => Math.fround(sx * w.scales[w.perChannel ? i : 0]!));
    const bias = this.op(
      "DequantizeLinear",
      [
        this.codes(
          "int32",
          [n],
          Array.from({ length: n }, () => this.int(-3000, 3000)),
        ),
        this.floats([n], scales),
        this.codes("int32", [n], new Array<number>(n).fill(0)),
      ],
      { axis: 0 },
    );
    if (rank === 2 && this.chance(0.4))
      return this.activation(this.op("Gemm", [this.dq(c), weightsReal, bias]), shape, size);
    const y = this.op("MatMul", [this.dq(c), weightsReal]);
    return this.activation(this.chance(0.5) ? this.op("Add", [y, bias]) : y, shape, size);
  }

  private pair(c: Codes, others: readonly Codes[]): Codes {
    const d = this.pick([c, ...others.filter((o) => o.shape.join() === c.shape.join())]);
    const kind = this.pick(["Add", "Mul", "Concat", "Add", "Sub"]);
    const size =
      kind === "Mul"
        ? Math.max(0.05, c.size * d.size * 0.6)
        : kind === "Concat"
          ? Math.max(c.size, d.size)
          : c.size + d.size;
    const axis = c.shape.length - 1;
    const shape = kind === "Concat" ? [...c.shape.slice(0, axis), 2 * c.shape[axis]!] : c.shape;
    if ((kind === "Add" || kind === "Mul") && !this.wideInput(c) && c.type === d.type && this.chance(0.3)) {
      const y = this.scaled(size, c.type);
      return {
        q: this.op(`QLinear${kind}`, [c.q, c.scale, c.zero, d.q, d.scale, d.zero, y.scale, y.zero], {}, MICROSOFT),
        type: c.type,
        ...y,
        shape,
        size,
      };
    }
    return this.activation(this.op(kind, [this.dq(c), this.dq(d)], kind === "Concat" ? { axis } : {}), shape, size);
  }

  /** The product of a tensor with itself, transposed. */
  private product(c: Codes): Codes {
    const [m, k] = c.shape.slice(-2) as [number, number];
    const perm = [...c.shape.keys()];
    perm.push(...perm.splice(-2).reverse());
    const size = Math.max(0.05, Math.sqrt(k) * c.size * c.size * 0.5);
    return this.quantize(
      this.op("MatMul", [this.dq(c), this.op("Transpose", [this.dq(c)], { perm })]),
      [...c.shape.slice(0, -2), m, m],
      size,
    );
  }

  private spatial(c: Codes): Codes {
    const [n, ch, h, w] = c.shape as [number, number, number, number];
    const kernel = [Math.min(2, h), Math.min(2, w)];
    const pads = kernel.flatMap(() => [0, 0]).map(() => (this.chance(0.3) && h > 1 && w > 1 ? 1 : 0));
    const shape = [n, ch, ...[h, w].map((s, d) => s + pads[d]! + pads[d + 2]! - kernel[d]! + 1)];
    switch (this.int(0, 5)) {
      case 0:
        return this.quantize(this.op("MaxPool", [this.dq(c)], { kernel_shape: kernel, pads }), shape, c.size);
      case 1:
        return this.quantize(
          this.op("AveragePool", [this.dq(c)], { kernel_shape: kernel, pads, count_include_pad: this.int(0, 1) }),
          shape,
          c.size,
        );
      case 2:
        return this.quantize(this.op("GlobalAveragePool", [this.dq(c)]), [n, ch, 1, 1], c.size);
      case 3:
        return this.quantize(
          this.op("Pad", [this.dq(c), this.ints([0, 0, 1, 0, 0, 0, 0, 1])]),
          [n, ch, h + 1, w + 1],
          c.size,
        );
      case 4:
        return this.quantize(
          this.op("Resize", [this.dq(c), "", this.floats([4], [1, 1, 2, 2])], {
            mode: "nearest",
            nearest_mode: "floor",
            coordinate_transformation_mode: "asymmetric",
          }),
          [n, ch, 2 * h, 2 * w],
          c.size,
        );
      default: {
        // A layout in which channels come last, as converters from TensorFlow leave it between their nodes.
        const last = this.op("Transpose", [c.q], { perm: [0, 2, 3, 1] });
        return { ...c, q: last, shape: [n, h, w, ch] };
      }
    }
  }

  private alone(c: Codes): Codes {
    if (this.wideInput(c))
      return this.chance(0.5)
        ? this.quantize(this.op("Softmax", [this.dq(c)], { axis: -1 }), c.shape, 1, true)
        : this.activation(this.dq(c), c.shape, c.size);
    switch (this.int(0, 6)) {
      case 0:
        return this.quantize(this.op("Sigmoid", [this.dq(c)]), c.shape, 1, true);
      case 1:
        return this.quantize(this.op("Softmax", [this.dq(c)], { axis: -1 }), c.shape, 1, true);
      case 2:
        return this.quantize(this.op("LeakyRelu", [this.dq(c)], { alpha: { float: 0.1 } }), c.shape, c.size);
      case 3:
        return this.quantize(this.op("Tanh", [this.dq(c)]), c.shape, 1);
      case 4:
        return this.inverse(c);
      case 5: {
        // ONNX Runtime's kernel overflows with fewer elements, and then returns 0.
        if (c.shape.at(-1)! < 5) return this.inverse(c);
        const y = this.scaled(1, c.type, true);
        return {
          q: this.op("QLinearSoftmax", [c.q, c.scale, c.zero, y.scale, y.zero], { axis: -1, opset: 21 }, MICROSOFT),
          type: c.type,
          ...y,
          shape: c.shape,
          size: 1,
        };
      }
      default:
        return this.activation(this.dq(c), c.shape, c.size);
    }
  }

  /** The reciprocal of a sum of numbers that are not negative; 0 occurs. */
  private inverse(c: Codes): Codes {
    const s = this.scaled(c.size, "uint8", true);
    const positive = this.op("DequantizeLinear", [
      this.op("QuantizeLinear", [this.op("Relu", [this.dq(c)]), s.scale, s.zero]),
      s.scale,
      s.zero,
    ]);
    const sum = this.op("ReduceSum", [positive, this.ints([-1])], { keepdims: 1 });
    const shape = [...c.shape.slice(0, -1), 1];
    return this.quantize(this.op("Reciprocal", [sum]), shape, 8 / (c.size * c.shape.at(-1)!), true);
  }

  network(): RandomQuantized {
    const image = this.chance(0.6);
    const shape = image
      ? [1, this.int(1, 3), this.int(3, 5), this.int(3, 5)]
      : [this.chance(0.5) ? 1 : 2, this.int(2, 9)];
    const real = this.chance(0.4);
    let x: Codes;
    let inputType = "float";
    if (real) x = this.quantize("x", shape, 3);
    else {
      const type = this.type();
      inputType = type;
      x = { q: "x", type, ...this.scaled(3, type), shape, size: 3 };
    }
    const seen: Codes[] = [];
    for (let layers = this.int(2, 4); layers > 0; layers--) {
      seen.push(x);
      const choice = this.int(0, 9);
      if (choice < 5) x = x.shape.length === 4 && this.chance(0.8) ? this.conv(x) : this.dense(x);
      else if (choice < 7) x = this.pair(x, seen);
      else if (choice === 7 && x.shape.length === 4) x = this.spatial(x);
      else if (choice === 8 && !this.wideInput(x)) x = this.product(x);
      else x = this.alone(x);
      if (x.shape.length === 4 && this.chance(0.15))
        x = { ...x, q: this.op("Reshape", [x.q, this.ints([1, -1])]), shape: [1, count(x.shape)] };
    }
    const asReal = this.chance(0.4);
    const y = asReal ? this.dq(x) : this.op("Identity", [x.q]);
    const bytes = onnx({
      opset: 21,
      domains: [MICROSOFT],
      node: this.nodes,
      initializer: this.initializers,
      input: [floats("x", shape, ELEMENT[inputType])],
      output: [floats(y, x.shape, asReal ? 1 : ELEMENT[x.type])],
    });
    return { bytes, operators: this.operators };
  }
}
