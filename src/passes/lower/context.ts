/** What a lowering from nn to flow works with: views of operands, and one function that makes kernels. */
import { affineExpr, affineMap } from "../../ir/affine.js";
import type { AttrRecord, Dense } from "../../ir/attributes.js";
import { Block, Builder, type Location, type Op, type Value } from "../../ir/core.js";
import { denseAttr } from "../../ir/define-op.js";
import { endBody, fixedType, fxConstant, type FxComputation } from "../../ir/fx/index.js";
import { buildKernel, iteratorNames, type Combiner, type Iterator } from "../../ir/flow/kernel.js";
import {
  addRanges,
  checkWidth,
  maxRanges,
  minRanges,
  mulRanges,
  shiftRange,
  subRanges,
  unionRanges,
} from "../../ir/fixed-arith.js";
import { tensor, typeOfRange, wideRange, type FixedType, type TensorType, type WideRange } from "../../ir/types.js";
import { CompilerBug } from "../../diagnostics/index.js";
import { wholeView, type Viewed } from "./views.js";

/** An index along one dimension: a multiple per iterator name, plus `offset`. */
export interface Index {
  readonly terms: Readonly<Record<string, number>>;
  readonly offset?: number;
}

/** Shorthand: the iterator itself. */
export function along(name: string, factor = 1, offset = 0): Index {
  return { terms: { [name]: factor }, offset };
}
export const at0: Index = { terms: {} };

export interface Access {
  readonly of: Viewed;
  readonly index: readonly Index[];
  /** Raw value read outside the view; 0 by default. */
  readonly pad?: number;
  readonly phase?: "body" | "epilogue";
}

export interface KernelRequest {
  readonly name: string;
  readonly loc: Location;
  readonly iterators: readonly Iterator[];
  readonly operands: readonly Access[];
  readonly combiner: Combiner;
  /** Needed where there is a combiner; otherwise the type of the body's result. */
  readonly accType?: FixedType;
  readonly result: TensorType;
  readonly out: readonly Index[];
  readonly body: (b: BodyBuilder, args: readonly Value[]) => Value;
  /** The ensemble that `fx.tree` of the body evaluates. */
  readonly trees?: AttrRecord;
  readonly epilogue?: (b: BodyBuilder, acc: Value, args: readonly Value[]) => Value;
}

export class LoweringContext {
  private readonly views = new Map<Value, Viewed>();
  private readonly taken = new Set<string>();
  private readonly names = new Map<string, number>();

  constructor(readonly builder: Builder) {}

  /** The flow view of an nn value that has been lowered. */
  view(v: Value): Viewed {
    const found = this.views.get(v);
    if (found === undefined) throw new CompilerBug(`lowering: %${v.hint ?? v.id} is used before it is lowered`);
    return found;
  }
  setView(v: Value, viewed: Viewed): void {
    this.views.set(v, viewed);
  }

  constant(value: Dense, hint?: string): Viewed {
    const elem = fixedElem(value.elem);
    const v = this.builder.value("flow.constant", [], tensor(value.shape, elem), { value }, hint);
    return wholeView(v, value.shape, elem);
  }

  /** A fresh kernel name that leads back to the ONNX node. */
  uniqueName(base: string): string {
    const clean = base
      .replace(/[^A-Za-z0-9_]+/g, "_")
      .replace(/^_+|_+$/g, "")
      .slice(0, 60);
    const stem = /^[A-Za-z]/.test(clean) ? clean : `k_${clean}`;
    let n = this.names.get(stem) ?? 0;
    let name = n === 0 ? stem : `${stem}_${n}`;
    // Another node may be called like the second of this one.
    while (this.taken.has(name)) name = `${stem}_${++n}`;
    this.names.set(stem, n + 1);
    this.taken.add(name);
    return name;
  }

  /** Builds the kernel; iterators of extent 1 vanish. Returns its result as a whole view. */
  kernel(req: KernelRequest): Viewed {
    const iterators = req.iterators.filter((i) => i.extent > 1);
    const dims = iteratorNames(iterators);
    const toMap = (index: readonly Index[]) =>
      affineMap(
        dims,
        index.map((x) => affineExpr(dims, x.terms, x.offset ?? 0)),
      );
    const body = new Block();
    const epilogue = new Block();
    // Constants of one value are part of the body; so that a kernel is left with an operand, not where all are such.
    const single = req.operands.map((o) => (staysInside(o, iterators) ? singleValue(o.of) : undefined));
    const inlined =
      req.trees !== undefined || single.every((v) => v !== undefined) ? single.map(() => undefined) : single;
    const operands = req.operands.filter((_, i) => inlined[i] === undefined);
    const argsOf = (block: Block, phase: "body" | "epilogue"): Value[] =>
      req.operands.flatMap((o, i) => {
        if ((o.phase ?? "body") !== phase) return [];
        return [
          inlined[i] === undefined ? block.addArg(o.of.elem) : new BodyBuilder(block).constant(inlined[i]!, o.of.elem),
        ];
      });
    const bodyArgs = argsOf(body, "body");
    const term = req.body(new BodyBuilder(body), bodyArgs);
    const accType = req.accType ?? (term.type as FixedType);
    endBody(body, term);
    const acc = epilogue.addArg(accType, "acc");
    const extra = argsOf(epilogue, "epilogue");
    const b = new BodyBuilder(epilogue);
    const resultElem = fixedElem(req.result.elem);
    const raw = req.epilogue?.(b, acc, extra) ?? acc;
    endBody(epilogue, b.cast(raw, resultElem));
    const op: Op = buildKernel(
      this.builder,
      {
        name: this.uniqueName(req.name),
        iterators,
        operands: operands.map((o) => ({
          value: o.of.value,
          map: toMap(o.index),
          view: { offset: o.of.offset, strides: o.of.strides, shape: o.of.shape, pad: o.pad ?? 0 },
          phase: o.phase ?? "body",
        })),
        combiner: req.combiner,
        accType,
        out: toMap(req.out),
        resultShape: req.result.shape,
        resultElem,
        schedule: undefined,
        ...(req.trees && { trees: req.trees }),
      },
      body,
      epilogue,
      req.loc,
    );
    return wholeView(op.result, req.result.shape, resultElem);
  }
}

/** Whether no iteration reads beyond the view, where the pad value would be read instead. */
function staysInside(o: Access, iterators: readonly Iterator[]): boolean {
  return o.index.every(({ terms, offset = 0 }, d) => {
    let [lo, hi] = [offset, offset];
    for (const i of iterators) {
      const reach = (terms[i.name] ?? 0) * (i.extent - 1);
      lo += Math.min(0, reach);
      hi += Math.max(0, reach);
    }
    return lo >= 0 && hi < o.of.shape[d]!;
  });
}

/** Raw value of a constant with one element. */
function singleValue(v: Viewed): number | undefined {
  const def = v.value.def;
  if (def?.name !== "flow.constant") return undefined;
  const { data } = denseAttr(def, "value");
  return data.length === 1 ? Number(data[0]) : undefined;
}

/** Type of a value in the body of a kernel. */
export function scalarType(v: Value): FixedType {
  return fixedElem(v.type);
}

export function fixedElem(t: { kind: string }): FixedType {
  if (t.kind !== "fixed") throw new CompilerBug("lowering needs a quantized network");
  return t as FixedType;
}

/** Builds scalar bodies with exact result types. */
export class BodyBuilder {
  private readonly b: Builder;
  constructor(block: Block) {
    this.b = new Builder(block);
  }

  constant(raw: number, type: FixedType): Value {
    return this.build("fx.constant", [], type, { raw });
  }
  add(x: Value, y: Value): Value {
    return this.exact("fx.add", x, y, addRanges);
  }
  sub(x: Value, y: Value): Value {
    return this.exact("fx.sub", x, y, subRanges);
  }
  max(x: Value, y: Value): Value {
    return this.exact("fx.max", x, y, maxRanges);
  }
  min(x: Value, y: Value): Value {
    return this.exact("fx.min", x, y, minRanges);
  }
  /** Where an operand is a constant, the width follows from its value. */
  mul(x: Value, y: Value): Value {
    const [a, b] = [fixedType(x.type), fixedType(y.type)];
    return this.build(
      "fx.mul",
      [x, y],
      checkWidth(typeOfRange(mulRanges(valueRange(x), valueRange(y)), a.frac + b.frac), "a product"),
    );
  }
  /** x < 0 ? whenNegative : otherwise, in a type that holds both. */
  selectNegative(x: Value, whenNegative: Value, otherwise: Value): Value {
    const [a, b] = [fixedType(whenNegative.type), fixedType(otherwise.type)];
    const frac = Math.max(a.frac, b.frac);
    const both = unionRanges(
      shiftRange(valueRange(whenNegative), frac - a.frac),
      shiftRange(valueRange(otherwise), frac - b.frac),
    );
    return this.build("fx.select_neg", [x, whenNegative, otherwise], checkWidth(typeOfRange(both, frac), "a choice"));
  }
  /** Sum of values of which at most one is not zero, hence again of type `to`. */
  merge(x: Value, y: Value, to: FixedType): Value {
    return this.build("fx.add", [x, y], to, { range_checked: true });
  }
  requantize(x: Value, to: FixedType, rounding: string, overflow: string): Value {
    return this.build("fx.requantize", [x], to, { rounding, overflow });
  }
  table(x: Value, values: Dense): Value {
    return this.build("fx.table", [x], fixedElem(values.elem), { values });
  }
  /** The leaf's value of a tree of the kernel's ensemble. */
  tree(x: Value, number: Value, to: FixedType): Value {
    return this.build("fx.tree", [x, number], to);
  }
  /** The same value in `to`, which must hold it. */
  cast(x: Value, to: FixedType): Value {
    const t = fixedType(x.type);
    if (t.signed === to.signed && t.width === to.width && t.frac === to.frac) return x;
    return this.build("fx.cast", [x], to);
  }

  private build(name: FxComputation, operands: readonly Value[], type: FixedType, attrs: AttrRecord = {}): Value {
    return this.b.value(name, operands, type, attrs);
  }
  private exact(name: FxComputation, x: Value, y: Value, range: (a: WideRange, b: WideRange) => WideRange): Value {
    const [a, b] = [fixedType(x.type), fixedType(y.type)];
    const frac = Math.max(a.frac, b.frac);
    const r = range(shiftRange(valueRange(x), frac - a.frac), shiftRange(valueRange(y), frac - b.frac));
    return this.build(name, [x, y], checkWidth(typeOfRange(r, frac), name));
  }
}

/** Range of a scalar: the value of a constant, otherwise what its type holds. */
function valueRange(v: Value): WideRange {
  const raw = fxConstant(v);
  if (raw === undefined) return wideRange(fixedType(v.type));
  return { lo: BigInt(raw), hi: BigInt(raw) };
}
