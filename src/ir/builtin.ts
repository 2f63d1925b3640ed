/** Operations that nn and flow share: the network as a function. */
import type { Dialect } from "./define-op.js";
import { elemType, isWide, NUMBER_WIDTH, showType } from "./types.js";

export const builtinDialect: Dialect = {
  name: "builtin",
  ops: [
    {
      name: "func",
      summary: "The network: block arguments are its inputs, the operands of `return` its outputs.",
      operands: [],
      results: [],
      regions: 1,
      attrs: {
        sym: { kind: "string", doc: "name of the network" },
        inputs: { kind: "list", doc: "ONNX names of the inputs, in order" },
        outputs: { kind: "list", doc: "ONNX names of the outputs, in order" },
        input_words: { kind: "list", optional: true, doc: "in flow: elements per beat of each input port" },
        output_words: { kind: "list", optional: true, doc: "in flow: elements per beat of each output port" },
        input_scales: {
          kind: "list",
          optional: true,
          doc: "of ports that carry integers: real number = raw number x scale",
        },
        output_scales: { kind: "list", optional: true, doc: "likewise for the outputs" },
        latency: {
          kind: "int",
          optional: true,
          doc: "in flow: predicted cycles from the first input beat to the last output beat, both counted",
        },
        initiation_interval: { kind: "int", optional: true, doc: "in flow: predicted cycles between samples" },
      },
      verify: (op, report) => {
        const names = (key: string): readonly unknown[] => op.attrs[key] as readonly unknown[];
        for (const key of ["inputs", "outputs"])
          if (names(key).some((n) => typeof n !== "string")) report(`attribute "${key}" must list names`);
        const [ins, args] = [names("inputs").length, op.body.args.length];
        if (ins !== args) report(`${ins} input names for ${args} arguments`);
        const last = op.body.ops[op.body.ops.length - 1];
        const [outs, results] = [names("outputs").length, last?.operands.length ?? 0];
        if (outs !== results) report(`${outs} output names for ${results} returned values`);
        for (const { type } of [...op.body.args, ...(last?.operands ?? [])]) {
          const elem = elemType(type);
          if (elem.kind === "fixed" && isWide(elem))
            report(`a port of type ${showType(elem)}: ports have at most ${NUMBER_WIDTH} bits`);
        }
      },
    },
    {
      name: "return",
      summary: "Ends a function: its operands are the outputs of the network.",
      operands: ["outputs*"],
      results: [],
      traits: ["terminator"],
    },
  ],
};
