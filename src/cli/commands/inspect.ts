import { Command } from "commander";
import { inspectModel, type Inspection } from "../../driver.js";
import { printable } from "../../diagnostics/index.js";
import { Exit, runAction, type GlobalOptions } from "../action.js";
import type { CliEnv } from "../env.js";
import {
  BIND_OPTION,
  DIM_OPTION,
  namedBound,
  namedShape,
  namedSize,
  SHAPE_OPTION,
  shapeOptions,
  type ShapeFlags,
} from "../options.js";
import { count, table } from "../table.js";

interface Flags extends GlobalOptions, ShapeFlags {
  readonly json?: boolean;
}

export function inspectCommand(env: CliEnv): Command {
  return new Command("inspect")
    .summary("show what is in an ONNX model, and what is not supported")
    .description(
      "Lists the operators of an ONNX model with their shapes and cost, and everything that onnx-hls does not support, with the place. Of a quantized model, whether each node computes with the model's own integers, and why not.",
    )
    .argument("<model>", "ONNX file (MODEL.onnx)")
    .option(...SHAPE_OPTION, namedShape)
    .option(...DIM_OPTION, namedSize)
    .option(...BIND_OPTION, namedBound)
    .option("--json", "print the list as JSON")
    .addHelpText(
      "after",
      `
Exit code 1 if the model cannot be compiled.

Example:
  $ onnx-hls inspect net.onnx`,
    )
    .action(async (model: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<Flags>();
      await runAction(env, flags, async (session) => {
        const r = await inspectModel(model, session, shapeOptions(flags));
        env.out(flags.json === true ? `${JSON.stringify(r, null, 2)}\n` : `${describe(r)}\n`);
        if (r.nodes.some((n) => !n.supported)) throw new Exit(1);
      });
    });
}

function arithmetic(n: Inspection["nodes"][number]): string {
  return n.arithmetic === undefined
    ? ""
    : n.arithmetic === "integers"
      ? "integers"
      : `real numbers: ${n.arithmetic_reason ?? ""}`;
}

function describe(r: Inspection): string {
  const port = (p: { name: string; shape: readonly number[] }): string =>
    `${printable(p.name)} [${p.shape.join(", ")}]`;
  const rows = r.nodes.map((n) => [
    printable(n.name, 60),
    printable(n.op_type, 30),
    n.output_shape.join("x"),
    n.macs,
    n.parameters,
    n.supported ? arithmetic(n) : `not supported: ${n.reason ?? ""}`,
  ]);
  return [
    r.model,
    `inputs:  ${r.inputs.map(port).join(", ")}`,
    `outputs: ${r.outputs.map(port).join(", ")}`,
    "",
    table(["node", "operator", "output", "MACs", "parameters", ""], rows),
    "",
    `${count(r.macs)} multiply-accumulates per sample, ${count(r.parameters)} parameters`,
  ].join("\n");
}
