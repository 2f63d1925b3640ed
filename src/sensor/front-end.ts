/**
 * What happens in front of the network as a program of nn: corrections and the predicate of a peak are ordinary
 * operations on the frame, `nn.sparsify` sends on the patches. The meaning of correct.ts and find.ts, once more, in the
 * terms that passes, interpreters and hardware have in common.
 */
import { Dense, type Attr } from "../ir/attributes.js";
import { Block, Builder, Module, Op, type Value } from "../ir/core.js";
import "../ir/dialects.js";
import { lookupOp } from "../ir/define-op.js";
import { allocate } from "../ir/attributes.js";
import { elementCount, tensor, typeOfRange, ufixed, type FixedType, type TensorType } from "../ir/types.js";
import { FLAT_FRAC, type Planes } from "./correct.js";
import { type Dispersion, type LocalMaximum, patchOffset, type Sensor, valueBits } from "./sensor.js";

/** Builds operations of which nothing has to be said but names, operands and attributes. */
class FrameBuilder {
  readonly block = new Block();
  private readonly builder = new Builder(this.block);

  constructor(readonly shape: readonly number[]) {}

  op(name: string, operands: readonly Value[], attrs: Record<string, Attr> = {}, shape = this.shape): Value {
    return this.all(name, operands, attrs, shape)[0]!;
  }
  all(name: string, operands: readonly Value[], attrs: Record<string, Attr>, shape = this.shape): readonly Value[] {
    const count = lookupOp(name)!.results.length;
    const placeholder = tensor(shape, ufixed(1, 0));
    const made = this.builder.create(name, operands, new Array<TensorType>(count).fill(placeholder), attrs);
    lookupOp(name)!
      .inferTypes?.(made)
      .forEach((t, i) => (made.results[i]!.type = t));
    return made.results;
  }
  quantize(x: Value, type: FixedType): Value {
    return this.builder.value("nn.quantize", [x], tensor(this.shape, type), {
      rounding: "half-up",
      overflow: "saturate",
    });
  }
  constant(data: ArrayLike<number>, shape: readonly number[], frac = 0): Value {
    let [lo, hi] = [0, 0];
    for (let i = 0; i < data.length; i++) [lo, hi] = [Math.min(lo, data[i]!), Math.max(hi, data[i]!)];
    const elem = typeOfRange({ lo, hi }, frac);
    const stored = allocate(elem, elementCount(shape));
    for (let i = 0; i < stored.length; i++) stored[i] = data[i]!;
    return this.builder.value("nn.constant", [], tensor(shape, elem), { value: new Dense(shape, elem, stored) });
  }
  number(value: number): Value {
    return this.constant([value], [1, 1, 1, 1]);
  }
  /** x > limit ? a : b, for whole numbers. */
  above(x: Value, limit: Value, a: Value, b: Value): Value {
    return this.op("nn.select_neg", [this.op("nn.sub", [limit, x]), a, b]);
  }
  both(...bits: readonly Value[]): Value {
    return bits.reduce((a, b) => this.quantize(this.op("nn.mul", [a, b]), ufixed(1, 0)));
  }
  arg(hint: string, elem: FixedType): Value {
    return this.block.addArg(tensor(this.shape, elem), hint);
  }
  reshape(x: Value, shape: readonly number[]): Value {
    return this.op("nn.reshape", [x], { shape: [...shape] }, shape);
  }
  end(results: readonly Value[]): void {
    this.builder.create("return", results, []);
  }
}

/** A program of a frame under construction: its pixels as they come, as they count, and where peaks are. */
interface FrameProgram {
  readonly b: FrameBuilder;
  readonly inputs: readonly string[];
  readonly pixels: Value;
  readonly values: Value;
  /** 1 where a peak is. */
  readonly peaks: Value;
}

function frameProgram(sensor: Sensor, rule: LocalMaximum, planes: Planes): FrameProgram {
  const b = new FrameBuilder([1, 1, sensor.rows, sensor.columns]);
  const pixels = b.arg("pixels", ufixed(sensor.pixelBits, 0));
  const streamed = sensor.dark.kind === "stream" ? b.arg("dark", ufixed(sensor.pixelBits, 0)) : undefined;
  const values = corrected(b, sensor, planes, pixels, streamed);
  const inputs = streamed === undefined ? ["pixels"] : ["pixels", "dark"];
  return { b, inputs, pixels, values, peaks: localMaximum(b, sensor, rule, values) };
}

function finished(name: string, { b, inputs }: FrameProgram, outputs: Readonly<Record<string, Value>>): Module {
  for (const [hint, value] of Object.entries(outputs)) value.hint = hint;
  b.end(Object.values(outputs));
  const module = new Module(name);
  const attrs = { sym: name, inputs, outputs: Object.keys(outputs) };
  module.body.append(new Op({ name: "func", attrs, regions: [b.block] }));
  return module;
}

/**
 * The front end of a sensor that finds local maxima: inputs `pixels` (and `dark`, where it is streamed), outputs
 * `patches`, `origins` and `count` (found, sent).
 *
 * @shape pixels[1,1,rows,columns] -> patches[capacity,patch,patch], origins[capacity,2], count[2]
 * @param capacity peaks of a frame that are sent
 */
export function frontEndModule(sensor: Sensor, rule: LocalMaximum, planes: Planes, capacity: number): Module {
  const p = frameProgram(sensor, rule, planes);
  const frame = [sensor.rows, sensor.columns];
  const { patch } = sensor;
  const offset = [patchOffset(sensor), patchOffset(sensor)];
  const operands = [p.b.reshape(p.peaks, frame), p.b.reshape(p.values, frame)];
  const [patches, origins, count] = p.b.all("nn.sparsify", operands, { window: [patch, patch], offset, capacity });
  return finished("front_end", p, { patches: patches!, origins: origins!, count: count! });
}

/**
 * A trigger: sends on only frames that hold at least `least` peaks. The predicate is one bit for the frame, the window
 * all of it, raw as it came; `count` says whether it was sent.
 *
 * @shape pixels[1,1,rows,columns] -> frame[1,1,1,rows,columns], origin[1,4], count[2]
 */
export function busyFramesModule(sensor: Sensor, rule: LocalMaximum, planes: Planes, least: number): Module {
  const p = frameProgram(sensor, rule, planes);
  const { b } = p;
  const whole = [1, 1, 1, 1];
  const peaks = b.op("nn.reduce", [p.peaks], { kind: "sum", axes: [0, 1, 2, 3], keepdims: true }, whole);
  const missing = b.op("nn.sub", [b.number(least - 1), peaks], {}, whole);
  const busy = b.op("nn.select_neg", [missing, b.number(1), b.number(0)], {}, whole);
  const window = [1, 1, sensor.rows, sensor.columns];
  const [frame, origin, count] = b.all("nn.sparsify", [busy, p.pixels], { window, offset: [0, 0, 0, 0], capacity: 1 });
  return finished("busy_frames", p, { frame: frame!, origin: origin!, count: count! });
}

function corrected(b: FrameBuilder, sensor: Sensor, planes: Planes, pixels: Value, streamed: Value | undefined): Value {
  const zero = b.number(0);
  const dark =
    streamed ?? (sensor.dark.kind === "number" ? b.number(sensor.dark.counts) : b.constant(planes.dark!, b.shape));
  let v = b.op("nn.relu", [b.op("nn.sub", [pixels, dark])]);
  if (planes.flat !== undefined) v = b.op("nn.mul", [v, b.constant(planes.flat, b.shape, FLAT_FRAC)]);
  v = b.quantize(v, ufixed(valueBits(sensor), 0));
  const usable =
    planes.mask === undefined
      ? undefined
      : b.constant(
          Array.from(planes.mask, (m) => (m === 0 ? 1 : 0)),
          b.shape,
        );
  if (usable !== undefined) v = b.quantize(b.op("nn.mul", [v, usable]), ufixed(valueBits(sensor), 0));
  const reached = b.above(v, b.number(sensor.threshold - 1), v, zero);
  return sensor.dispersion === undefined
    ? reached
    : b.op("nn.mul", [reached, strong(b, sensor.dispersion, v, usable ?? b.constant(ones(b.shape), b.shape))]);
}

function ones(shape: readonly number[]): Uint8Array {
  return new Uint8Array(elementCount(shape)).fill(1);
}

/** 1 where the pixel stands out of its window: `strongPixels` of correct.ts. */
function strong(b: FrameBuilder, test: Dispersion, p: Value, usable: Value): Value {
  const half = test.window >> 1;
  const windowSum = (x: Value): Value =>
    b.op("nn.pool", [x], {
      kind: "sum",
      kernel: [test.window, test.window],
      strides: [1, 1],
      pads: [half, half, half, half],
    });
  const mul = (x: Value, y: Value): Value => b.op("nn.mul", [x, y]);
  const sub = (x: Value, y: Value): Value => b.op("nn.sub", [x, y]);
  const [zero, one] = [b.number(0), b.number(1)];
  const [m, s, s2] = [windowSum(usable), windowSum(p), windowSum(mul(p, p))];
  const less = sub(m, one);
  const a = b.op("nn.relu", [sub(sub(mul(m, s2), mul(s, s)), mul(s, less))]);
  const d = b.op("nn.relu", [sub(mul(m, p), s)]);
  const isAbove = (x: Value, y: Value): Value => b.above(x, y, one, zero);
  return b.both(
    isAbove(mul(a, a), mul(mul(mul(s, s), less), b.number(2 * test.background ** 2))),
    isAbove(mul(d, d), mul(mul(s, m), b.number(test.signal ** 2))),
    isAbove(m, b.number(test.minCount - 1)),
    usable,
  );
}

/** 1 where the pixel is a peak: `localMaxima` of find.ts. */
function localMaximum(b: FrameBuilder, sensor: Sensor, rule: LocalMaximum, v: Value): Value {
  const half = rule.window >> 1;
  const { rows, columns } = sensor;
  // Largest pixel of a rectangle of neighbours; a frame with a border of zeros holds them all.
  const bordered = b.op("nn.pad", [v], { pads: [0, 0, half, half, 0, 0, half, half] });
  const largest = (row: number, column: number, height: number, width: number): Value => {
    const starts = [0, 0, half + row, half + column];
    const cut = [1, 1, rows + height - 1, columns + width - 1];
    const part = b.op("nn.slice", [bordered], { starts, steps: [1, 1, 1, 1], shape: cut }, cut);
    return b.op("nn.pool", [part], { kind: "max", kernel: [height, width], strides: [1, 1], pads: [0, 0, 0, 0] });
  };
  const before = b.op("nn.max", [largest(-half, -half, half, rule.window), largest(0, -half, 1, half)]);
  const behind = b.op("nn.max", [largest(0, 1, 1, half), largest(1, -half, half, rule.window)]);
  const [zero, one] = [b.number(0), b.number(1)];
  const bits = [
    b.above(v, b.number(rule.peakMin - 1), one, zero),
    b.above(v, before, one, zero),
    b.above(behind, v, zero, one),
  ];
  if (rule.edges === "drop") bits.push(b.constant(inside(sensor), b.shape));
  return b.quantize(b.both(...bits), ufixed(1, 0));
}

/** 1 where a patch lies in the frame as a whole. */
function inside(sensor: Sensor): Uint8Array {
  const { rows, columns, patch } = sensor;
  const before = -patchOffset(sensor);
  const bits = new Uint8Array(rows * columns);
  for (let r = before; r <= rows - patch + before; r++)
    bits.fill(1, r * columns + before, r * columns + Math.max(before, columns - patch + before + 1));
  return bits;
}
