/**
 * An nn operation is one record: types, checks, meaning, and the role by which quantization, reports and integer models
 * know it. `defineNn` adds typed access to attributes and operands, so that nobody spells their names or indices.
 */
import type { Op } from "../core.js";
import {
  attrReader,
  operandReader,
  type AttrSpecs,
  type AttrsOf,
  type Kernel,
  type Meaning,
  type OpDef,
  type OperandsOf,
  type Role,
  type WideKernel,
} from "../define-op.js";

/** What every record of the dialect states. */
export interface NnOpDef extends OpDef {
  readonly role: Role;
  readonly evaluate: Meaning;
  readonly attrs: AttrSpecs;
}

/** A record with its names as types. */
export interface NnOp<
  N extends string = string,
  R extends Role = Role,
  A extends AttrSpecs = AttrSpecs,
  P extends readonly string[] = readonly string[],
> extends NnOpDef {
  readonly name: N;
  readonly role: R;
  readonly attrs: A;
  readonly operands: P;
  /** The attributes of an operation of this kind. */
  readonly read: (op: Op) => AttrsOf<A>;
  /** The operands of an operation of this kind. */
  readonly args: (op: Op) => OperandsOf<P>;
}

export function defineNn<
  const N extends `nn.${string}`,
  const R extends Role,
  const A extends AttrSpecs,
  const P extends readonly string[],
>(init: NnOpDef & { readonly name: N; readonly role: R; readonly attrs: A; readonly operands: P }): NnOp<N, R, A, P> {
  return { ...init, read: attrReader(init.attrs), args: operandReader(init.operands) };
}

/** A meaning that is the same in float and, exact, on fixed point. */
export function everywhere(kernel: (op: Op) => Kernel, wide?: (op: Op) => WideKernel): Meaning {
  return { float: kernel, fixed: kernel, ...(wide !== undefined && { wide }) };
}
