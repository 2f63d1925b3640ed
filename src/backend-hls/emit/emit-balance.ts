/** The words of a channel as numbers in registers: what has come or gone, against what is needed or fits. */
import type { Value } from "../../ir/core.js";
import { type RtlModuleBuilder, u } from "../../ir/rtl/builder.js";
import { typeOfRange, type BitsType } from "../../ir/types.js";
import type { Channel } from "../design/network.js";

export function channelPorts(channel: Channel): { name: string; type: BitsType }[] {
  const word = channel.plan.order.planes * channel.elem.width;
  return [
    { name: "reserve", type: u(1) },
    { name: "push", type: u(1) },
    { name: "push_data", type: u(word) },
    { name: "take", type: u(1) },
  ];
}

/** Register that goes up and down, and whether it is less than a limit. */
export interface Balance {
  /**
   * Whether it is 0 or more. As the next one, a register of its own that moves along: what waits for it starts from
   * there.
   */
  readonly present: (hint: string) => Value;
  readonly below: (limit: number, hint: string) => Value;
}

/** What a balance goes down by, and one less: where it goes up as well, one sum is enough. */
export interface Fall {
  readonly by: Value;
  readonly less: Value;
}

export function fallBetweenSteps(
  steps: ArrayLike<number>,
  hint: string,
  running: (steps: ArrayLike<number>, hint: string) => Value,
): Fall {
  return {
    by: running(steps, hint),
    less: running(
      Array.from(steps, (n) => n - 1),
      `${hint}_less`,
    ),
  };
}

/**
 * Register that goes up by one with `up` and falls with `enable`. Both signals come late in a cycle, so they only
 * choose between sums that are there before them.
 */
export function balance(
  m: RtlModuleBuilder,
  range: { lo: number; hi: number },
  initial: number,
  up: Value,
  { by, less }: Fall,
  enable: Value,
  hint: string,
): Balance {
  const t = typeOfRange({ lo: Math.min(range.lo, initial), hi: Math.max(range.hi, initial, 1) }, 0);
  const type: BitsType = { kind: "bits", signed: t.signed, width: t.width };
  const q = m.regDeclare(type, { reset: initial, hint });
  const one = m.constant(1);
  const choose = (of: BitsType, idle: Value, higher: Value, lower: Value, both: Value): Value =>
    m.mux(enable, m.mux(up, both, lower, of), m.mux(up, higher, idle, of), of);
  const raised = m.cast(m.add(q, one), type);
  const lowered = (down: Value): Value => m.cast(m.sub(q, down), type);
  m.connect(q, choose(type, q, raised, lowered(by), lowered(less)));
  const present = (name: string): Value => {
    if (!t.signed) return m.constant(1, u(1));
    const flag = m.regDeclare(u(1), { reset: initial < 0 ? 0 : 1, hint: name });
    const positive = (v: Value): Value => m.not(m.extract(v, t.width - 1, 1));
    m.connect(flag, choose(u(1), positive(q), positive(raised), positive(lowered(by)), positive(lowered(less))));
    return flag;
  };
  const below = (limit: number, name: string): Value => {
    const flag = m.regDeclare(u(1), { reset: initial < limit ? 1 : 0, hint: name });
    const under = (than: Value): Value => m.lt(q, than);
    const bound = m.constant(limit);
    m.connect(
      flag,
      choose(u(1), under(bound), under(m.constant(limit - 1)), under(m.add(bound, by)), under(m.add(bound, less))),
    );
    return flag;
  };
  return { present, below };
}
