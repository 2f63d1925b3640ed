/**
 * Quantized models against ONNX Runtime, element by element, and which of their nodes do not compute with the model's
 * integers.
 *
 *   npm run bench:quantized -- FILE.onnx... [--samples N] [--flow] [--reference integers|default|nodes|exact|all] [--tensors] [--json FILE]
 *
 * Inputs are those of FILE_io.npz or test.npz beside the model where there is one, random numbers of the input's type
 * otherwise. What counts is a step: one least significant bit of an integer output, or of the last quantization in
 * front of a real one. `integers` is ONNX Runtime with its kernels of integers wherever it has some, its default on
 * ARM; `default` is that of this machine, on x86 with float32 where int8 comes from the input; `nodes` computes every
 * node in float32, as ONNX defines it; `exact` does so in float64. "given" counts every quantized tensor, each computed from ONNX Runtime's own
 * integers in front of it. `--flow` runs the fused kernels that become hardware as well. Python as in
 * test/support/onnxruntime.ts.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { Command } from "commander";
import {
  measureQuantized,
  REFERENCES,
  type Agreement,
  type QuantizedRecord,
  type Reference,
} from "../test/support/agreement.js";

const HEAD = [
  "model",
  "reference",
  "elements",
  "equal",
  "most",
  "elements of all tensors, given",
  "equal",
  "most",
  "real nodes",
  "flow",
];

interface Flags {
  readonly samples: string;
  readonly flow?: boolean;
  readonly reference: Reference | "all";
  readonly tensors?: boolean;
  readonly json?: string;
}

function rows(r: QuantizedRecord): string[][] {
  const share = (v: number): string => `${(100 * v).toFixed(v === 1 ? 0 : 4)} %`;
  const cells = (a: Agreement): string[] => [
    String(a.elements),
    share(a.equal),
    a.most.toFixed(a.most % 1 === 0 ? 0 : 2),
  ];
  return r.compared.map((c) => [
    r.name,
    c.reference,
    ...cells(c.outputs),
    ...cells(c.given),
    r.real.length === 0 ? "0" : `${r.real.length}: ${r.real[0]}`,
    r.flow === undefined ? "" : r.flow ? "equal" : "differs",
  ]);
}

await new Command("quantized")
  .argument("<models...>")
  .option("--samples <n>", "samples of each model", "8")
  .option("--flow", "run the fused kernels as well")
  .option("--reference <which>", "integers, default, nodes, exact or all", "all")
  .option("--tensors", "name the tensors that differ although what is in front of them is equal")
  .option("--json <file>", "write the records")
  .action(async (models: string[], flags: Flags) => {
    const records: QuantizedRecord[] = [];
    process.stdout.write(`| ${HEAD.join(" | ")} |\n| ${HEAD.map(() => "---").join(" | ")} |\n`);
    for (const file of models) {
      try {
        const r = await measureQuantized(file, readFileSync(file), {
          samples: Number(flags.samples),
          flow: flags.flow === true,
          references: flags.reference === "all" ? REFERENCES : [flags.reference],
        });
        records.push(r);
        for (const cells of rows(r)) process.stdout.write(`| ${cells.join(" | ")} |\n`);
        if (flags.tensors === true)
          for (const c of r.compared)
            for (const d of c.differing)
              process.stdout.write(
                `  ${c.reference}: ${d.count} of ${d.elements}, most ${d.most}${d.fromTie === undefined ? "" : `, up to ${d.fromTie.toExponential(1)} from a tie`}: ${d.tensor}\n`,
              );
      } catch (e) {
        process.stdout.write(`| ${file} | ${e instanceof Error ? e.message.split("\n")[0] : String(e)} |\n`);
      }
    }
    if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(records, null, 1)}\n`);
  })
  .parseAsync();
