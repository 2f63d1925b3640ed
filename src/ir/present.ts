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

/** The value of `key`; `what` names it in the message about the bug. */
export function lookUp<K, V>(map: { get(key: K): V | undefined }, key: K, what: string): V {
  const value = map.get(key);
  if (value === undefined) throw new CompilerBug(`no ${what} for ${nameOf(key)}`);
  return value;
}

/** Element `i` of a list of any kind, as `at`, from the beginning. */
export function elementAt<T>(list: ArrayLike<T>, i: number, what = "element"): T {
  const value = list[i];
  if (value === undefined) throw new CompilerBug(`no ${what} ${i} of ${list.length}`);
  return value;
}

/** The first element of a list that is not empty. */
export function firstOf<T>(list: ArrayLike<T>, what = "first element"): T {
  return elementAt(list, 0, what);
}

/** The last element of a list that is not empty. */
export function lastOf<T>(list: ArrayLike<T>, what = "last element"): T {
  return elementAt(list, list.length - 1, what);
}

function nameOf(key: unknown): string {
  if (typeof key !== "object" || key === null) return String(key);
  return "name" in key ? String(key.name) : "this object";
}
