/**
 * ONNX Runtime as the outside reference of tests: models go to one Python process that lives as long as the tests of a
 * file.
 *
 * Python is $ONNX_HLS_PYTHON, else .venv/bin/python of this repository (scripts/test.sh makes it), else python3. Where
 * none has onnxruntime, `onnxRuntimeMissing` says why, and tests that need it skip with that text:
 *
 *     describe.skipIf(onnxRuntimeMissing !== undefined)(`equal to ONNX Runtime ${onnxRuntimeMissing ?? ""}`, () => ...)
 */
import { spawn, type ChildProcessByStdio } from "node:child_process";
import type { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { pythonWith } from "./python.js";

export type ElementType =
  | "float"
  | "double"
  | "float16"
  | "bool"
  | "int8"
  | "uint8"
  | "int16"
  | "uint16"
  | "int32"
  | "uint32"
  | "int64"
  | "uint64";

/** Numbers in row-major order; integers of 64 bits up to 2^53. */
export interface RuntimeTensor {
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}
/** Tensors by ONNX name. */
export type RuntimeTensors = Readonly<Record<string, RuntimeTensor>>;

export interface RuntimeRequest {
  readonly model: Uint8Array;
  /** Inputs of each run. */
  readonly samples: readonly RuntimeTensors[];
  /** Whether ONNX Runtime may rewrite the graph; by default it computes what the file says, node by node. */
  readonly optimize?: boolean;
  /**
   * With `optimize`: kernels of integers for int8 activations too, as by default on ARM; on x86 only uint8 ones get
   * them.
   */
  readonly int8?: boolean;
  /** Not ONNX Runtime, but every node in float64 (test/support/exact.py); Python needs the package onnx for it. */
  readonly exact?: boolean;
}

const found = pythonWith("numpy", "onnxruntime");

/** Why ONNX Runtime cannot be asked; undefined where it can. */
export const onnxRuntimeMissing: string | undefined = "missing" in found ? found.missing : undefined;

/** Bytes of a stream, as many as asked for at a time. */
class Bytes {
  private readonly chunks: Buffer[] = [];
  private wake: (() => void) | undefined;
  private ended = false;

  constructor(stream: Readable) {
    stream.on("data", (c: Buffer) => {
      this.chunks.push(c);
      this.wake?.();
    });
    stream.on("close", () => {
      this.ended = true;
      this.wake?.();
    });
  }

  private async more(): Promise<void> {
    if (this.ended) throw new Error("the Python process with ONNX Runtime has ended");
    await new Promise<void>((resolve) => (this.wake = resolve));
    this.wake = undefined;
  }
  async line(): Promise<string> {
    for (;;) {
      const all = Buffer.concat(this.chunks.splice(0));
      const end = all.indexOf(10);
      if (end >= 0) {
        this.chunks.push(all.subarray(end + 1));
        return all.subarray(0, end).toString("utf8");
      }
      this.chunks.push(all);
      await this.more();
    }
  }
  async take(count: number): Promise<Buffer> {
    while (this.chunks.reduce((n, c) => n + c.length, 0) < count) await this.more();
    const all = Buffer.concat(this.chunks.splice(0));
    this.chunks.push(all.subarray(count));
    return all.subarray(0, count);
  }
}

let server: { readonly process: ChildProcessByStdio<Writable, Readable, null>; readonly out: Bytes } | undefined;
let queue: Promise<unknown> = Promise.resolve();

function start(): NonNullable<typeof server> {
  if (!("python" in found)) throw new Error(found.missing);
  const child = spawn(found.python, [fileURLToPath(new URL("run_models.py", import.meta.url))], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  // It ends when its input does, with the process that runs the tests.
  child.unref();
  // Where it has died the answer that does not come says so.
  child.stdin.on("error", () => undefined);
  return { process: child, out: new Bytes(child.stdout) };
}

interface Header {
  readonly error?: string;
  readonly samples: readonly Readonly<
    Record<string, { readonly type: ElementType; readonly shape: readonly number[] }>
  >[];
}

/** The process keeps the tests' process alive only while it is asked. */
function hold(on: boolean): void {
  for (const end of [server!.process.stdout, server!.process.stdin] as unknown as Socket[])
    on ? end.ref() : end.unref();
}

async function ask(r: RuntimeRequest): Promise<RuntimeTensors[]> {
  server ??= start();
  hold(true);
  try {
    return await answerOf(server, r);
  } finally {
    hold(false);
  }
}

async function answerOf(
  server: { readonly process: ChildProcessByStdio<Writable, Readable, null>; readonly out: Bytes },
  r: RuntimeRequest,
): Promise<RuntimeTensors[]> {
  const specs = r.samples.map((s) =>
    Object.fromEntries(Object.entries(s).map(([name, { type, shape }]) => [name, { type, shape }])),
  );
  const blobs = r.samples.flatMap((s) => Object.values(s).map((t) => Buffer.from(Float64Array.from(t.data).buffer)));
  server.process.stdin.write(
    Buffer.concat([
      Buffer.from(
        `${JSON.stringify({ bytes: r.model.length, optimize: r.optimize === true, int8: r.int8 === true, exact: r.exact === true, samples: specs })}\n`,
      ),
      r.model,
      ...blobs,
    ]),
  );
  const header = JSON.parse(await server.out.line()) as Header;
  if (header.error !== undefined) throw new Error(`ONNX Runtime: ${header.error}`);
  const outputs: RuntimeTensors[] = [];
  for (const s of header.samples) {
    const of: Record<string, RuntimeTensor> = {};
    for (const [name, { type, shape }] of Object.entries(s)) {
      const bytes = await server.out.take(8 * shape.reduce((n, d) => n * d, 1));
      of[name] = { type, shape, data: new Float64Array(Uint8Array.from(bytes).buffer) };
    }
    outputs.push(of);
  }
  return outputs;
}

/**
 * Outputs of each sample of each model, in their order.
 * @throws Error with ONNX Runtime's words where it refuses a model
 */
export async function runOnnxRuntime(requests: readonly RuntimeRequest[]): Promise<RuntimeTensors[][]> {
  const results: RuntimeTensors[][] = [];
  for (const r of requests) {
    const answer = queue.then(() => ask(r));
    queue = answer.catch(() => undefined);
    results.push(await answer);
  }
  return results;
}
