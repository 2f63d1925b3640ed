/** What passes share during a run of a pipeline: messages, progress, and results of analyses that are not part of the IR. */
import { Sink } from "../diagnostics/index.js";

export class PassContext {
  private readonly store = new Map<string, unknown>();

  constructor(
    readonly sink: Sink = new Sink(),
    private readonly logger: (line: string) => void = () => {},
  ) {}

  /** What was stored under `key` (calibration samples, devices, reports); the caller vouches for the type. */
  get<T>(key: string): T | undefined {
    return this.store.get(key) as T | undefined;
  }
  set(key: string, value: unknown): void {
    this.store.set(key, value);
  }
  log(line: string): void {
    this.logger(line);
  }
}
