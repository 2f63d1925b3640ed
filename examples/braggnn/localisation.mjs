// Mean localisation error in pixels of results that onnx-hls run or simulate wrote, next to the float network's.
//
//   node examples/braggnn/localisation.mjs RESULT.npz [float_centre | float_centre_s4]
import { readFileSync } from "node:fs";
import { readArrays } from "../../dist/index.js";

const SIDE = 11; // outputs and truth are in units of the patch edge
const [result, reference = "float_centre"] = process.argv.slice(2);
const load = (path) => readArrays(readFileSync(path), path);
const test = load(new URL("data/test.npz", import.meta.url).pathname);
const truth = test.get("target").data;

function meanError(centres) {
  let sum = 0;
  for (let i = 0; i < truth.length; i += 2)
    sum += SIDE * Math.hypot(centres[i] - truth[i], centres[i + 1] - truth[i + 1]);
  return sum / (truth.length / 2);
}

const float = meanError(test.get(reference).data);
const fixed = meanError(load(result).get("centre").data);
console.log(
  `localisation error on ${truth.length / 2} patches: float ${float.toFixed(4)} px, fixed point ${fixed.toFixed(4)} px (${fixed >= float ? "+" : ""}${((fixed / float - 1) * 100).toFixed(1)} %)`,
);
