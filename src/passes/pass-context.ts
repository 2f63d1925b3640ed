/**
 * What passes share during a run of a pipeline: messages, progress, and results of analyses that are not part of the
 * IR.
 */
import { CompilerBug, Sink } from "../diagnostics/index.js";

/**
 * Names something that passes leave for others, and says what it is. Two keys are never the same, whatever they are
 * called.
 */
export class ContextKey<T> {
  /** Only for the type checker. */
  declare readonly holds: T;

  constructor(readonly name: string) {}
}

export class PassContext {
  private readonly store = new Map<ContextKey<unknown>, unknown>();

  constructor(
    readonly sink: Sink = new Sink(),
    private readonly logger: (line: string) => void = () => {},
  ) {}

  get<T>(key: ContextKey<T>): T | undefined {
    return this.store.get(key) as T | undefined;
  }
  /** What a pass must have left. @errors CompilerBug where none has */
  need<T>(key: ContextKey<T>): T {
    if (!this.store.has(key)) throw new CompilerBug(`no pass has left ${key.name}`);
    return this.store.get(key) as T;
  }
  set<T>(key: ContextKey<T>, value: T): void {
    this.store.set(key, value);
  }
  log(line: string): void {
    this.logger(line);
  }
}
