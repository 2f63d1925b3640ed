/**
 * Merges an elementwise kernel into the epilogue of the kernel that alone feeds it: bias, residual sum, activation and
 * requantization then happen where the folded value appears, and no channel stands between.
 *
 *   %c = flow.kernel conv ...; %r = flow.kernel relu(%c)   ->   %r = flow.kernel conv ... epilogue { ...; relu }
 *
 * Both iteration spaces are brought to their common refinement first (81 = 9 x 9), so a reshape in between does not
 * hinder.
 */
import { affineRange } from "../../ir/affine.js";
import { Block, Builder, cloneOp, fuseLocs, type Module, type Op, type Value } from "../../ir/core.js";
import { endBody, isFx } from "../../ir/fx/index.js";
import {
  buildKernel,
  linearAccess,
  linearResult,
  readKernel,
  substituteIterators,
  substituteMap,
  iteratorNames,
  type Iterator,
  type KernelSpec,
} from "../../ir/flow/kernel.js";
import { commonRefinement, digitsOf } from "./digits.js";

export function fuseElementwise(module: Module): void {
  for (let again = true; again; ) {
    again = false;
    for (const op of [...module.func.body.ops]) {
      if (op.parent !== undefined && op.name === "flow.kernel" && fuseIntoProducer(op)) again = true;
    }
  }
}

function isElementwise(spec: KernelSpec): boolean {
  return spec.combiner === "none" && spec.iterators.every((i) => i.kind === "parallel");
}

/**
 * Tries the operands of `consumer`, folding kernels first, then the most recent one: the other operands arrive earlier.
 */
function fuseIntoProducer(consumer: Op): boolean {
  const spec = readKernel(consumer);
  if (!isElementwise(spec)) return false;
  const ops = consumer.parent!.ops;
  const candidates = spec.operands
    .map((o, index) => ({ index, producer: o.value.def }))
    .filter(
      (c): c is { index: number; producer: Op } =>
        c.producer?.name === "flow.kernel" &&
        c.producer.result.uses.length === 1 &&
        spec.operands[c.index]!.phase === "body",
    )
    .map((c) => ({ ...c, folds: readKernel(c.producer).combiner !== "none", position: ops.indexOf(c.producer) }))
    .sort((a, b) => Number(b.folds) - Number(a.folds) || b.position - a.position);
  return candidates.some((c) => fuse(c.producer, consumer, c.index));
}

function fuse(producer: Op, consumer: Op, index: number): boolean {
  const p = readKernel(producer);
  const e = readKernel(consumer);
  const operand = e.operands[index]!;
  const extents = e.iterators.map((i) => i.extent);
  const inside = operand.map.results.every((r, d) => {
    const reach = affineRange(r, extents);
    return reach.lo >= 0 && reach.hi < operand.view.shape[d]!;
  });
  if (!inside) return false;
  const parallel = p.iterators.filter((i) => i.kind === "parallel");
  const pDigits = digitsOf(p.iterators, linearResult(p), parallel);
  const eDigits = digitsOf(e.iterators, linearAccess(operand), e.iterators);
  if (pDigits === undefined || eDigits === undefined) return false;
  const refined = commonRefinement(pDigits, eDigits);
  if (refined === undefined) return false;

  const iterators: Iterator[] = [...refined.iterators, ...p.iterators.filter((i) => i.kind === "reduction")];
  const dims = iteratorNames(iterators);
  const base = substituteIterators(p, iterators, refined.first);
  const others = e.operands.flatMap((o, i) =>
    i === index ? [] : [{ ...o, map: substituteMap(o.map, dims, refined.second), phase: "epilogue" as const, arg: i }],
  );
  const merged: KernelSpec = {
    ...base,
    operands: [...base.operands, ...others.map(({ arg: _, ...o }) => o)],
    out: substituteMap(e.out, dims, refined.second),
    resultShape: e.resultShape,
    resultElem: e.resultElem,
  };

  const body = new Block();
  copyBody(producer.regions[0]!, body, new Map(), true);
  const epilogue = new Block();
  const folded = copyBody(producer.regions[1]!, epilogue, new Map(), false);
  const map = new Map<Value, Value>();
  // The consumer's body arguments are its body operands in order; its epilogue arguments come after.
  const bodyOperands = e.operands.flatMap((o, i) => (o.phase === "body" ? [i] : []));
  const epilogueOperands = e.operands.flatMap((o, i) => (o.phase === "epilogue" ? [i] : []));
  for (const o of others) {
    const k = bodyOperands.indexOf(o.arg);
    const target =
      k >= 0 ? consumer.regions[0]!.args[k]! : consumer.regions[1]!.args[1 + epilogueOperands.indexOf(o.arg)]!;
    map.set(target, epilogue.addArg(target.type, target.hint));
  }
  map.set(consumer.regions[0]!.args[bodyOperands.indexOf(index)]!, folded);
  const term = copyBody(consumer.regions[0]!, epilogue, map, false);
  map.set(consumer.regions[1]!.args[0]!, term);
  const result = copyBody(consumer.regions[1]!, epilogue, map, false);
  endBody(epilogue, result);

  const fused = buildKernel(Builder.before(consumer), merged, body, epilogue, fuseLocs(producer.loc, consumer.loc));
  consumer.result.replaceAllUsesWith(fused.result);
  consumer.erase();
  producer.erase();
  return true;
}

/** Appends a body to `to`; arguments without an entry in `map` become arguments of `to`. Returns the yielded value. */
function copyBody(from: Block, to: Block, map: Map<Value, Value>, keepYield: boolean): Value {
  for (const a of from.args) if (!map.has(a)) map.set(a, to.addArg(a.type, a.hint));
  for (const op of from.ops) if (!isFx(op, "fx.yield") || keepYield) to.append(cloneOp(op, map));
  const y = from.terminator.operand(0);
  return map.get(y)!;
}
