/** Attributes: the compile-time data that hangs on operations. */
import { createHash } from "node:crypto";
import type { AffineMap } from "./affine.js";
import { elementCount, isWide, showType, type ScalarType, type Type } from "./types.js";

/**
 * Storage of a constant. Raw integers for fixed point (Int32Array up to 32 bits, Float64Array up to 53), floats for
 * f32.
 */
export type DenseData = Int32Array | Float64Array | Float32Array;

/** A constant tensor. Hashed by content, so that dumps can show a digest in place of the numbers. */
export class Dense {
  readonly kind = "dense";
  private digestMemo: string | undefined;

  constructor(
    readonly shape: readonly number[],
    readonly elem: ScalarType,
    readonly data: DenseData,
  ) {
    if (data.length !== elementCount(shape)) {
      throw new Error(`dense: ${data.length} values for shape [${shape.join(",")}]`);
    }
  }

  get digest(): string {
    this.digestMemo ??= createHash("sha256")
      .update(this.data.constructor.name)
      .update(Buffer.from(this.data.buffer, this.data.byteOffset, this.data.byteLength))
      .digest("hex")
      .slice(0, 16);
    return this.digestMemo;
  }
}

/** Array of the storage class that `elem` calls for. */
export function allocate(elem: ScalarType, count: number): DenseData {
  if (elem.kind === "float") return new Float64Array(count);
  if (isWide(elem)) throw new Error(`numbers do not hold raw integers of ${showType(elem)}`);
  const int32 = elem.width <= 31 || (elem.signed && elem.width === 32);
  return int32 ? new Int32Array(count) : new Float64Array(count);
}

/** Attributes of an operation. Types are wrapped so that a reader can tell them from records. */
export type Attr =
  | boolean
  | number
  | string
  | Dense
  | AffineMap
  | { readonly kind: "type"; readonly type: Type }
  | readonly Attr[]
  | AttrRecord;

export interface AttrRecord {
  readonly [key: string]: Attr;
}

export function typeAttr(type: Type): Attr {
  return { kind: "type", type };
}

export function isAttrRecord(a: Attr | undefined): a is AttrRecord {
  return typeof a === "object" && !Array.isArray(a) && !(a instanceof Dense) && !isAffineMap(a) && !isTypeAttr(a);
}
export function isAffineMap(a: Attr | undefined): a is AffineMap {
  return typeof a === "object" && !Array.isArray(a) && (a as AttrRecord)["kind"] === "affine";
}
export function isTypeAttr(a: Attr | undefined): a is { readonly kind: "type"; readonly type: Type } {
  return typeof a === "object" && !Array.isArray(a) && (a as AttrRecord)["kind"] === "type";
}
