/** RTL of an ensemble of trees: see decisions.ts for the two forms. */
import { elementAt, firstOf, lookUp, present } from "../../ir/present.js";
import { allocate, Dense } from "../../ir/attributes.js";
import type { Value } from "../../ir/core.js";
import { u, type RtlModuleBuilder } from "../../ir/rtl/builder.js";
import { leafOf, type Ensemble } from "../../ir/trees.js";
import { rawRange, type FixedType } from "../../ir/types.js";
import {
  chunkBits,
  ensembleOf,
  hasFixedTrees,
  heightOf,
  numberBits,
  tallest,
  treesOfLane,
  walkOf,
  type Walk,
} from "../kernel/decisions.js";
import type { PlannedKernel } from "../design/design.js";
import type { Device } from "../device/devices.js";
import { Staged, wires } from "./emit-body.js";
import type { Unit } from "../kernel/products.js";
import { romStorage } from "../device/storage.js";

/** The number of a tree that a lane brings. */
interface TreeNumber {
  readonly lane: number;
  readonly value: Staged;
}

/** Values of the leaves that are reached: `[output][term]`. */
export function emitTrees(
  m: RtlModuleBuilder,
  device: Device,
  node: PlannedKernel,
  unit: Unit,
  features: readonly Staged[],
  numbers: readonly (readonly TreeNumber[])[],
): Staged[][] {
  const { spec, op } = node;
  const term = op.body.terminator.operand(0).type as FixedType;
  if (hasFixedTrees(spec)) {
    const trees = new FixedTrees(m, device, node, features, term);
    return lookUp(unit.constants, 1, "constants").map((terms, o) =>
      terms.map((tree) => trees.value(tree, elementAt(present(unit.columns, "columns"), o))),
    );
  }
  const walks = new WalkedTrees(m, device, node, features, term);
  return numbers.map((terms, o) => terms.map((n) => walks.value(n, elementAt(present(unit.columns, "columns"), o))));
}

function elemOf(node: PlannedKernel): FixedType {
  return (firstOf(node.spec.operands).value.type as { elem: FixedType }).elem;
}

/** Values of the given leaves in one column, as a table. */
function valuesOf(e: Ensemble, leaves: readonly number[], column: number, term: FixedType): Dense {
  const data = allocate(term, leaves.length);
  leaves.forEach((l, i) => (data[i] = elementAt(e.values, l * e.outputs + column)));
  return new Dense([leaves.length, 1], term, data);
}

// --- fixed

/** A truth value that may be known. */
type Bit = boolean | Staged;

class FixedTrees {
  private readonly e: Ensemble;
  private readonly x: FixedType;
  private readonly asked = new Map<string, Bit>();
  private readonly parts = new Map<string, Value>();
  private readonly codes = new Map<number, { leaves: readonly number[]; index: Staged | undefined }>();
  private readonly done = new Map<string, Staged>();

  constructor(
    private readonly m: RtlModuleBuilder,
    private readonly device: Device,
    private readonly node: PlannedKernel,
    private readonly features: readonly Staged[],
    private readonly term: FixedType,
  ) {
    this.e = ensembleOf(node.spec);
    this.x = elemOf(node);
  }

  value(tree: number, column: number): Staged {
    const key = `${tree}:${column}`;
    let found = this.done.get(key);
    if (found === undefined) this.done.set(key, (found = this.leafValue(elementAt(this.e.roots, tree), column)));
    return found;
  }

  private leafValue(root: number, column: number): Staged {
    const { leaf } = present(this.node.pipeline.decisions, "decisions");
    const { leaves, index } = this.codeOf(root);
    const values = valuesOf(this.e, leaves, column, this.term);
    const type = wires(this.term);
    if (index === undefined || values.data.every((v) => v === values.data[0]))
      return Staged.constant(this.m, this.m.constant(firstOf(values.data), type));
    const at = index.atStage(leaf);
    // Trees of two leaves choose; others look up.
    if (leaves.length === 2)
      return new Staged(
        this.m,
        this.m.mux(
          at,
          this.m.constant(elementAt(values.data, 1), type),
          this.m.constant(firstOf(values.data), type),
          type,
        ),
        leaf,
      );
    const word = this.m.rom(at, values, {
      readLatency: 0,
      style: romStorage(this.device, values, false).style,
      hint: "leaf",
    });
    return new Staged(this.m, this.m.cast(this.m.extract(word, 0, this.term.width, this.term.signed), type), leaf);
  }

  /** The leaves of a tree in their order, and the number of the one that is reached. */
  private codeOf(root: number): { leaves: readonly number[]; index: Staged | undefined } {
    let found = this.codes.get(root);
    if (found === undefined) this.codes.set(root, (found = this.makeCode(root)));
    return found;
  }

  private makeCode(root: number): { leaves: readonly number[]; index: Staged | undefined } {
    // Neighbours in the tree are neighbours in number, so that high bits are decided by few nodes.
    const position = new Map<number, number>();
    const seen = new Set<number>();
    const visit = (at: number): void => {
      if (at < 0) {
        if (!position.has(leafOf(at))) position.set(leafOf(at), position.size);
      } else if (!seen.has(at)) {
        seen.add(at);
        visit(elementAt(this.e.onFalse, at));
        visit(elementAt(this.e.onTrue, at));
      }
    };
    visit(root);
    const leaves = [...position.keys()];
    const bits = numberBits(leaves.length);
    if (bits === 0) return { leaves, index: undefined };
    const chosen = Array.from({ length: bits }, (_, b) =>
      this.choose(root, (leaf) => Math.floor(lookUp(position, leaf, "position") / 2 ** b) % 2 === 1, new Map()),
    );
    const stage = Math.max(...chosen.map((c) => (c instanceof Staged ? c.stage : 0)));
    const index = this.m.concat(
      chosen.map((c) => (c instanceof Staged ? c.atStage(stage) : this.m.constant(Number(c), u(1)))).reverse(),
    );
    return { leaves, index: new Staged(this.m, index, stage) };
  }

  /** One bit of the number: true where `test` says so of the leaf that is reached. */
  private choose(at: number, test: (leaf: number) => boolean, memo: Map<number, Bit>): Bit {
    if (at < 0) return test(leafOf(at));
    let found = memo.get(at);
    if (found !== undefined) return found;
    const [yes, no] = [
      this.choose(elementAt(this.e.onTrue, at), test, memo),
      this.choose(elementAt(this.e.onFalse, at), test, memo),
    ];
    const stage = elementAt(present(this.node.pipeline.decisions, "decisions").choices, heightOf(this.e, at));
    found = yes === no ? yes : this.mux(this.question(at), yes, no, stage);
    memo.set(at, found);
    return found;
  }

  private mux(on: Bit, yes: Bit, no: Bit, stage: number): Bit {
    if (!(on instanceof Staged)) return on ? yes : no;
    const { m } = this;
    const sel = on.atStage(stage);
    const of = (v: Staged): Value => v.atStage(stage);
    const made = ((): Value => {
      if (yes instanceof Staged)
        return no instanceof Staged
          ? m.mux(sel, of(yes), of(no))
          : no
            ? m.or(m.not(sel), of(yes))
            : m.and(sel, of(yes));
      if (no instanceof Staged) return yes ? m.or(sel, of(no)) : m.and(m.not(sel), of(no));
      return yes ? sel : m.not(sel);
    })();
    return new Staged(m, made, stage);
  }

  /** What a node asks, once for all nodes that ask the same. */
  private question(at: number): Bit {
    const { e } = this;
    const [feature, threshold, relation] = [
      elementAt(e.feature, at),
      elementAt(e.threshold, at),
      elementAt(e.relation, at),
    ];
    const key = `${feature}:${threshold}:${relation}`;
    let found = this.asked.get(key);
    if (found === undefined) {
      const raw = threshold - rawRange(this.x).lo;
      const chunks = Math.ceil(this.x.width / chunkBits(this.device));
      const made = relation === 2 ? this.equals(feature, raw, chunks) : this.atMost(feature, raw, chunks);
      found =
        typeof made === "boolean"
          ? made
          : new Staged(this.m, made, present(this.node.pipeline.decisions, "decisions").compare);
      this.asked.set(key, found);
    }
    return found;
  }

  /** Part `k` of a feature, counted from its least value on so that it is never negative; part 0 is the lowest. */
  private part(feature: number, k: number): { value: Value; width: number } {
    const size = chunkBits(this.device);
    const lo = k * size;
    const width = Math.min(size, this.x.width - lo);
    const key = `${feature}:${k}`;
    let value = this.parts.get(key);
    if (value === undefined) {
      value = this.m.extract(
        elementAt(this.features, feature).atStage(present(this.node.pipeline.decisions, "decisions").compare),
        lo,
        width,
      );
      // Two's complement with the sign's bit turned around counts from the least value.
      if (this.x.signed && lo + width === this.x.width)
        value = this.m.xor(value, this.m.constant(2 ** (width - 1), u(width)));
      this.parts.set(key, value);
    }
    return { value, width };
  }

  private shared(key: string, make: () => Value): Value {
    let found = this.parts.get(key);
    if (found === undefined) this.parts.set(key, (found = make()));
    return found;
  }

  /** Whether the lowest `chunks` parts of a feature are at most `raw`: the highest part that differs decides. */
  private atMost(feature: number, raw: number, chunks: number): Value | boolean {
    if (chunks === 0) return true;
    const { value, width } = this.part(feature, chunks - 1);
    const unit = 2 ** (chunkBits(this.device) * (chunks - 1));
    const top = Math.floor(raw / unit);
    const below = this.atMost(feature, raw - top * unit, chunks - 1);
    const { m } = this;
    const c = m.constant(top, u(width));
    const last = top === 2 ** width - 1;
    const key = `${feature}:${chunks}:${top}`;
    if (below === true) return last ? true : this.shared(`${key}:le`, () => m.le(value, c));
    const equal = this.shared(`${key}:eq`, () => m.eq(value, c));
    return this.shared(`${feature}:${chunks}:at most ${raw}`, () => {
      const same = m.and(equal, below as Value);
      return top === 0
        ? same
        : m.or(
            this.shared(`${key}:lt`, () => m.lt(value, c)),
            same,
          );
    });
  }

  private equals(feature: number, raw: number, chunks: number): Value {
    const { m } = this;
    const parts = Array.from({ length: chunks }, (_, k) => {
      const { value, width } = this.part(feature, k);
      const part = Math.floor(raw / 2 ** (chunkBits(this.device) * k)) % 2 ** width;
      return this.shared(`${feature}:${k + 1}:${part}:eq`, () => m.eq(value, m.constant(part, u(width))));
    });
    return m.all(parts);
  }
}

// --- walked

class WalkedTrees {
  private readonly e: Ensemble;
  private readonly x: FixedType;
  /** Features side by side, counted from their least value on. */
  private readonly features: Staged[];
  private readonly paths = new Map<number, { walk: Walk; address: Staged }>();

  constructor(
    private readonly m: RtlModuleBuilder,
    private readonly device: Device,
    private readonly node: PlannedKernel,
    features: readonly Staged[],
    private readonly term: FixedType,
  ) {
    this.e = ensembleOf(node.spec);
    this.x = elemOf(node);
    const width = this.x.width;
    this.features = features.map((f) => {
      const raw = m.extract(f.value, 0, width);
      return new Staged(m, this.x.signed ? m.xor(raw, m.constant(2 ** (width - 1), u(width))) : raw, f.stage);
    });
  }

  value(number: TreeNumber, column: number): Staged {
    let path = this.paths.get(number.lane);
    if (path === undefined) this.paths.set(number.lane, (path = this.walk(number)));
    const { leaf } = present(this.node.pipeline.decisions, "decisions");
    const values = valuesOf(this.e, path.walk.leaves, column, this.term);
    const type = wires(this.term);
    if (values.data.every((v) => v === values.data[0]))
      return Staged.constant(this.m, this.m.constant(firstOf(values.data), type));
    const word = this.rom(path.address.atStage(leaf), values, "leaf");
    return new Staged(this.m, this.m.cast(this.m.extract(word, 0, this.term.width, this.term.signed), type), leaf + 1);
  }

  private rom(address: Value, values: Dense, hint: string): Value {
    return this.m.rom(address, values, { readLatency: 1, style: romStorage(this.device, values, true).style, hint });
  }

  private walk(number: TreeNumber): { walk: Walk; address: Staged } {
    const { m } = this;
    const { levels } = present(this.node.pipeline.decisions, "decisions");
    const width = this.x.width;
    const walk = walkOf(
      this.e,
      treesOfLane(this.node.spec, number.lane),
      tallest(this.e),
      this.x,
      this.features.length,
    );
    let address = number.value;
    walk.levels.forEach((level, l) => {
      const at = elementAt(levels, l);
      // The word of a node, a stage behind its address.
      const start = l === 0 ? address.stage : elementAt(levels, l - 1).next;
      const word = this.rom(address.atStage(start), level.table, `nodes${l}`);
      const size = (level.table.elem as FixedType).width;
      const field = (k: number, bits: number): Staged =>
        new Staged(m, m.extract(word, k * size, Math.max(1, bits)), start + 1);
      const [feature, threshold, yes, no, equality] = [
        field(0, level.feature),
        field(1, width),
        field(2, level.next),
        field(3, level.next),
        field(4, 1),
      ];
      const x =
        this.features.length === 1
          ? firstOf(this.features)
          : new Staged(
              m,
              m.select(
                feature.atStage(at.select),
                this.features.map((f) => f.atStage(at.select)),
              ),
              at.select,
            );
      const [a, t] = [x.atStage(at.compare), threshold.atStage(at.compare)];
      const below = m.le(a, t);
      const met = new Staged(
        m,
        level.equality ? m.mux(equality.atStage(at.compare), m.eq(a, t), below) : below,
        at.compare,
      );
      address = new Staged(m, m.mux(met.atStage(at.next), yes.atStage(at.next), no.atStage(at.next)), at.next);
    });
    return { walk, address };
  }
}
