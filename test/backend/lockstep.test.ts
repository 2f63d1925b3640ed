/**
 * Kernels without a buffer in front of them: one pipeline across them, equal bit for bit and cycle for cycle, with and
 * without stalls.
 */
import { describe, expect, it } from "vitest";
import { mulberry32 } from "../../src/driver/evaluate.js";
import { throughHardware, type HardwareRun } from "../frontend/hardware.js";
import { floats, importValid, node, onnx, weights } from "../frontend/support.js";

const N = 6;

interface Net {
  readonly nodes: object[];
  readonly initializer: object[];
}

/** y = activation(W x + b) with weights of a fixed seed. */
function dense(net: Net, rnd: () => number, x: string, y: string, activation: string): void {
  const numbers = (n: number): number[] => Array.from({ length: n }, () => 2 * rnd() - 1);
  net.initializer.push(weights(`${y}_w`, [N, N], numbers(N * N)), weights(`${y}_b`, [N], numbers(N)));
  net.nodes.push(node("Gemm", [x, `${y}_w`, `${y}_b`], [activation === "" ? y : `${y}_sum`], `${y}_gemm`));
  if (activation !== "") net.nodes.push(node(activation, [`${y}_sum`], [y]));
}

function run(net: Net, rnd: () => number, ii: number, clock: number): HardwareRun {
  const samples = Array.from({ length: 12 }, () => [Float64Array.from({ length: N }, () => 2 * rnd() - 1)]);
  const model = importValid(
    onnx({
      node: net.nodes,
      initializer: net.initializer,
      input: [floats("x", [1, N])],
      output: [floats("y", [1, N])],
    }),
    "lockstep.onnx",
  );
  const r = throughHardware(model, samples, ii, { target: `device=xcu280,clock=${clock}` });
  expect(r.simulated).toEqual(r.expected.map((s) => s.map((o) => [...o])));
  expect(r.stalled(() => rnd() < 0.4)).toEqual(r.simulated);
  expect(r.measured).toEqual(r.predicted);
  return r;
}

describe("kernels in lockstep", () => {
  it.each([
    [100, 4],
    [250, 4],
    [500, 3],
  ])("are one pipeline from port to port at an interval of one cycle, at %i MHz", (clock, layers) => {
    const rnd = mulberry32(clock);
    const net: Net = { nodes: [], initializer: [] };
    for (let i = 0; i < layers; i++)
      dense(
        net,
        rnd,
        i === 0 ? "x" : `h${i}`,
        i === layers - 1 ? "y" : `h${i + 1}`,
        ["Relu", "", "Tanh", "Sigmoid"][i]!,
      );
    const r = run(net, rnd, 1, clock);
    expect(r.predicted.interval).toBe(1);
    expect(r.direct).toHaveLength(layers);
  });
  it("take a slower clock's cycles together", () => {
    const latency = [100, 400].map((clock) => {
      const rnd = mulberry32(7);
      const net: Net = { nodes: [], initializer: [] };
      dense(net, rnd, "x", "h", "Relu");
      dense(net, rnd, "h", "y", "");
      return run(net, rnd, 1, clock).predicted.latency;
    });
    expect(latency[0]).toBeLessThan(latency[1]!);
  });
  it("have no register but the output port's where a cycle is long enough", () => {
    const rnd = mulberry32(8);
    const net: Net = { nodes: [], initializer: [] };
    dense(net, rnd, "x", "h", "Relu");
    dense(net, rnd, "h", "y", "Relu");
    expect(run(net, rnd, 1, 20).predicted).toEqual({ latency: 2, interval: 1 });
  });
  it("fork to others, and join behind buffers", () => {
    const rnd = mulberry32(9);
    const net: Net = { nodes: [], initializer: [] };
    dense(net, rnd, "x", "a", "Relu");
    dense(net, rnd, "a", "b", "Tanh");
    dense(net, rnd, "b", "c", "");
    net.nodes.push(node("Mul", ["c", "a"], ["d"]));
    dense(net, rnd, "d", "y", "Relu");
    const r = run(net, rnd, 1, 250);
    expect(r.predicted.interval).toBe(1);
    expect(r.direct.length).toBeGreaterThan(1);
  });
  it("are those that never let a word wait", () => {
    const rnd = mulberry32(3);
    const net: Net = { nodes: [], initializer: [] };
    dense(net, rnd, "x", "h", "Relu");
    dense(net, rnd, "h", "y", "");
    expect(run(net, rnd, 2 * N, 250).direct).toEqual([]);
  });
});
