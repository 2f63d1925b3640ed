/**
 * A network whose kernels have their pipelines: what is checked and what the RTL is generated from. Pipelines follow
 * from the channels around a kernel, so a design is made of a problem and the choices for its links.
 */
import { bankDepth } from "../channel/memory-plan.js";
import type { Device } from "../device/devices.js";
import { ramStorage, romStorage } from "../device/storage.js";
import { isConstantOperand, isFixedOperand, weightTable, weightWords } from "../kernel/datapath.js";
import { type Pipeline, planPipeline } from "../kernel/pipeline.js";
import type { KernelNode } from "./elaborate.js";
import {
  type Around,
  connect,
  type KernelTiming,
  type Network,
  type Realization,
  type TimedKernel,
} from "./network.js";
import type { ChannelChoice, Link, Problem } from "./problem.js";

/** A kernel with its channels and the pipeline that follows from them. */
export interface PlannedKernel extends KernelNode, TimedKernel {
  readonly pipeline: Pipeline;
}

export interface Design extends Network<PlannedKernel> {
  readonly name: string;
  readonly device: Device;
  readonly clockMhz: number;
}

/** Plans designs of one problem: the same surroundings give the same pipeline, which is planned once. */
export class DesignPlanner {
  private readonly pipelines = new Map<string, Pipeline>();

  constructor(
    readonly problem: Problem<KernelNode>,
    private readonly clockMhz: number,
  ) {}

  design(choices: readonly ChannelChoice[]): Design {
    const { name, device } = this.problem;
    const network = connect(this.problem, choices, (kernel, around): KernelTiming & { pipeline: Pipeline } => {
      const pipeline = this.pipelineOf(kernel, around);
      return { pipeline, depth: pipeline.depth, resultNs: pipeline.resultNs };
    });
    return { name, device, clockMhz: this.clockMhz, ...network };
  }

  private pipelineOf(kernel: KernelNode, { inputs, outputs, before }: Around): Pipeline {
    const { device } = this.problem;
    const { timing } = device;
    const fromBlockRam = kernel.spec.operands.map((_, i) => comesFromBlockRam(device, kernel.spec, inputs, i));
    // Beats of a port come out of a register in front of it.
    const operandNs = before === "port" ? timing.base : before?.resultNs;
    const straight = outputs.every((c) => c.direct || c.through);
    const onwardNs = outputs.some((c) => c.through) ? timing.lut : 0;
    const key = JSON.stringify([kernel.name, fromBlockRam, operandNs, straight && onwardNs]);
    let pipeline = this.pipelines.get(key);
    if (pipeline === undefined) {
      pipeline = planPipeline(kernel.op, kernel.spec, kernel.products, device, this.clockMhz, {
        fromBlockRam: (i) => fromBlockRam[i] === true,
        ...(operandNs !== undefined && { operandNs }),
        ...(straight && { onwardNs }),
      });
      this.pipelines.set(key, pipeline);
    }
    return pipeline;
  }
}

/** Whether operand `i` of a kernel comes out of a block RAM. */
export function comesFromBlockRam(
  device: Device,
  spec: KernelNode["spec"],
  inputs: readonly Pick<Link & Realization, "operand" | "plan" | "elem">[],
  i: number,
): boolean {
  if (isConstantOperand(spec, i))
    return !isFixedOperand(spec, i) && romStorage(device, weightWords(weightTable(spec, i)), true).style === "block";
  return inputs.some(
    ({ operand, plan, elem }) =>
      operand === i &&
      plan.kind === "memory" &&
      // How many samples fit is not known yet; two as a rule.
      plan.banks.some(
        (b) =>
          b.words.length > 1 &&
          ramStorage(device, bankDepth(b.words.length, 2), b.planes.length * elem.width, true).style === "block",
      ),
  );
}
