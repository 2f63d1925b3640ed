/** What an invariant says is there. Its absence is a bug of ours, and says so instead of going on as undefined. */
import { CompilerBug } from "../diagnostics/index.js";

/** `value`, which is there; `what` names it in the message about the bug. */
export function present<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new CompilerBug(`${what} is missing`);
  return value;
}

/** Element `i` of `list`, which has so many; a negative `i` counts from the end. */
export function at<T>(list: readonly T[], i: number): T {
  const value = list.at(i);
  if (value === undefined) throw new CompilerBug(`element ${i} of a list of ${list.length}`);
  return value;
}
