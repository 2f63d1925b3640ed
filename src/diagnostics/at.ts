/** Access to what must be there: where it is not, an internal error says what is missing. */
import { CompilerBug } from "./index.js";

/** The value of `key`. @errors CompilerBug naming `what` and the key */
export function lookUp<K, V>(map: { get(key: K): V | undefined }, key: K, what: string): V {
  const value = map.get(key);
  if (value === undefined) throw new CompilerBug(`no ${what} for ${nameOf(key)}`);
  return value;
}

/** `value` itself. @errors CompilerBug naming `what` where it is absent */
export function required<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new CompilerBug(`no ${what}`);
  return value;
}

/** Element `index` of a list. @errors CompilerBug naming `what` where there is none */
export function elementAt<T>(list: ArrayLike<T>, index: number, what = "element"): T {
  const value = list[index];
  if (value === undefined) throw new CompilerBug(`no ${what} ${index} of ${list.length}`);
  return value;
}

/** The first and the last element of a list. @errors CompilerBug naming `what` for an empty one */
export function firstOf<T>(list: ArrayLike<T>, what = "first element"): T {
  return elementAt(list, 0, what);
}
export function lastOf<T>(list: ArrayLike<T>, what = "last element"): T {
  return elementAt(list, list.length - 1, what);
}

function nameOf(key: unknown): string {
  if (typeof key !== "object" || key === null) return String(key);
  return "name" in key ? String(key.name) : "this object";
}
