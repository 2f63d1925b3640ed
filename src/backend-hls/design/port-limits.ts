/** `--axis-width`: how many elements cross a port in one beat, and what that means for the interval. */
import { elementAt, lastOf, present } from "../../ir/present.js";
import type { Module } from "../../ir/core.js";
import { elementCount, type FixedType, type StreamType } from "../../ir/types.js";
import { UserError } from "../../diagnostics/index.js";
import { portWordChoices } from "../channel/ports.js";

/** Width of the streams: most bits of a beat, or the elements in one beat of the inputs. */
export interface AxisWidth {
  readonly unit: "bits" | "elements";
  readonly count: number;
}

export interface PortLimits {
  /** Elements per beat of every input; undefined where the design chooses. */
  readonly words: readonly number[] | undefined;
  /** Most bits per beat of an output. */
  readonly outputBits: number | undefined;
  /** Beats of the input that takes longest, whole tensors a beat where the design chooses. */
  readonly fewestBeats: () => number;
  /** @errors FL007 where an input takes more than `ii` beats */
  readonly mustFeed: (ii: number) => void;
}

/** `128` bits, `16e` elements; undefined for anything else. */
export function parseAxisWidth(text: string): AxisWidth | undefined {
  const m = /^([1-9][0-9]*)(e|elements)?$/.exec(text.trim());
  return m === null || !Number.isSafeInteger(Number(m[1]))
    ? undefined
    : { unit: m[2] === undefined ? "bits" : "elements", count: Number(m[1]) };
}

/** @errors FL008 for a width in which a tensor cannot pass */
export function portLimits(module: Module, axis: AxisWidth | undefined): PortLimits {
  const names = module.func.attrs["inputs"] as readonly string[];
  const inputs = module.func.body.args.map((a, i) => ({ name: elementAt(names, i), type: a.type as StreamType }));
  const words = axis === undefined ? undefined : inputs.map(({ name, type }) => wordOf(name, type, axis));
  const beatsOf = (i: number): number =>
    Math.ceil(elementCount(elementAt(inputs, i).type.shape) / elementAt(present(words, "words"), i));
  return {
    words,
    outputBits: axis?.unit === "bits" ? axis.count : undefined,
    fewestBeats: () => (words === undefined ? 1 : Math.max(1, ...words.map((_, i) => beatsOf(i)))),
    mustFeed: (ii) => {
      words?.forEach((word, i) => {
        if (beatsOf(i) <= ii) return;
        const { name, type } = elementAt(inputs, i);
        const enough = present(
          portWordChoices(type).find((c) => Math.ceil(elementCount(type.shape) / c) <= ii),
          "find",
        );
        throw UserError.of(
          "FL007",
          { name, ii, beats: beatsOf(i), word, enough, bits: enough * (type.elem as FixedType).width },
          { tensor: name },
        );
      });
    },
  };
}

function wordOf(name: string, type: StreamType, axis: AxisWidth): number {
  const choices = portWordChoices(type);
  const { width } = type.elem as FixedType;
  if (axis.unit === "elements") {
    if (choices.includes(axis.count)) return axis.count;
    throw UserError.of(
      "FL008",
      { name, asked: `${axis.count} elements`, shape: type.shape.join("x"), choices: choices.join(", "), width },
      { tensor: name },
    );
  }
  const fitting = choices.filter((c) => c * width <= axis.count);
  if (fitting.length > 0) return lastOf(fitting);
  throw UserError.of(
    "FL008",
    { name, asked: `${axis.count} bits`, shape: type.shape.join("x"), choices: choices.join(", "), width },
    { tensor: name },
  );
}
