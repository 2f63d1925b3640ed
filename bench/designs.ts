/** The designs that are measured. Models and data are those of `examples`. */
export interface BenchDesign {
  readonly name: string;
  readonly model: string;
  readonly calib: string;
  readonly test: string;
  /** Array with the float network's outputs in the test data. */
  readonly reference: string;
  readonly args: readonly string[];
  /** Part of the quick set. */
  readonly quick: boolean;
}

const bragg = (s: 1 | 4, ii: number, quick: boolean): BenchDesign => ({
  name: `braggnn_s${s}_ii${ii}`,
  model: `examples/braggnn/braggnn_s${s}.onnx`,
  calib: "examples/braggnn/data/calib.npz",
  test: "examples/braggnn/data/test.npz",
  reference: s === 1 ? "float_centre" : "float_centre_s4",
  args: ["--target-ii", String(ii), "--device", "xcu280", "--clock", "250"],
  quick,
});

export const designs: readonly BenchDesign[] = [bragg(1, 121, true), bragg(1, 25, false), bragg(1, 1000, false), bragg(4, 1000, true), bragg(4, 250, false)];
