/**
 * A strict walk over protobuf bytes before they are decoded. The decoder truncates lengths to 32 bits and takes
 * whatever follows; a damaged model would then look like a shorter one.
 *
 * @source protobuf encoding, https://protobuf.dev/programming-guides/encoding
 */
import type protobuf from "protobufjs";

/** Messages of a graph nest a few levels; subgraphs and sequence types could go on for ever. */
const MAX_DEPTH = 64;

/**
 * Throws, with what is wrong and where, unless `bytes` are a message of `type` from end to end. Unknown fields are
 * skipped.
 */
export function checkWire(bytes: Uint8Array, type: protobuf.Type): void {
  new WireCheck(bytes).message(0, bytes.length, type, 0);
}

class WireCheck {
  private pos = 0;
  constructor(private readonly bytes: Uint8Array) {}

  message(from: number, to: number, type: protobuf.Type | undefined, depth: number): void {
    if (depth > MAX_DEPTH)
      throw new Error(
        `${type?.name ?? "a message"} is nested more than ${MAX_DEPTH} deep (sequence or graph within itself)`,
      );
    this.pos = from;
    while (this.pos < to) {
      const start = this.pos;
      const tag = this.varint(to);
      const id = Math.floor(tag / 8);
      if (id === 0) throw new Error(`byte ${start} is no field (truncated or not a protobuf)`);
      this.field(tag % 8, id, start, to, type, depth);
    }
  }

  private field(
    wire: number,
    id: number,
    start: number,
    to: number,
    type: protobuf.Type | undefined,
    depth: number,
  ): void {
    switch (wire) {
      case 0:
        this.varint(to);
        return;
      case 1:
        return this.skip(8, to);
      case 5:
        return this.skip(4, to);
      case 2: {
        const length = this.varint(to);
        if (length > to - this.pos)
          throw new Error(
            `unexpected end: a field of length ${length} at byte ${start}, where ${to - this.pos} bytes remain; truncated`,
          );
        const end = this.pos + length;
        const field = type?.fieldsById[id]?.resolve();
        const inner = field?.resolvedType;
        if (inner !== null && inner !== undefined && "fieldsById" in inner)
          this.message(this.pos, end, inner, depth + 1);
        this.pos = end;
        return;
      }
      case 3:
        return this.group(id, to, depth);
      default:
        throw new Error(`wire type ${wire} at byte ${start}`);
    }
  }

  /** Groups are obsolete; they can only be unknown fields. */
  private group(id: number, to: number, depth: number): void {
    if (depth > MAX_DEPTH) throw new Error(`groups nested more than ${MAX_DEPTH} deep`);
    for (;;) {
      const start = this.pos;
      const tag = this.varint(to);
      if (tag % 8 === 4) {
        if (Math.floor(tag / 8) !== id) throw new Error(`wire type 4 at byte ${start} ends another group`);
        return;
      }
      this.field(tag % 8, Math.floor(tag / 8), start, to, undefined, depth + 1);
    }
  }

  private skip(count: number, to: number): void {
    if (count > to - this.pos) throw new Error(`unexpected end at byte ${this.pos}; truncated`);
    this.pos += count;
  }

  /** Value of a varint; beyond 2^53 only its size matters. */
  private varint(to: number): number {
    const start = this.pos;
    let value = 0;
    for (let i = 0; i < 10; i++) {
      if (this.pos >= to) throw new Error(`unexpected end within a varint at byte ${start}; truncated`);
      const b = this.bytes[this.pos++]!;
      value += (b & 127) * 2 ** (7 * i);
      if (b < 128) return value;
    }
    throw new Error(`the varint at byte ${start} is longer than 10 bytes`);
  }
}
