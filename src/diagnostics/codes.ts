/**
 * Every message that a user can get, in one table. Two letters for the area, three digits, never reused:
 * ON reading ONNX, NP data files, QU quantization, FL lowering and scheduling, TX textual IR and pass pipelines,
 * TO external tools, IO files and folders, CF configuration and command line, SE sensors and their frames.
 * Over 400 lines, because it is one table.
 * Style: lower case, no full stop, actual values in the text; the hint says what to type.
 */
import type { Severity } from "./index.js";

interface CodeDef<P> {
  readonly severity: Severity;
  readonly text: (p: P) => string;
  readonly hint?: (p: P) => string;
}

function error<P>(def: Omit<CodeDef<P>, "severity">): CodeDef<P> {
  return { severity: "error", ...def };
}
function warning<P>(def: Omit<CodeDef<P>, "severity">): CodeDef<P> {
  return { severity: "warning", ...def };
}

function note<P>(def: Omit<CodeDef<P>, "severity">): CodeDef<P> {
  return { severity: "note", ...def };
}

/** What to write where the thing named by the key was expected. */
const TEXT_HINTS: Readonly<Record<string, string>> = {
  "a type": "types are f32, fixed<8,4>, ufixed<8,4>, float<5,3>, tensor<1x16xf32>, stream<1x16xf32>, u8, s8",
  "an attribute value":
    'values are true, 1.5, "text", [1, 2], {key = 1}, a type, affine<(i) -> (i)>, dense<[1]> : tensor<1xf32>',
};

export const codes = {
  IO001: error({
    text: (p: { path: string; reason: string }) => `cannot read ${p.path}: ${p.reason}`,
    hint: () => "check the path and its permissions",
  }),
  IO002: error({
    text: (p: { path: string; reason: string }) => `cannot write ${p.path}: ${p.reason}`,
    hint: () => "choose a folder that you may write to with -o",
  }),
  IO003: error({
    text: (p: { path: string; found: string }) => `${p.path} holds files that onnx-hls did not write (${p.found})`,
    hint: () => "choose a new or empty folder with -o",
  }),
  IO004: error({
    text: (p: { path: string; missing: string }) =>
      `${p.path} is not the output of onnx-hls compile: ${p.missing} is missing`,
    hint: (p) => `make it with: onnx-hls compile MODEL.onnx -o ${p.path}`,
  }),
  CF001: warning({
    text: () => "no calibration data: ranges come from seeded random inputs, accuracy is not known",
    hint: () => "give representative inputs with --calib DATA.npz",
  }),
  CF002: error({
    text: (p: { file: string }) => `${p.file} has no "// RUN:" line, and no passes were given`,
    hint: () => 'say what to run with --passes "a,b{x=1}", or --passes "" to parse, verify and print',
  }),
  TX001: error({
    text: (p: { expected: string; found: string }) => `expected ${p.expected}, found ${p.found}`,
    hint: (p) => TEXT_HINTS[p.expected] ?? "docs/textual-ir.md describes the syntax",
  }),
  TX002: error({
    text: (p: { op: string; nearest?: string | undefined }) => `unknown operation "${p.op}"`,
    hint: (p) => (p.nearest === undefined ? "docs/ops lists the operations" : `did you mean "${p.nearest}"?`),
  }),
  TX003: error({
    text: (p: { name: string; nearest?: string | undefined }) => `no value named %${p.name} is visible here`,
    hint: (p) =>
      p.nearest === undefined ? "define it in this region or in one around it" : `did you mean %${p.nearest}?`,
  }),
  TX004: error({
    text: (p: { name: string }) => `%${p.name} is defined a second time`,
    hint: () => "give each value of a region its own name",
  }),
  TX005: error({
    text: (p: { name: string; type: string; declared: string }) =>
      `%${p.name} has type ${p.type}, but is used here as ${p.declared}`,
    hint: (p) => `write ${p.type} in the type list of this operation`,
  }),
  TX006: error({
    text: (p: { what: string; names: number; types: number }) => `${p.names} ${p.what}, but ${p.types} types`,
    hint: () => "the list behind the colon has one type per operand, the list behind the arrow one per result",
  }),
  TX007: error({
    text: (p: { digest: string }) => `the data of constant @${p.digest} is not in this file`,
    hint: () => "print the module with its resources (opt does so with --resources=inline)",
  }),
  TX008: error({
    text: (p: { reason: string }) => p.reason,
  }),
  TX010: error({
    text: (p: { op: string; problem: string }) => `${p.op}: ${p.problem}`,
  }),
  TX020: error({
    text: (p: { pass: string; nearest?: string | undefined }) => `unknown pass "${p.pass}"`,
    hint: (p) =>
      p.nearest === undefined ? "onnx-hls opt --list-passes shows the passes" : `did you mean "${p.nearest}"?`,
  }),
  TX021: error({
    text: (p: { pass: string; option: string; nearest?: string | undefined; known: string }) =>
      `pass ${p.pass} has no option "${p.option}"`,
    hint: (p) =>
      p.nearest !== undefined
        ? `did you mean "${p.nearest}"?`
        : p.known === ""
          ? "it takes no options"
          : `its options are ${p.known}`,
  }),
  TX022: error({
    text: (p: { pass: string; option: string; value: string; expected: string; nearest?: string | undefined }) =>
      `option ${p.option} of pass ${p.pass} takes ${p.expected}, not ${p.value}`,
    hint: (p) =>
      p.nearest === undefined ? `write ${p.option}=VALUE with ${p.expected}` : `did you mean ${p.option}=${p.nearest}?`,
  }),
  TX023: error({
    text: (p: { alias: string; nearest?: string | undefined }) => `unknown pipeline "@${p.alias}"`,
    hint: (p) =>
      p.nearest === undefined
        ? "onnx-hls opt --list-passes shows the named pipelines"
        : `did you mean "@${p.nearest}"?`,
  }),
  TX024: error({
    text: (p: { pass: string; wants: string; has: string }) =>
      `pass ${p.pass} works on ${p.wants}, but the module is at level ${p.has}`,
    hint: () => "put the passes in the order of the levels: nn, flow, rtl",
  }),
  TX025: error({
    text: (p: { pass: string; condition: string }) => `pass ${p.pass} requires that ${p.condition}`,
    hint: () => "run the pass that establishes this first; docs/passes says which",
  }),
  QU001: error({
    text: (p: { where: string; text: string }) => `${p.where}: "${p.text}" is not a precision`,
    hint: () =>
      "write a width such as 8, widths of weights and activations such as w8a12, for single layers w8a12,NODE=w10, or in YAML a record such as { weights: 8, activations: 12 }",
  }),
  QU002: error({
    text: (p: { where: string; what: string; value: string; min: number; max: number }) =>
      `${p.where}: ${p.what} of ${p.value} bits`,
    hint: (p) => `give a whole number from ${p.min} to ${p.max}`,
  }),
  QU003: error({
    text: (p: { where: string; key: string; nearest?: string | undefined; known: string }) =>
      `${p.where} has no entry "${p.key}"`,
    hint: (p) => (p.nearest === undefined ? `its entries are ${p.known}` : `did you mean "${p.nearest}"?`),
  }),
  QU004: error({
    text: (p: { name: string; nearest?: string | undefined }) =>
      `precision is given for "${p.name}", but the network has no node or tensor of that name`,
    hint: (p) => (p.nearest === undefined ? "onnx-hls inspect lists the nodes" : `did you mean "${p.nearest}"?`),
  }),
  QU005: error({
    text: (p: { what: string; reason: string }) => `${p.what} becomes too wide: ${p.reason}`,
    hint: () => "lower the precision of this layer or of what feeds it",
  }),
  QU006: error({
    text: (p: { what: string }) =>
      `${p.what} is not finite on the calibration samples, so no fixed-point range can be chosen`,
    hint: () =>
      "check the calibration data and the network's float outputs (division by zero, log of a negative number)",
  }),
  QU007: error({
    text: (p: { op: string; lacks: "fixed-point form" | "meaning" | "lowering" }) =>
      `${p.op} cannot be ${p.lacks === "lowering" ? "lowered" : p.lacks === "meaning" ? "computed" : "quantized"}: it has no ${p.lacks}`,
    hint: (p) =>
      p.lacks === "lowering"
        ? "registerLowering says how it becomes kernels"
        : p.lacks === "meaning"
          ? "its record needs `evaluate`: what it computes"
          : "replace the operator in the model; an operation of your own needs `inferTypes` that gives a fixed-point type for fixed-point operands",
  }),
  QU008: error({
    text: (p: { option: string; text: string; reason: string; nearest: string | undefined }) =>
      `${p.option} "${p.text}" cannot be used: ${p.reason}`,
    hint: (p) =>
      p.nearest === undefined
        ? "write METRIC=VALUE or OUTPUT:METRIC=VALUE with mae, rmse, max, sqnr (dB) or argmax (share that agrees), for example mae=0.001 or argmax=0.99"
        : `did you mean ${p.nearest}?`,
  }),
  QU009: error({
    text: (p: { option: string; name: string; known: string; nearest?: string | undefined }) =>
      `${p.option} names the output "${p.name}", which the network does not have`,
    hint: (p) =>
      p.nearest === undefined
        ? `its outputs are ${p.known}`
        : `did you mean "${p.nearest}"? The outputs are ${p.known}`,
  }),
  QU010: error({
    text: (p: { bound: string; best: string; widest: string }) =>
      `the bound ${p.bound} cannot be kept: the widest formats (${p.widest}) reach ${p.best} on the calibration data`,
    hint: (p) => `the best that can be asked for is ${p.best}; onnx-hls compare shows which layer loses most`,
  }),
  QU011: error({
    text: (p: { what: string }) => `--max-error needs ${p.what}`,
    hint: () => "give representative inputs with --calib DATA.npz, a few hundred samples if possible",
  }),
  QU012: warning({
    text: (p: { bound: string; reached: string; samples: number }) =>
      `the bound ${p.bound} is kept on the samples of the search, but not on the ${p.samples} held out: ${p.reached}`,
    hint: () => "give more calibration samples, or a stricter bound that leaves some room",
  }),
  QU014: warning({
    text: (p: { count: number; list: string }) =>
      `${p.count === 1 ? "one node of this quantized model does" : `${p.count} nodes of this quantized model do`} not compute with the model's own integers, but with formats that are chosen here: ${p.list}`,
    hint: () =>
      "quantize what these nodes read and write in the model, or check the accuracy with onnx-hls compare; onnx-hls inspect says of every node what it computes with",
  }),
  QU013: error({
    text: () => "--max-error chooses widths for float networks; this one is quantized already",
    hint: () =>
      "leave --max-error out: its own integers are computed exactly; or export the network before quantization",
  }),
  QU020: error({
    text: (p: {
      reached: string;
      samples: string;
      least: string;
      tried: string;
      layers: string;
      advice: string;
      accept: string;
    }) => `the accuracy is too low: ${p.reached}, measured on ${p.samples}; ${p.least} is needed${p.tried}${p.layers}`,
    hint: (p) => `${p.advice}accept what is reached with ${p.accept}`,
  }),
  QU021: warning({
    text: (p: { reached: string; samples: string; tried: string; layers: string; advice: string; accept: string }) =>
      `the accuracy is low: ${p.reached}, measured on ${p.samples}${p.tried}${p.layers}`,
    hint: (p) => `${p.advice}say that it will do with ${p.accept}`,
  }),
  QU022: note({
    text: (p: { before: string; after: string; samples: string; widths: string }) =>
      `widths were raised where the noise comes from: ${p.before} became ${p.after}, measured on ${p.samples}; ${p.widths}`,
    hint: () =>
      "precision.spec in report.json has them all; given to --precision, it makes the same again without a search",
  }),
  QU023: warning({
    text: (p: { reason: string }) => `accuracy is measured on the samples that chose the number formats: ${p.reason}`,
    hint: () =>
      "give more samples with --calib, so that some of them can be kept for measuring; 64 tell something, a few hundred are better",
  }),
  QU024: error({
    text: (p: { what: string }) => `${p.what} is infinite or not a number on the samples that accuracy is measured on`,
    hint: () => "check these samples and the network's float outputs (division by zero, log of a negative number)",
  }),
  QU025: warning({
    text: (p: { count: number; reached: string }) =>
      `${p.count} samples do not say what others are like: quantized without some of them, ${p.reached} on these; the design itself is accurate on all ${p.count}`,
    hint: () =>
      "give more samples with --calib, 64 or better a few hundred, so that ranges cover what the network will see",
  }),
  QU026: warning({
    text: (p: { rows: number }) =>
      `${p.rows === 1 ? "a row" : `${p.rows} rows`} of the softmax ${p.rows === 1 ? "is" : "are"} masked with -Inf throughout: the result is 0 there, where ONNX has NaN`,
    hint: () => "leave at least one position of every row unmasked, or make sure that nothing uses these rows",
  }),
  QU027: error({
    text: (p: { widths: string; needs: string }) => `--widths ${p.widths} needs ${p.needs}`,
    hint: () => "leave --widths out: then rules decide (docs/width-rules.md)",
  }),
  QU028: warning({
    text: (p: { name: string; stated: number; most: number }) =>
      `the table of "${p.name}" reads ${p.most} bits, not the ${p.stated} that are stated`,
    hint: (p) => `state at most i${p.most}: more entries would be a memory by themselves`,
  }),
  QU029: note({
    text: (p: { stated: string; used: string }) =>
      `what this quantized model leaves in floating point is computed with ${p.used}, not the network's ${p.stated}`,
    hint: () => "widths of single layers are taken as they are stated: --precision 'w8a10,NODE=w8a10'",
  }),
  TO001: error({
    text: (p: { tool: string; purpose: string; install: string }) =>
      `${p.tool} is not installed; it is needed to ${p.purpose}`,
    hint: (p) => `install it with: ${p.install}`,
  }),
  TO002: error({
    text: (p: { tool: string; step: string; output: string }) => `${p.tool} failed (${p.step}):\n${p.output}`,
    hint: () => "if the sources are as the compiler wrote them, please report this with the lines above",
  }),
  TO003: error({
    text: (p: { tool: string; step: string; seconds: number }) =>
      `${p.tool} did not finish within ${p.seconds} s (${p.step})`,
    hint: () => "make the design smaller, or give it more time (synth --timeout)",
  }),
  TO004: error({
    text: (p: { reason: string }) => `the simulation stopped: ${p.reason}`,
    hint: () => "this is a fault in the generated design; please report it with the model and the options",
  }),
  TO006: error({
    text: (p: { device: string }) => `${p.device} cannot be placed and routed with open tools`,
    hint: () =>
      "leave --pnr out for the counts, and use the vendor's tools on DIR/ip; nextpnr knows the ECP5 and iCE40 devices",
  }),
  FL001: error({
    text: (p: { name: string; known: string; nearest?: string | undefined }) => `device ${p.name} is not known`,
    hint: (p) => `${p.nearest === undefined ? "" : `did you mean ${p.nearest}? `}use one of ${p.known}`,
  }),
  FL002: error({
    text: (p: { ii: number; kernel: string; possible: number }) =>
      `an initiation interval of ${p.ii} cycles cannot be reached: ${p.kernel} needs at least ${p.possible}`,
    hint: (p) => `use --target-ii ${p.possible} or more`,
  }),
  FL003: error({
    text: (p: { limit: string; least: string; remedy: string }) =>
      `no design fits ${p.limit}; the one that comes nearest needs ${p.least}`,
    hint: (p) => `${p.remedy}, or lower the precision`,
  }),
  ON001: error({
    text: (p: { reason: string }) => `not an ONNX model: ${p.reason}`,
    hint: () => "export the model again, or check that the download is complete",
  }),
  ON002: error({
    text: (p: { what: string; oldest: number; newest: number }) =>
      `the model ${p.what}; opsets ${p.oldest} to ${p.newest} are read`,
    hint: (p) => `export with an opset from ${p.oldest} to ${p.newest}, for example 17`,
  }),
  ON003: error({
    text: (p: { what: string }) => p.what,
    hint: () => "the graph is not valid ONNX as it stands; check it with onnx.checker and export it again",
  }),
  ON004: error({
    text: (p: { count: number; list: string }) =>
      `${p.count === 1 ? "an operator is" : `${p.count} operators are`} not supported: ${p.list}`,
    hint: () => "onnx-hls inspect shows the whole network; replace these operators, or register an importer for them",
  }),
  ON005: error({
    text: (p: { what: string; hint: string }) => p.what,
    hint: (p) => p.hint,
  }),
  ON010: error({
    text: (p: { what: string; hint: string }) => `the tensor ${p.what}`,
    hint: (p) => p.hint,
  }),
  ON011: error({
    text: (p: { value: string; index: string }) => `the weight at [${p.index}] is ${p.value}`,
    hint: () => "training has diverged, or the file is damaged; export finite weights",
  }),
  ON020: error({
    text: (p: { what: string; hint: string }) => p.what,
    hint: (p) => p.hint,
  }),
  ON021: error({
    text: (p: { what: string; hint: string }) => p.what,
    hint: (p) => p.hint,
  }),
  ON022: note({
    text: (p: { domain: string; version: number }) =>
      `the model has operators of the domain "${p.domain}" but does not import it; they are read as its version ${p.version}`,
    hint: (p) => `import the domain in opset_import, version ${p.version}`,
  }),
  ON023: note({
    text: (p: { name: string; domain: string }) => `ONNX has no operator ${p.name}; it is read as that of ${p.domain}`,
    hint: (p) => `give the nodes the domain ${p.domain}, and import it`,
  }),
  ON024: warning({
    text: (p: { name: string; is: string; declared: string }) =>
      `"${p.name}" is ${p.is}, but the graph declares it as ${p.declared}`,
    hint: () =>
      "correct the declaration (onnx.shape_inference writes it), or convert the tensor with Cast; the values are those of the node",
  }),
  ON025: warning({
    text: (p: { batch: number }) =>
      `all inputs and outputs have ${p.batch} as their first dimension: this looks like a batch of ${p.batch} samples, but is read as one sample`,
    hint: (p: { batch: number; options: string }) => `for one sample at a time: ${p.options}`,
  }),
  ON026: error({
    text: (p: { what: string; hint: string }) => p.what,
    hint: (p) => p.hint,
  }),
  ON027: note({
    text: (p: { what: string }) => p.what,
  }),
  SE001: error({
    text: (p: { reason: string }) => `the sensor description cannot be read: ${p.reason}`,
    hint: () => "write keys and values, at least rows: 2048 and columns: 2048; docs/sensors.md lists all keys",
  }),
  SE002: error({
    text: (p: { key: string; nearest: string | undefined; known: string }) => `the key ${p.key} is not known`,
    hint: (p) => `${p.nearest === undefined ? "" : `did you mean ${p.nearest}? `}known here are ${p.known}`,
  }),
  SE003: error({
    text: (p: { key: string }) => `the sensor description does not say ${p.key}`,
    hint: (p) => `add a line such as ${p.key}: 2048`,
  }),
  SE004: error({
    text: (p: { key: string; have: string; want: string; nearest: string | undefined }) =>
      `${p.key} is ${p.have}; ${p.want} is needed`,
    hint: (p) => (p.nearest === undefined ? `write ${p.want}` : `did you mean ${p.nearest}?`),
  }),
  SE005: error({
    text: (p: { what: string; have: string; rows: number; columns: number }) =>
      `the ${p.what} has the shape [${p.have}], the sensor has ${p.rows} rows of ${p.columns} columns`,
    hint: (p) => `give a ${p.what} of shape [${p.rows}, ${p.columns}], or correct rows and columns`,
  }),
  SE006: error({
    text: (p: { what: string; value: string; row: number; column: number; want: string }) =>
      `the ${p.what} is ${p.value} at row ${p.row}, column ${p.column}; ${p.want} is needed`,
    hint: () => "repair the pixel, or take it out with the mask",
  }),
  SE007: error({
    text: (p: { pixels: number }) => `the mask takes out all ${p.pixels} pixels`,
    hint: () => "1 means that a pixel is not used, 0 that it is: the mask may be the wrong way round",
  }),
  SE008: error({
    text: (p: { have: string; rows: number; columns: number }) =>
      `the frames have the shape [${p.have}], the sensor has ${p.rows} rows of ${p.columns} columns`,
    hint: () => "correct rows and columns of the sensor description, or give frames of that size",
  }),
  SE009: error({
    text: (p: { value: string; type: string; frame: number; row: number; column: number; bits: number }) =>
      `frame ${p.frame} (${p.type}) holds ${p.value} at row ${p.row}, column ${p.column}, which is no pixel of ${p.bits} bits`,
    hint: (p) =>
      `pixels are whole numbers from 0 to ${2 ** p.bits - 1}; correct pixel_bits of the sensor description, or the frames`,
  }),
  SE010: error({
    text: (p: { reason: string }) => `cannot read the frames: ${p.reason}`,
    hint: () => "frames are .npy, .npz, .tif or .h5 files (HDF5, NeXus); an array has the axes [frame, row, column]",
  }),
  SE011: error({
    text: (p: { dataset: string; filter: string; known: string }) =>
      `dataset ${p.dataset} is compressed with ${p.filter}, which cannot be read here`,
    hint: (p) => `known are ${p.known}; rewrite the file with one of them (h5repack -f)`,
  }),
  SE012: error({
    text: (p: { input: string; have: string; size: number }) =>
      `input ${p.input} of the network has the shape [${p.have}], which is no patch of ${p.size} x ${p.size} pixels`,
    hint: () => "the network takes one patch, as [1, 1, rows, columns]; patch of the sensor description says its size",
  }),
  SE013: error({
    text: (p: { index: number; key: string; have: number }) =>
      `${p.key} of the position is output ${p.index}, the network has ${p.have} outputs`,
    hint: () => "say which outputs are the position: output: {column: 0, row: 1, unit: patch}",
  }),
  SE014: error({
    text: (p: { want: string; have: string }) => `there is no array of ${p.want}; the file holds ${p.have}`,
    hint: () => "name the array behind the file: frames.npz:images, scan.h5:/entry/data/data",
  }),
  SE030: error({
    text: (p: { key: string; why: string; instead: string }) => `${p.key} of the sensor description: ${p.why}`,
    hint: (p) => p.instead,
  }),
  SE015: error({
    text: (p: { name: string; scale: number }) =>
      `port ${p.name} of the network has the scale ${p.scale}, which is no power of two`,
    hint: () =>
      "behind a sensor the network's numbers are fixed point: compile the float network, not the quantized one",
  }),
  SE016: error({
    text: () => "the sensor description says that dark counts are streamed, and no file of them is given",
    hint: () => "give them with --dark DARK.npy: one image for all frames, or one for each",
  }),
  SE017: error({
    text: (p: { dark: number; frames: number }) => `there are ${p.dark} images of dark counts for ${p.frames} frames`,
    hint: (p) => `give one image for all frames, or ${p.frames}`,
  }),
  SE020: error({
    text: () => "the table of true centres has no columns frame, row and column",
    hint: () => "name them in the first line of a .csv file, or give an array whose first three columns they are",
  }),
  SE019: error({
    text: () => "there is no sensor in it that would say what frames are",
    hint: () => "say which with --sensor SENSOR.yaml, or compile the network with one",
  }),
  SE018: error({
    text: (p: { path: string }) => `the ending of ${p.path} does not say what to write`,
    hint: () => "peaks are written as .csv, .npz, .h5, or .bin (the records of the hardware)",
  }),
  NP001: error({
    text: (p: { reason: string }) => `cannot read the data: ${p.reason}`,
    hint: () => "write the data with numpy.savez or numpy.save",
  }),
  NP002: error({
    text: (p: { want: string; have: string }) => `the data file has no array for input "${p.want}"; it holds ${p.have}`,
    hint: (p) => `name the array after the input: numpy.savez(file, **{"${p.want}": samples})`,
  }),
  NP003: error({
    text: (p: { name: string; have: string; want: string }) =>
      `array ${p.name} has the shape [${p.have}], the network takes [${p.want}]`,
    hint: () => "the first axis counts samples; the others must be those of the network's input",
  }),
  NP004: error({
    text: (p: { name: string; value: string; sample: number }) =>
      `array ${p.name} holds a value that is ${p.value}, in sample ${p.sample}`,
    hint: () => "remove or repair the sample",
  }),
  NP005: error({
    text: (p: { name: string; have: number; want: number }) =>
      `input ${p.name} has ${p.have} samples, the inputs before it have ${p.want}`,
    hint: () => "give every input the same number of samples",
  }),
  FL004: error({
    text: (p: { rate: number; clock: number }) =>
      `${p.rate} samples per second are more than one per cycle at ${p.clock} MHz`,
    hint: (p) => `ask for at most ${p.clock * 1e6} samples per second, or raise --clock`,
  }),
  FL005: error({
    text: (p: { ii: number; device: string; over: string; possible: number }) =>
      `an initiation interval of ${p.ii} cycle${p.ii === 1 ? "" : "s"} does not fit ${p.device}: it takes ${p.over}`,
    hint: (p) => `--target-ii ${p.possible} fits; or choose a larger device or a lower precision`,
  }),
  FL006: error({
    text: (p: { ii: number; reached: number }) =>
      `an initiation interval of ${p.ii} cycles is not reached: kernels that wait for one another need ${p.reached}`,
    hint: (p) => `use --target-ii ${p.reached} or more`,
  }),
  FL007: error({
    text: (p: { name: string; ii: number; beats: number; word: number; enough: number; bits: number }) =>
      `an initiation interval of ${p.ii} cycles cannot be fed: input ${p.name} takes ${p.beats} beats per sample at ${p.word} element${p.word === 1 ? "" : "s"} a beat`,
    hint: (p) => `use --axis-width ${p.bits} (${p.enough} elements a beat) or wider, or --target-ii ${p.beats} or more`,
  }),
  FL008: error({
    text: (p: { name: string; asked: string; shape: string; choices: string; width: number }) =>
      `input ${p.name} of shape ${p.shape} cannot pass in beats of ${p.asked}`,
    hint: (p) =>
      `possible are ${p.choices} elements a beat, each of ${p.width} bits; --axis-width takes bits, or elements as in 4e`,
  }),
  FL009: error({
    text: (p: { clock: number; device: string; fastest: number; others: string }) =>
      `${p.clock} MHz are beyond what ${p.device} reaches: its logic and multipliers end at ${p.fastest} MHz`,
    hint: (p) =>
      `use --clock ${p.fastest} or less${p.others === "" ? "; no other device reaches it" : `, or a device that reaches it: ${p.others}`}`,
  }),
  FL010: error({
    text: (p: { name: string }) => `output ${p.name} is the same whatever the inputs are`,
    hint: () => "remove it from the outputs of the model; constants need no hardware",
  }),
  FL011: error({
    text: (p: { device: string; over: string }) =>
      `the folding that --unroll gives does not fit ${p.device}: it takes ${p.over}`,
    hint: () => "give the options that the exploration had, --device, --clock, --calib and --precision among them",
  }),
  FL012: error({
    text: (p: {
      clock: number;
      device: string;
      kernel: string;
      what: string;
      ns: string;
      has: string;
      possible: number;
    }) =>
      `${p.kernel} cannot run at ${p.clock} MHz on ${p.device}: ${p.what} takes ${p.ns} ns, and a cycle has ${p.has} ns`,
    hint: (p) => `use --clock ${p.possible} or less, narrower numbers, or a faster device`,
  }),
  FL013: warning({
    text: (p: { clock: number; kernel: string; what: string; ns: string; has: string; safe: number }) =>
      `${p.kernel} leaves little of a cycle for longer routes: ${p.what} takes ${p.ns} of ${p.has} ns`,
    hint: (p) => `${p.clock} MHz may be missed after routing; --clock ${p.safe} or less keeps the usual margin`,
  }),
  FL014: error({
    text: (p: { module: string }) => `module ${p.module} says no device and clock`,
    hint: () => "run the pass target{device=NAME,clock=MHZ} before",
  }),
  FL015: error({
    text: (p: { line: number; text: string; what: string }) =>
      `line ${p.line} of the scheduling problem, "${p.text}", cannot be read: ${p.what}`,
    hint: () => "see the form of the text in src/backend-hls/design/schedule-text.ts",
  }),
  CF003: error({
    text: (p: { key: string; value: string; needed: string }) =>
      `${p.key} is ${p.value} in the configuration; ${p.needed}`,
  }),
  CF004: error({
    text: (p: { stage: string; known: string; nearest?: string | undefined }) =>
      `there is no stage "${p.stage}" behind which passes could run`,
    hint: (p) =>
      `${p.nearest === undefined ? "" : `did you mean "${p.nearest}"? `}stages are ${p.known}; for example --passes-after prepare='prune{below=0.1}'`,
  }),
  CF005: error({
    text: (p: { reason: string }) => `the plugin cannot be loaded: ${p.reason}`,
    hint: () =>
      "a plugin is a JavaScript module that imports onnx-hls and registers operators or passes; examples/custom-pass is one",
  }),
  CF006: error({
    text: (p: { keys: readonly string[] }) =>
      `${p.keys.join(" and ")} are given in the configuration; one of them is needed`,
    hint: (p) => `keep one of ${p.keys.join(", ")}: each says how fast the design is to be`,
  }),
  CF007: error({
    text: (p: { problem: string }) => `the configuration cannot be read: ${p.problem}`,
    hint: () => "write YAML with a key and its value on each line, for example target_ii: 100",
  }),
  CF008: error({
    text: (p: { key: string; known: readonly string[]; nearest?: string | undefined }) =>
      `the configuration has the key "${p.key}", which is not known`,
    hint: (p) =>
      `${p.nearest === undefined ? "" : `did you mean "${p.nearest}"? `}known keys are ${p.known.join(", ")}`,
  }),
  IO005: error({
    text: (p: { path: string }) => `${p.path} is not a folder made by onnx-hls compile`,
    hint: () => "compile a model first: onnx-hls compile MODEL.onnx -o DIR",
  }),
  IO006: error({
    text: (p: { path: string; made: string; model: string }) =>
      `${p.path} was compiled from another network (${p.made}) than ${p.model}`,
    hint: (p) => `give the model that it was made from, or compile this one: onnx-hls compile ${p.model} -o DIR`,
  }),
  IO007: error({
    text: (p: { path: string; reason: string }) => `${p.path} is not a manifest of a build: ${p.reason}`,
    hint: () => "compile the model again, or take the file from where the build came from",
  }),
  IO008: error({
    text: (p: { path: string; changed: readonly string[]; missing: readonly string[] }) =>
      `${p.path} is not as it was built: ${[
        ...(p.changed.length > 0 ? [`changed ${p.changed.join(", ")}`] : []),
        ...(p.missing.length > 0 ? [`missing ${p.missing.join(", ")}`] : []),
      ].join("; ")}`,
    hint: () => "compile the model again with the options in manifest.json, and compare what was edited",
  }),
} as const;

export type Code = keyof typeof codes;
export type ParamsOf<C extends Code> = (typeof codes)[C] extends CodeDef<infer P> ? P : never;
