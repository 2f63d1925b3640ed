/** Arbitrary modules for property tests: nested regions, graph regions, all kinds of attributes, awkward names. */
import fc from "fast-check";
import { affineMap } from "../../src/ir/affine.js";
import { allocate, Dense, typeAttr, type Attr } from "../../src/ir/attributes.js";
import { Block, Module, Op, type Value } from "../../src/ir/core.js";
import { lookupOp, registerOp } from "../../src/ir/define-op.js";
import {
  bits,
  elementCount,
  f32,
  fixed,
  rawRange,
  stream,
  tensor,
  type ScalarType,
  type Type,
} from "../../src/ir/types.js";

/** Operations without constraints, so that modules of any shape can be written. */
for (const name of ["t.op", "t.graph", "t.end"]) {
  if (lookupOp(name) === undefined) {
    registerOp({
      name,
      summary: "A test operation.",
      operands: ["xs*"],
      results: ["ys*"],
      traits: name === "t.graph" ? ["graph"] : name === "t.end" ? ["terminator"] : [],
    });
  }
}

const scalar: fc.Arbitrary<ScalarType> = fc.oneof(
  fc.constant(f32),
  fc.record({
    kind: fc.constant("float" as const),
    exp: fc.integer({ min: 1, max: 11 }),
    man: fc.integer({ min: 0, max: 52 }),
  }),
  fc
    .tuple(fc.integer({ min: 1, max: 53 }), fc.integer({ min: -20, max: 70 }), fc.boolean())
    .map(([w, f, s]) => fixed(w, f, s)),
);
const shape = fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 3 });

export const anyType: fc.Arbitrary<Type> = fc.oneof(
  scalar,
  fc.tuple(shape, scalar).map(([s, e]) => tensor(s, e)),
  fc.tuple(shape, scalar).map(([s, e]) => stream(s, e)),
  fc.tuple(fc.integer({ min: 1, max: 200 }), fc.boolean()).map(([w, s]) => bits(w, s)),
);

const dense: fc.Arbitrary<Dense> = fc
  .tuple(shape, scalar, fc.infiniteStream(fc.double()), fc.boolean())
  .map(([s, e, numbers, single]) => {
    const n = elementCount(s);
    const data = e.kind === "float" && single ? new Float32Array(n) : allocate(e, n);
    for (let i = 0; i < n; i++) {
      const x = numbers.next().value!;
      if (e.kind === "float") data[i] = x;
      else {
        const { lo, hi } = rawRange(e);
        data[i] = Number.isFinite(x) ? Math.min(hi, Math.max(lo, Math.round(x))) : x > 0 ? hi : lo;
      }
    }
    return new Dense(s, e, data);
  });

const map = fc
  .tuple(
    fc.uniqueArray(fc.constantFrom("i", "j", "oc", "s1", "f32", "loc", "inf", "true_", "module", "x_2"), {
      maxLength: 4,
    }),
    fc.integer({ min: 0, max: 3 }),
    fc.infiniteStream(fc.integer({ min: -5, max: 5 })),
  )
  .map(([dims, n, ints]) =>
    affineMap(
      dims,
      Array.from({ length: n }, () => ({
        coeffs: dims.map(() => ints.next().value! + 0),
        offset: ints.next().value! + 0,
      })),
    ),
  );

/**
 * Names that are hostile to a lexer: keywords, type spellings, quotes, control characters, astral and lone surrogates.
 */
export const anyName = fc.oneof(
  fc.constantFrom(
    "x",
    "x_1",
    "/conv1/Conv_output_0",
    "s1",
    "f32",
    "module",
    "loc",
    "a.b",
    "0",
    "7up",
    "",
    "%",
    "\u0000",
    "two\nlines",
    "\ud800",
    "é\u{1f600}",
    "resources",
    "__proto__",
    "y".repeat(80),
  ),
  fc.string({ unit: "binary" }),
);
const key = anyName.filter((k) => k !== "kind");

export const anyAttr: fc.Arbitrary<Attr> = fc.letrec<{ attr: Attr; leaf: Attr }>((tie) => ({
  leaf: fc.oneof(
    fc.boolean(),
    fc.double(),
    fc.integer(),
    fc.constantFrom(Infinity, -Infinity, NaN, -0, 1e300, 5e-324),
    anyName,
    dense,
    map,
    anyType.map(typeAttr),
  ) as fc.Arbitrary<Attr>,
  attr: fc.oneof(
    { maxDepth: 3, depthSize: "small" },
    tie("leaf"),
    fc.array(tie("attr"), { maxLength: 3 }) as fc.Arbitrary<Attr>,
    fc.array(fc.tuple(key, tie("attr")), { maxLength: 3 }).map((e) => Object.fromEntries(e)) as fc.Arbitrary<Attr>,
  ),
})).attr;

interface Draw {
  readonly int: (max: number) => number;
  readonly attr: () => Attr;
  readonly name: () => string;
  readonly type: () => Type;
}

function fill(draw: Draw, block: Block, visible: readonly Value[], depth: number): void {
  const inScope = [...visible, ...block.args];
  const made: Op[] = [];
  const count = draw.int(5);
  for (let i = 0; i < count; i++) {
    const regions: Block[] = [];
    const graph = depth > 0 && draw.int(3) === 0;
    if (depth > 0) {
      for (let r = draw.int(2); r > 0; r--) {
        const b = new Block();
        for (let a = draw.int(3); a > 0; a--) b.addArg(draw.type(), draw.int(2) === 0 ? undefined : draw.name());
        fill(draw, b, inScope, depth - 1);
        regions.push(b);
      }
    }
    const op = new Op({
      name: graph ? "t.graph" : "t.op",
      operands:
        inScope.length === 0 ? [] : Array.from({ length: draw.int(4) }, () => inScope[draw.int(inScope.length)]!),
      resultTypes: Array.from({ length: draw.int(3) }, () => draw.type()),
      hints: Array.from({ length: 3 }, () => (draw.int(2) === 0 ? undefined : draw.name())),
      attrs: Object.fromEntries(Array.from({ length: draw.int(3) }, () => [draw.name(), draw.attr()])),
      regions,
      loc: {
        nodes: Array.from({ length: draw.int(3) }, () => draw.name()),
        ...(draw.int(2) === 0 && { opType: draw.name() }),
      },
    });
    block.append(op);
    made.push(op);
    inScope.push(...op.results);
  }
  // Uses before definitions, as registers have them.
  const all = made.flatMap((op) => op.results);
  if (all.length > 0) for (const op of made) if (draw.int(3) === 0) op.addOperand(all[draw.int(all.length)]!);
  block.append(new Op({ name: "t.end", operands: inScope.slice(0, draw.int(3)) }));
}

/** A module of test operations; not always one that verifies. */
export const anyModule: fc.Arbitrary<Module> = fc
  .tuple(
    anyName,
    fc.infiniteStream(fc.nat()),
    fc.infiniteStream(anyAttr),
    fc.infiniteStream(anyName),
    fc.infiniteStream(anyType),
    fc.array(fc.tuple(key, anyAttr), { maxLength: 2 }),
  )
  .map(([name, ints, attrs, names, types, moduleAttrs]) => {
    const draw: Draw = {
      int: (max) => (max === 0 ? 0 : ints.next().value! % max),
      attr: () => attrs.next().value!,
      name: () => names.next().value!,
      type: () => types.next().value!,
    };
    const module = new Module(name);
    module.attrs = Object.fromEntries(moduleAttrs);
    fill(draw, module.body, [], 2);
    return module;
  });
