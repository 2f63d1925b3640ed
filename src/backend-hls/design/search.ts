/**
 * From a request to a design: what is asked for, or the fastest that fits. The solver proposes foldings; the timeline,
 * which is exact, decides which of them keeps the interval and what its latency is, and what it takes is counted on its
 * hardware.
 */
import { present } from "../../ir/present.js";
import { cloneModule, type Module } from "../../ir/core.js";
import { readKernel } from "../../ir/flow/kernel.js";
import { isFx } from "../../ir/fx/index.js";
import { elementCount, type StreamType } from "../../ir/types.js";
import { CompilerBug, UserError } from "../../diagnostics/index.js";
import { knownDevices } from "../device/devices.js";
import { equivalentLuts, type Resources } from "../device/resources.js";
import { wholeRequest } from "../fold/folding.js";
import { DEFAULT_PRICES, type Effort, type Prices, type WholeRequest } from "../fold/request.js";
import { FoldingSolver } from "../fold/solve-folding.js";
import type { Design } from "./design.js";
import { excess, fits, type Limits, limitText, RESOURCES, scaledDevice, within } from "./limits.js";
import { type PortLimits, portLimits } from "./port-limits.js";
import type { DesignRequest } from "./request.js";
import {
  designCounts,
  foldDesign,
  insertChannels,
  type Scheduled,
  type ScheduleFailure,
  slowestKernel,
} from "./schedule.js";

/** Share of the device that a design takes where nothing is said. */
const DEFAULT_SHARE = 0.6;
/** Tries to reach an interval, each asking more of every kernel than the one before. */
const MAX_ATTEMPTS = 6;
/** Changes of the prices to come within limits. */
const MAX_PRICINGS = 4;
/** Latencies count with this power against the area, where neither is to be the least. */
const LATENCY_EXPONENT = 1 / 3;

/** Prices of the latency that are tried. */
const LATENCY_PRICES = {
  area: [0, 1 / 16],
  latency: [0.3, 1, 4],
  multipliers: [0, 1 / 16],
  all: [1 / 16, 1 / 8, 0.22],
} as const;

/** A folding that was tried out. */
export interface Chosen {
  /** Its interval is at most the one that is reached. */
  readonly request: WholeRequest;
  readonly scheduled: Scheduled;
  /** Counted on the hardware, as the report does. */
  readonly resources: Resources;
  readonly solver: FoldingSolver;
  /** What it may use. */
  readonly limits: Limits;
}

/** A folding so far beyond the limits that its timeline is not worth running. */
export interface TooLarge {
  readonly needed: Resources;
}
/**
 * Estimates without the timeline count rings at a typical size; beyond this share of the limits they are sure enough.
 */
const SURELY_TOO_LARGE = 1.25;

type Tried = Chosen | ScheduleFailure | TooLarge;

function isChosen(t: Tried): t is Chosen {
  return "scheduled" in t;
}

function multipliers(c: Chosen): number {
  return designCounts(c.scheduled.design).multipliers;
}

/** Counts the hardware of a design. */
export type AreaOf = (design: Design) => Resources;

/** Schedules for the target; without one, for one input beat per cycle if that fits. @errors FL002 to FL008 */
export function chooseDesign(module: Module, request: DesignRequest, areaOf: AreaOf): Chosen {
  return new DesignSearch(module, request, areaOf).choose();
}

export class DesignSearch {
  private readonly solver: FoldingSolver;
  private readonly ports: PortLimits;
  private readonly tried = new Map<string, Tried>();
  /** Of the designs beyond the limits, the one that exceeds them least, in what it exceeds most. */
  private nearest: { readonly used: Resources; readonly excess: number } | undefined;

  constructor(
    private readonly module: Module,
    private readonly request: DesignRequest,
    private readonly areaOf: AreaOf,
  ) {
    this.solver = new FoldingSolver(module, request.device);
    this.ports = portLimits(module, request.axis);
  }

  choose(): Chosen {
    const { target } = this.request;
    if (target?.kind === "unroll") throw new CompilerBug("a folding that is given leaves nothing to choose");
    if (target?.kind === "ii" || target?.kind === "rate") {
      const ii = target.kind === "ii" ? target.cycles : Math.floor((this.request.clockMhz * 1e6) / target.hz);
      if (ii < 1) throw UserError.of("FL004", { rate: (target as { hz: number }).hz, clock: this.request.clockMhz });
      return this.reach(ii);
    }
    const limits: Limits =
      target === undefined
        ? scaledDevice(this.request.device, DEFAULT_SHARE)
        : { ...scaledDevice(this.request.device, 1), ...target.limits };
    // Where nothing is said, one beat per cycle is fast enough; with a budget, anything down to one sample per cycle.
    const start = target === undefined ? this.inputBeats() : this.ports.fewestBeats();
    const ii = this.fastestThatFits(
      start,
      limits,
      target === undefined
        ? `60 % of ${this.request.device.name}`
        : Object.entries(target.limits)
            .map(([k, v]) => `${k}=${v}`)
            .join(","),
    );
    return this.best(ii, limits) ?? present(this.fit(ii, DEFAULT_PRICES, limits, "quick"), "fit");
  }

  /** A design for an interval, quickly found; `latency` as in `Prices`. Undefined where none keeps it on the device. */
  sketch(ii: number, latency: number): Chosen | undefined {
    return this.fit(
      ii,
      { ...DEFAULT_PRICES, latency, ...(latency === 0 && { product: 0 }) },
      scaledDevice(this.request.device, 1),
      "quick",
    );
  }

  /**
   * Half of the interval at which a design is sure to fit the device, since at other prices a faster one may; and the
   * one beyond which kernels shrink no further. @errors FL003
   */
  range(): { readonly fastest: number; readonly slowest: number } {
    const least = this.ports.fewestBeats();
    return {
      fastest: Math.max(
        least,
        Math.ceil(this.fastestThatFits(least, scaledDevice(this.request.device, 1), this.request.device.name) / 2),
      ),
      slowest: slowestKernel(this.module),
    };
  }

  private inputBeats(): number {
    const beats = this.module.func.body.args.map((a, i) =>
      Math.ceil(elementCount((a.type as StreamType).shape) / (this.ports.words?.[i] ?? 1)),
    );
    return Math.max(1, ...beats);
  }

  /** The best design for an interval. @errors FL002, FL003, FL005, FL006, FL007 */
  private reach(ii: number): Chosen {
    this.ports.mustFeed(ii);
    const limits = scaledDevice(this.request.device, 1);
    const best = this.best(ii, limits);
    if (best !== undefined) return best;
    const first = this.attempt(ii, DEFAULT_PRICES, "full", limits);
    if ("kernel" in first)
      throw UserError.of(
        "FL002",
        {
          ii,
          kernel: String(first.kernel.attrs["sym"] ?? "the output"),
          possible: this.possibleFrom(first.cycles, limits),
        },
        { node: first.kernel.loc.nodes[0] ?? String(first.kernel.attrs["sym"]) },
      );
    const reached = isChosen(first) ? first.scheduled.timeline.initiationInterval : ii;
    if (reached > ii) throw UserError.of("FL006", { ii, reached });
    const needed = isChosen(first) ? first.resources : first.needed;
    const possible = this.fastestThatFits(ii, limits, this.request.device.name);
    throw UserError.of("FL005", {
      ii,
      device: this.request.device.name,
      over: excess(needed, this.request.device),
      possible,
    });
  }

  /**
   * Least interval from `ii` on that no kernel refuses: with more time, others arrive in another order, which may need
   * more again.
   */
  private possibleFrom(ii: number, limits: Limits): number {
    const next = this.attempt(ii, DEFAULT_PRICES, "full", limits);
    return "kernel" in next && next.cycles > ii ? this.possibleFrom(next.cycles, limits) : ii;
  }

  /** The best of several foldings that keep the interval within the limits, by the objective. */
  private best(ii: number, limits: Limits): Chosen | undefined {
    const { minimize } = this.request;
    const latencies = LATENCY_PRICES[minimize ?? "all"];
    const found: Chosen[] = [];
    const look = (interval: number): void => {
      for (const latency of latencies) {
        const c = this.fit(
          interval,
          { ...DEFAULT_PRICES, latency, ...(minimize === "area" && { product: 0 }) },
          limits,
          "full",
        );
        if (c !== undefined) found.push(c);
      }
    };
    look(ii);
    // What is faster is often sooner done, too.
    if (minimize === "latency") {
      for (
        let interval = Math.floor(ii / 2), before = found.length;
        interval >= this.ports.fewestBeats();
        interval = Math.floor(interval / 2)
      ) {
        look(interval);
        if (found.length === before) break;
        before = found.length;
      }
    }
    const score = (c: Chosen): number => {
      const area = equivalentLuts(c.resources);
      const { latency } = c.scheduled.timeline;
      if (minimize === "area") return area;
      if (minimize === "latency") return latency * 1e9 + area;
      if (minimize === "multipliers") return multipliers(c) * 1e6 + latency;
      return area * latency ** LATENCY_EXPONENT;
    };
    return found.sort((a, b) => score(a) - score(b))[0];
  }

  /**
   * A design for the interval within the limits, if changing prices leads to one; `hopeless` are limits beyond which it
   * is not tried out.
   */
  fit(ii: number, start: Prices, limits: Limits, effort: Effort, hopeless: Limits = limits): Chosen | undefined {
    let prices = start;
    for (let pricing = 0; pricing < MAX_PRICINGS; pricing++) {
      const c = this.attempt(ii, prices, effort, hopeless);
      if ("kernel" in c || (isChosen(c) && c.scheduled.timeline.initiationInterval > ii)) return undefined;
      const used = isChosen(c) ? c.resources : c.needed;
      if (isChosen(c) && within(used, limits)) return { ...c, limits };
      if (isChosen(c)) this.noteNearest(used, limits);
      // What is short becomes dear (subgradient steps of the Lagrangian relaxation of the limits).
      const scarcity = (k: keyof Resources): number =>
        used[k] > (limits[k] ?? Infinity)
          ? Math.min(8, 1.3 * (used[k] / Math.max(1, limits[k] ?? Infinity)) ** 1.5)
          : 1;
      prices = {
        ...prices,
        lut: prices.lut * scarcity("lut"),
        ff: prices.ff * scarcity("ff"),
        dsp: prices.dsp * scarcity("dsp"),
        bram: prices.bram * scarcity("bram"),
        latency: prices.latency / 4,
      };
    }
    return undefined;
  }

  private noteNearest(used: Resources, limits: Limits): void {
    const excess = Math.max(...RESOURCES.map((k) => used[k] / Math.max(1, limits[k] ?? Infinity)));
    if (this.nearest === undefined || excess < this.nearest.excess) this.nearest = { used, excess };
  }

  /** @errors FL003 */
  private refuse(limits: Limits, limit: string): UserError {
    if (this.nearest === undefined)
      return UserError.of("FL003", { limit, least: "several times as much", remedy: "choose a larger device" });
    const { used } = this.nearest;
    const larger = knownDevices()
      .filter((d) => fits(used, d))
      .map((d) => d.name);
    const asked = this.request.target?.kind === "budget" ? this.request.target.limits : {};
    const enough = RESOURCES.filter((k) => used[k] > (limits[k] ?? Infinity) || k in asked).map(
      (k) => `${k}=${Math.max(Math.ceil(used[k]), asked[k] ?? 0)}`,
    );
    const remedy = fits(used, this.request.device)
      ? `use --budget ${enough.join(",")}`
      : larger.length > 0
        ? `choose a larger device: ${larger.join(", ")}`
        : "no device known here is large enough; prune the network";
    return UserError.of("FL003", { limit, least: limitText(used), remedy });
  }

  /**
   * A folding whose timeline keeps the interval; kernels that each keep it may wait for one another, then they are
   * asked for more.
   */
  private attempt(ii: number, prices: Prices, effort: Effort, limits: Limits): Tried {
    const key = JSON.stringify([ii, prices, effort, limits]);
    let found = this.tried.get(key);
    if (found === undefined) this.tried.set(key, (found = this.settle(ii, prices, effort, limits)));
    return found;
  }

  private settle(ii: number, prices: Prices, effort: Effort, limits: Limits): Tried {
    let last: Chosen | undefined;
    const { device, clockMhz } = this.request;
    const { words: inputWords, outputBits } = this.ports;
    for (let asked = ii, attempt = 1; attempt <= MAX_ATTEMPTS && asked >= 1; attempt++) {
      const request = wholeRequest(this.module, {
        ii: asked,
        prices,
        effort,
        ...(inputWords !== undefined && { inputWords }),
        ...(outputBits !== undefined && { outputBits }),
      });
      const folding = this.solver.solve(request);
      if ("kernel" in folding) return last ?? folding;
      if (!RESOURCES.every((k) => folding.resources[k] <= SURELY_TOO_LARGE * (limits[k] ?? Infinity) + 8))
        return last ?? { needed: folding.resources };
      const copy = cloneModule(this.module);
      foldDesign(copy, device, request, this.solver);
      const scheduled = insertChannels(copy, device, clockMhz);
      const reached = scheduled.timeline.initiationInterval;
      if (last === undefined || reached < last.scheduled.timeline.initiationInterval)
        last = { request, scheduled, resources: this.areaOf(scheduled.design), solver: this.solver, limits: {} };
      if (reached <= ii) break;
      asked = Math.min(asked - 1, Math.floor((asked * ii) / reached));
    }
    return present(last, `folding for ${ii} cycles`);
  }

  /**
   * Least interval from `start` on whose design fits: doubling, then bisection. Cost falls with the interval, if not at
   * every step.
   */
  private fastestThatFits(start: number, limits: Limits, limit: string): number {
    const slow = slowestKernel(this.module);
    const good = (ii: number): boolean => this.fit(ii, DEFAULT_PRICES, limits, "quick") !== undefined;
    let bad = Math.max(start, this.atLeast(limits)) - 1;
    let ok = bad + 1;
    while (!good(ok)) {
      bad = ok;
      ok *= 2;
      if (ok > 2 * slow) {
        // How much is needed at least, of what is short.
        this.fit(bad, { ...DEFAULT_PRICES, latency: 0, product: 0 }, limits, "quick", {});
        throw this.refuse(limits, limit);
      }
    }
    while (ok - bad > Math.max(1, Math.floor(ok / 48))) {
      const middle = Math.floor((ok + bad) / 2);
      if (good(middle)) ok = middle;
      else bad = middle;
    }
    return ok;
  }

  /** No design within the limits is faster: products need a share of a multiplier block, or some LUTs. */
  private atLeast(limits: Limits): number {
    const macs = this.module.func.body.ops.reduce(
      (n, op) =>
        n +
        (op.name === "flow.kernel" && op.body.ops.some((o) => isFx(o, "fx.mul"))
          ? readKernel(op).iterators.reduce((m, i) => m * i.extent, 1)
          : 0),
      0,
    );
    const products = 2 * (limits.dsp ?? Infinity) + (limits.lut ?? Infinity);
    return Math.max(1, Math.floor(macs / Math.max(1, products)));
  }
}
