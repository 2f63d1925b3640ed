/** docs/sensors.md: keys, meaning and records of sensors, from the tables that the compiler itself goes by. */
import { layoutTables } from "../src/sensor/decoders.js";
import {
  DISPERSION_KEYS,
  FIND_KEYS,
  OUTPUT_KEYS,
  SENSOR_KEYS,
  type KeySpec,
  type ValueKind,
} from "../src/sensor/keys.js";

function valueText(v: ValueKind): string {
  switch (v.kind) {
    case "whole":
      return `${v.from} to ${v.to}`;
    case "one-of":
      return v.values.join(", ");
    case "file":
      return "file";
    case "dark":
      return "number, file, `stream`";
    case "group":
      return v.word === undefined ? "keys below" : `keys below, or its ${v.word}`;
  }
}

function keyTable(keys: Readonly<Record<string, KeySpec>>): string {
  const rows = Object.entries(keys).map(([name, k]) =>
    [`\`${name}\``, valueText(k.value), k.unit, k.default === undefined ? "needed" : `\`${k.default}\``, k.doc].join(
      " | ",
    ),
  );
  return ["| key | value | unit | default | meaning |", "|---|---|---|---|---|", ...rows.map((r) => `| ${r} |`)].join(
    "\n",
  );
}

/** The page without its note. */
export function sensorPage(): string {
  return `# Sensors: frames in, coordinates out

\`compile --sensor SENSOR.yaml\` puts a front end before a network that locates a peak in a patch: pixels come in, records with coordinates
go out. \`run\` and \`simulate\` then take frames; \`run --sensor\` does so with any compiled network, or in float with an ONNX file.

\`\`\`sh
onnx-hls compile braggnn_s1.onnx --sensor sensor.yaml --calib calib.npz -o build
onnx-hls run build --input scan_master.h5 --output peaks.csv --html peaks.html
onnx-hls simulate build --input scan_master.h5 --output peaks.csv
\`\`\`

## The description

${keyTable(SENSOR_KEYS)}

Under \`find\`:

${keyTable(FIND_KEYS)}

Under \`dispersion\`:

${keyTable(DISPERSION_KEYS)}

Under \`output\`:

${keyTable(OUTPUT_KEYS)}

What there is no hardware for, \`compile\` refuses by its key; \`run --sensor\` takes all of it.

Files are relative to the description. A file is .npy, .npz, TIFF or HDF5; \`FILE:NAME\` names an array in it.

## What is computed

All in integers, the same in the model and in hardware, for each frame:

1. v = max(raw - dark, 0); with a flat field v = floor(v x factor + 1/2), factors rounded to 1/16384; v is clipped to the pixel's bits, at most 16.
2. v = 0 where the mask is not 0.
3. With \`dispersion\`: m pixels of the window lie in the frame and are not masked, S is their sum, S2 the sum of their squares. v is kept where
   a = m S2 - S^2 - S (m - 1) > 0, a^2 > 2 background^2 S^2 (m - 1), m v - S > 0, (m v - S)^2 > signal^2 S m, and m is at least \`min_count\` (the
   test of DIALS, squared); otherwise it becomes 0.
4. v = 0 where v is below the threshold.
5. \`local-maximum\`: a pixel of at least \`peak_min\` that is larger than the pixels of its window before it in raster order, and at least as large
   as those behind it. The patch begins \`patch\` / 2 (rounded down) pixels above and to the left of it. With \`edges: drop\`
   it must lie in the frame.
   \`component\`: an 8-connected region of pixels above 0 of at least \`min_pixels\` pixels whose bounding box fits the patch. The patch holds its
   pixels alone, the box in the middle: (patch - size) / 2, rounded down, pixels from the edge.
6. \`min-max\`: the network sees (v - least) / max(largest - least, 1), rounded half up to its input's format; 1 saturates where the format ends below.
7. Row = origin + answer x patch (or the answer itself, in pixels), rounded half up to 1/1024 pixel. 0 is the middle of the first pixel.

## The records

128 bits each, on an AXI4-Stream; bit 0 is the lowest of \`tdata\`. A frame's peaks come before its end. \`decoders/records.py\` (NumPy) and
\`decoders/records.h\` (C99) of a compiled design read them.

${layoutTables()}

## Hardware

Local maxima with edges: drop. \`component\`, \`dispersion\` and \`edges: pad\` have their meaning and their software (\`run\`), and no hardware yet: \`compile\` refuses
them with SE030 and says what to write. What a queue holds at least without a loss, and how late a coordinate comes, is in \`report.json\`
under \`detector\`; \`simulate\` compares every record and its cycle with that.

## Files

- Frames: arrays of [frame, row, column] of whole numbers in .npy and .npz files, TIFF pages, HDF5 datasets. Of HDF5 files
  \`/entry/data/data_000001\` and those behind it are taken, as EIGER detectors write them, or \`/entry/data/data\`, or the only dataset of three
  axes. Filters are those of the HDF5 library and its common plugins, bitshuffle with LZ4 among them.
- Masks and flat fields are found under \`mask\`, \`pixel_mask\`, \`flat\`, or where EIGER's master file has them.
- Peaks: \`.csv\` (and a second one, \`-frames.csv\`, of the frames), \`.npz\` with arrays \`peaks_row\`, \`frames_found\`, ..., \`.h5\` with groups
  \`peaks\` and \`frames\`, or \`.bin\`, the records.
`;
}
