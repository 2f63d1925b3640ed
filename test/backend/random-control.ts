/** How random networks use control flow and sequences, which are decided as a model is read. */
import { BOOL, FLOAT, INT64 } from "./model-builder.js";
import { ranked, real, type Use } from "./random-operands.js";

const port = (name: string, elemType = FLOAT): object => ({ name, type: { tensorType: { elemType } } });
const node = (opType: string, input: readonly string[], output: string): object => ({
  opType,
  input,
  output: [output],
});

export const controlUses: readonly Use[] = [
  {
    name: "If",
    build: (b) => {
      const x = real(b);
      const branch = (op: string): { graph: object } => ({
        graph: { name: op, node: [node(op, [x.name], "branch")], output: [port("branch")] },
      });
      b.node("If", [b.codes("bool", [], [b.int(0, 1)])], {
        attrs: { then_branch: branch("Neg"), else_branch: branch("Relu") },
        type: FLOAT,
        computed: true,
        size: x.size,
      });
    },
  },
  {
    name: "Loop",
    build: (b) => {
      const x = real(b);
      const w = b.weights(x.shape);
      const rows = b.chance(0.5) && x.shape.length < 4;
      const body = {
        name: "body",
        node: [node("Mul", ["s", w], "m"), node("Tanh", ["m"], "s2"), node("Identity", ["go"], "go2")],
        input: [port("i", INT64), port("go", BOOL), port("s")],
        output: [port("go2", BOOL), port("s2"), ...(rows ? [port("m")] : [])],
      };
      b.results("Loop", [b.integers([b.int(1, 3)], []), b.codes("bool", [], [1]), x], rows ? 2 : 1, {
        attrs: { body: { graph: body } },
        type: FLOAT,
        size: x.size,
      });
    },
  },
  {
    name: "Scan",
    build: (b) => {
      const x = ranked(b, 3, (s) => s[1]! <= 5);
      const body = {
        name: "body",
        node: [node("Mul", ["h", "a"], "m"), node("Tanh", ["m"], "h2"), node("Add", ["h2", "a"], "o")],
        input: [port("h"), port("a")],
        output: [port("h2"), port("o")],
      };
      const shape = [1, x.shape[2]!];
      b.results("Scan", [b.weights(shape), x], 2, {
        attrs: {
          body: { graph: body },
          num_scan_inputs: 1,
          scan_input_axes: [1],
          scan_output_axes: [1],
          scan_input_directions: [b.int(0, 1)],
          scan_output_directions: [b.int(0, 1)],
        },
        type: FLOAT,
        size: x.size + 1,
      });
    },
  },
  {
    name: "SplitToSequence",
    build: (b) => {
      const x = ranked(b, 3, (s) => s[1]! % 2 === 0 && s[1]! <= 6);
      if (x.shape[1]! % 2 === 1) return;
      const parts = b.constantNode("SplitToSequence", [x, b.integers([2], [])], { axis: 1 });
      const more = b.constantNode("SequenceInsert", [
        parts,
        b.constantNode("SequenceAt", [parts, b.integers([b.pick([0, -1])], [])]),
        b.integers([0], []),
      ]);
      const kept = b.chance(0.5) ? b.constantNode("SequenceErase", [more, b.integers([-1], [])]) : more;
      b.node("ConcatFromSequence", [kept], {
        attrs: { axis: b.int(0, 2), new_axis: b.int(0, 1) },
        type: FLOAT,
        computed: true,
        size: x.size,
      });
    },
  },
];
