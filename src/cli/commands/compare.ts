import { Command } from "commander";
import { compareDesign, type Comparison } from "../../driver.js";
import { LAYER_COLUMNS, percent, short, widthsInWords } from "../../driver/comparison.js";
import { runAction, type GlobalOptions } from "../action.js";
import type { CliEnv } from "../env.js";
import {
  BIND_OPTION,
  DIM_OPTION,
  namedShape,
  namedBound,
  namedSize,
  positiveInteger,
  SHAPE_OPTION,
  shapeOptions,
  type ShapeFlags,
} from "../options.js";
import { count, si, table } from "../table.js";

interface Flags extends GlobalOptions, ShapeFlags {
  readonly input: string;
  readonly html?: string;
  readonly samples?: number;
  readonly json?: boolean;
}

export function compareCommand(env: CliEnv): Command {
  return new Command("compare")
    .summary("find out where a design loses accuracy")
    .description(
      "Runs the float network and the bit-exact fixed-point network of a compiled design side by side, and says layer by layer where accuracy is lost and what to do about it.",
    )
    .argument("<model>", "ONNX file that the design was compiled from (MODEL.onnx)")
    .argument("<dir>", "folder made by onnx-hls compile")
    .requiredOption(
      "--input <data>",
      "inputs (.npz with the network's input names, or a single .npy); the first axis counts samples",
    )
    .option(...SHAPE_OPTION, namedShape)
    .option(...DIM_OPTION, namedSize)
    .option(...BIND_OPTION, namedBound)
    .option("--html <file>", "draw it: one HTML file that needs nothing else")
    .option("--samples <n>", "use at most so many samples, spread over the data", positiveInteger)
    .option("--json", "print everything as JSON")
    .addHelpText(
      "after",
      `
Columns: SQNR is the signal-to-noise ratio of the tensor in the running network; "own" counts only the noise that
the layer adds itself, with the float network's tensors as its inputs; "of output noise" is the share of the error
at the outputs that the layer causes; "width by" names the rule that set the width (docs/width-rules.md).

Example:
  $ onnx-hls compare net.onnx build --input test.npz --html accuracy.html`,
    )
    .action(async (model: string, dir: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<Flags>();
      await runAction(env, flags, async (session) => {
        const options = {
          input: flags.input,
          ...shapeOptions(flags),
          ...(flags.samples !== undefined && { samples: flags.samples }),
          ...(flags.html !== undefined && { html: flags.html }),
        };
        const c = await compareDesign(model, dir, options, session);
        env.out(flags.json === true ? `${JSON.stringify(c, jsonNumber, 1)}\n` : `${summary(c, flags.html)}\n`);
      });
    });
}

/** JSON has no infinity: a tensor without any noise has no ratio. */
function jsonNumber(_key: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? null : value;
}

function summary(c: Comparison, html: string | undefined): string {
  const lines = [
    `${c.model} in float and as ${c.design} (${widthsInWords(c.precision)}) on ${count(c.samples)} samples`,
    "",
  ];
  const out = c.outputs.map((o) => [
    o.name,
    o.format,
    si(o.mae, ""),
    si(o.rmse, ""),
    si(o.max_abs_error, ""),
    db(o.sqnr_db),
    o.argmax_agreement === undefined ? "-" : percent(o.argmax_agreement),
  ]);
  lines.push(table(["output", "format", "mean error", "rmse", "largest", "SQNR dB", "same argmax"], out), "");
  const worst = c.layers.find((l) => l.name === c.worst_layer);
  const rows = c.layers.map((l) => [
    `${l === worst ? "> " : "  "}${l.name}`,
    l.nodes.length === 0 ? "input" : l.operations.join(" "),
    `${short(l.min)} .. ${short(l.max)}`,
    l.format,
    l.saturated === 0 ? "-" : percent(l.saturated),
    percent(l.range_used),
    db(l.sqnr_db),
    db(l.own_sqnr_db),
    percent(l.output_share),
    l.cause === "none" ? "-" : l.cause,
    l.rule ?? "-",
  ]);
  lines.push(table(["  layer", ...LAYER_COLUMNS], rows), "", ...c.findings);
  lines.push(
    c.verdict === "good"
      ? "The accuracy is good on this data."
      : `The accuracy is ${c.verdict} on this data (${c.shortfalls.join("; ")}).`,
  );
  if (html !== undefined) lines.push("", `drawn in ${html}`);
  return lines.join("\n");
}

function db(x: number): string {
  return Number.isFinite(x) ? x.toFixed(1) : x > 0 ? "exact" : "-";
}
