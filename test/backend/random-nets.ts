/**
 * Small random networks in fixed point, from a seed: windows with padding and strides, forks and joins, views,
 * reductions.
 */
import { Block, Builder, Module, Op, type Value } from "../../src/ir/core.js";
import { allocate, Dense, type Attr } from "../../src/ir/attributes.js";
import { lookupOp } from "../../src/ir/define-op.js";
import { mulberry32 as random } from "../../src/driver/evaluate.js";
import "../../src/ir/dialects.js";
import { elementCount, fixed, rawRange, tensor, ufixed, type FixedType, type TensorType } from "../../src/ir/types.js";

export type Random = () => number;
export { random };

export function randomNetwork(seed: number): Module {
  const rnd = random(seed);
  const int = (lo: number, hi: number): number => lo + Math.floor(rnd() * (hi - lo + 1));
  const pick = <T>(list: readonly T[]): T => list[int(0, list.length - 1)]!;
  const module = new Module(`net${seed}`);
  const block = new Block();
  const b = new Builder(block);
  let nodes = 0;
  const shape = (v: Value): readonly number[] => (v.type as TensorType).shape;
  const elem = (v: Value): FixedType => (v.type as TensorType).elem as FixedType;
  const emit = (name: string, operands: readonly Value[], attrs: Record<string, Attr> = {}): Value => {
    b.loc = { nodes: [`n${nodes++}_${name.slice(3)}`] };
    const op = b.create(name, operands, [tensor([1], fixed(1, 0))], attrs);
    op.result.type = lookupOp(name)!.inferTypes!(op)[0]!;
    return op.result;
  };
  const quantize = (v: Value): Value => {
    const e = elem(v);
    const width = int(4, 8);
    const type = e.signed
      ? fixed(width, e.frac - Math.max(0, e.width - width - 1))
      : ufixed(width, e.frac - Math.max(0, e.width - width - 1));
    b.loc = { nodes: [`n${nodes++}_quantize`] };
    return b.value("nn.quantize", [v], tensor(shape(v), type), {
      rounding: pick(["half-up", "half-even", "floor"]),
      overflow: pick(["saturate", "saturate", "wrap"]),
    });
  };
  const constant = (dims: readonly number[], type: FixedType): Value => {
    const { lo, hi } = rawRange(type);
    const data = allocate(type, elementCount(dims));
    for (let i = 0; i < data.length; i++) data[i] = rnd() < 0.2 ? 0 : int(lo, hi);
    return b.value("nn.constant", [], tensor(dims, type), { value: new Dense(dims, type, data) });
  };
  const conv = (x: Value): Value => {
    const s = shape(x);
    const spatial = s.slice(2);
    const group = s[1]! % 2 === 0 && rnd() < 0.25 ? 2 : 1;
    const kernel = spatial.map((n) => Math.min(n, int(1, 3)));
    const pads = [...kernel, ...kernel].map((k) => (rnd() < 0.5 ? 0 : int(0, k - 1)));
    const out = group * int(1, 3);
    const w = constant([out, s[1]! / group, ...kernel], fixed(int(2, 5), 3));
    const frac = elem(x).frac + 3;
    return emit("nn.conv", [x, w, constant([out], fixed(8, frac))], {
      strides: spatial.map(() => pick([1, 1, 2])),
      pads,
      dilations: kernel.map(() => 1),
      group,
    });
  };
  const steps: ((x: Value) => Value)[] = [
    conv,
    conv,
    (x) => emit("nn.relu", [x]),
    (x) => emit("nn.leaky_relu", [x], { slope: 0.25, slope_raw: 1, slope_frac: 2 }),
    (x) =>
      emit("nn.add", [x, constant([shape(x)[1]!, 1, ...(shape(x).length === 4 ? [1] : [])], fixed(6, elem(x).frac))]),
    // A fork whose branches meet again.
    (x) => {
      const y = emit(
        "nn.conv",
        [
          x,
          constant(
            [
              shape(x)[1]!,
              shape(x)[1]!,
              ...shape(x)
                .slice(2)
                .map(() => 1),
            ],
            fixed(4, 2),
          ),
        ],
        {
          strides: shape(x)
            .slice(2)
            .map(() => 1),
          pads: [...shape(x).slice(2), ...shape(x).slice(2)].map(() => 0),
          dilations: shape(x)
            .slice(2)
            .map(() => 1),
          group: 1,
        },
      );
      return emit("nn.add", [quantize(y), x]);
    },
    (x) => {
      const s = shape(x).slice(2);
      const kernel = s.map((n) => Math.min(n, 2));
      return emit("nn.pool", [x], {
        kind: pick(["max", "sum"]),
        kernel,
        strides: kernel.map((k) => pick([1, k])),
        pads: [...kernel, ...kernel].map(() => 0),
      });
    },
    (x) => emit("nn.concat", [x, emit("nn.neg", [x])], { axis: 1 }),
    // Rows and columns change places: no stream serves that.
    (x) => emit("nn.transpose", [x], { perm: shape(x).length === 4 ? [0, 1, 3, 2] : [0, 2, 1] }),
    (x) =>
      emit("nn.mul", [
        x,
        emit("nn.reduce", [x], { kind: pick(["max", "min", "sum"]), axes: [shape(x).length - 1], keepdims: true }),
      ]),
  ];
  const input = rnd() < 0.7 ? [1, int(1, 3), int(3, 6), int(3, 6)] : [1, int(1, 3), int(4, 9)];
  let x: Value = block.addArg(tensor(input, rnd() < 0.5 ? fixed(6, 3) : ufixed(5, 5)), "x");
  for (let n = int(2, 4); n > 0; n--) x = quantize(pick(steps)(x));
  if (rnd() < 0.5) {
    const flat = elementCount(shape(x));
    const v = emit("nn.reshape", [x], { shape: [1, flat] });
    x = quantize(emit("nn.matmul", [v, constant([flat, int(1, 5)], fixed(4, 3))]));
  }
  b.create("return", [x], []);
  module.body.append(
    new Op({ name: "func", attrs: { sym: module.name, inputs: ["x"], outputs: ["y"] }, regions: [block] }),
  );
  return module;
}
