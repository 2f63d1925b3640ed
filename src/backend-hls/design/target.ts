/**
 * From a target to a design: what is asked for, or the fastest that fits. The solver proposes foldings; the timeline,
 * which is exact, decides which of them keeps the interval and what its latency is.
 */
import { cloneModule, type Module } from "../../ir/core.js";
import { readKernel } from "../../ir/flow/kernel.js";
import { isFx } from "../../ir/fx/index.js";
import { elementCount, type StreamType } from "../../ir/types.js";
import { CompilerBug, UserError } from "../../diagnostics/index.js";
import { inputWord } from "../channel/ports.js";
import { type Device, knownDevices } from "../device/devices.js";
import { equivalentLuts, type Resources } from "../device/resources.js";
import { DEFAULT_PRICES, FoldingSolver, type Prices } from "../fold/solve-folding.js";
import { type AxisWidth, type PortLimits, portLimits } from "./port-limits.js";
import {
  designCounts,
  insertChannels,
  type Scheduled,
  type ScheduleFailure,
  slowestKernel,
  unrollModule,
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

/** What the design is to reach, or what it may use. */
export type Target =
  /** Cycles between samples, at most. */
  | { readonly kind: "ii"; readonly cycles: number }
  | { readonly kind: "rate"; readonly hz: number }
  /** Largest use of `lut`, `ff`, `dsp`, `bram`; absent ones are not limited. */
  | { readonly kind: "budget"; readonly limits: Readonly<Record<string, number>> }
  /** A folding that was found before: options of the pass `unroll`, as `explore` gives them for each design. */
  | { readonly kind: "unroll"; readonly options: string };

/** What is to be the least under a target. */
export type Minimize = "latency" | "area" | "multipliers";

export interface Objective {
  readonly target: Target | undefined;
  readonly minimize: Minimize | undefined;
  readonly axis: AxisWidth | undefined;
}

/** A folding that was tried out. */
export interface Chosen {
  /** Interval that each kernel was asked for: at most the one that is reached. */
  readonly asked: number;
  readonly prices: Prices;
  readonly inputWords: readonly number[];
  readonly outputBits: number | undefined;
  readonly effort: "quick" | "full";
  readonly scheduled: Scheduled;
  readonly solver: FoldingSolver;
  /** What it may use. */
  readonly limits: Limits;
}

export type Limits = Readonly<Partial<Record<keyof Resources, number>>>;

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

const RESOURCES = ["lut", "ff", "dsp", "bram"] as const;

/** Clock that registers around one level of logic, or around a multiplier block, allow. */
function fastestClock(d: Device): number {
  return Math.floor(1000 / Math.max(d.timing.base + d.timing.lut, d.dsp > 0 ? d.timing.multiply : 0));
}

/** @errors FL009 */
export function requireClock(device: Device, mhz: number): void {
  if (mhz <= fastestClock(device)) return;
  const others = knownDevices()
    .filter((d) => fastestClock(d) >= mhz)
    .map((d) => d.name)
    .join(", ");
  throw UserError.of("FL009", { clock: mhz, device: device.name, fastest: fastestClock(device), others });
}

function within(r: Resources, limits: Limits): boolean {
  return RESOURCES.every((k) => r[k] <= (limits[k] ?? Infinity));
}

function scaledDevice(d: Device, share: number): Limits {
  return Object.fromEntries(RESOURCES.map((k) => [k, Math.floor(d[k] * share)]));
}

function multipliers(c: Chosen): number {
  return designCounts(c.scheduled.design).multipliers;
}

function limitText(limits: Limits): string {
  return RESOURCES.flatMap((k) => (limits[k] === undefined ? [] : [`${k}=${limits[k]}`])).join(",");
}

/** Options of the pass `unroll` that give this folding again. */
export function unrollOptions(c: Chosen): string {
  const p = c.prices;
  const priced = {
    "lut-price": p.lut,
    "ff-price": p.ff,
    "dsp-price": p.dsp,
    "bram-price": p.bram,
    "product-price": p.product,
    "latency-price": p.latency,
  };
  return [
    `ii=${c.asked}`,
    ...Object.entries(priced).map(([k, v]) => `${k}=${v}`),
    `input-words="${c.inputWords.join("+")}"`,
    ...(c.effort === "full" ? [] : [`effort=${c.effort}`]),
    ...(c.outputBits === undefined ? [] : [`output-bits=${c.outputBits}`]),
  ].join(",");
}

/** Everything that the device has. */
export function deviceLimits(device: Device): Limits {
  return scaledDevice(device, 1);
}

/** What is used of a device beyond what it has; empty where it fits. */
function excess(used: Resources, device: Device): string {
  return RESOURCES.filter((k) => used[k] > device[k])
    .map((k) => `${used[k]} of ${device[k]} ${k.toUpperCase()}`)
    .join(", ");
}
export function fits(used: Resources, device: Device): boolean {
  return excess(used, device) === "";
}
/** @errors FL011 */
export function requireFit(used: Resources, device: Device): void {
  const over = excess(used, device);
  if (over !== "") throw UserError.of("FL011", { device: device.name, over });
}

/** Schedules for the target; without one, for one input beat per cycle if that fits. @errors FL002 to FL008 */
export function chooseDesign(module: Module, device: Device, clockMhz: number, objective: Objective): Chosen {
  return new DesignSearch(module, device, clockMhz, objective).choose();
}

export class DesignSearch {
  private readonly solver: FoldingSolver;
  private readonly ports: PortLimits;
  private readonly tried = new Map<string, Tried>();
  /** Of the designs beyond the limits, the one that exceeds them least, in what it exceeds most. */
  private nearest: { readonly used: Resources; readonly excess: number } | undefined;

  constructor(
    private readonly module: Module,
    private readonly device: Device,
    private readonly clockMhz: number,
    private readonly objective: Objective,
  ) {
    this.solver = new FoldingSolver(module, device);
    this.ports = portLimits(module, objective.axis);
  }

  choose(): Chosen {
    const { target } = this.objective;
    if (target?.kind === "unroll") throw new CompilerBug("a folding that is given leaves nothing to choose");
    if (target?.kind === "ii" || target?.kind === "rate") {
      const ii = target.kind === "ii" ? target.cycles : Math.floor((this.clockMhz * 1e6) / target.hz);
      if (ii < 1) throw UserError.of("FL004", { rate: (target as { hz: number }).hz, clock: this.clockMhz });
      return this.reach(ii);
    }
    const limits: Limits =
      target === undefined
        ? scaledDevice(this.device, DEFAULT_SHARE)
        : { ...scaledDevice(this.device, 1), ...target.limits };
    // Where nothing is said, one beat per cycle is fast enough; with a budget, anything down to one sample per cycle.
    const start = target === undefined ? this.inputBeats() : this.ports.fewestBeats();
    const ii = this.fastestThatFits(
      start,
      limits,
      target === undefined
        ? `60 % of ${this.device.name}`
        : Object.entries(target.limits)
            .map(([k, v]) => `${k}=${v}`)
            .join(","),
    );
    return this.best(ii, limits) ?? this.fit(ii, DEFAULT_PRICES, limits, "quick")!;
  }

  /** The kernels of a folding, with their channels. */
  scheduled(c: Chosen): Module {
    const copy = cloneModule(this.module);
    unrollModule(copy, {
      device: this.device,
      clockMhz: this.clockMhz,
      ii: c.asked,
      prices: c.prices,
      inputWords: c.inputWords,
      effort: c.effort,
      solver: this.solver,
      ...(c.outputBits !== undefined && { outputBits: c.outputBits }),
    });
    insertChannels(copy, this.device, this.clockMhz);
    return copy;
  }

  /** A design for an interval, quickly found; `latency` as in `Prices`. Undefined where none keeps it on the device. */
  sketch(ii: number, latency: number): Chosen | undefined {
    return this.fit(
      ii,
      { ...DEFAULT_PRICES, latency, ...(latency === 0 && { product: 0 }) },
      scaledDevice(this.device, 1),
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
        Math.ceil(this.fastestThatFits(least, scaledDevice(this.device, 1), this.device.name) / 2),
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
    const limits = scaledDevice(this.device, 1);
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
    const needed = isChosen(first) ? first.scheduled.resources : first.needed;
    const possible = this.fastestThatFits(ii, limits, this.device.name);
    throw UserError.of("FL005", { ii, device: this.device.name, over: excess(needed, this.device), possible });
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
    const { minimize } = this.objective;
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
      const area = equivalentLuts(c.scheduled.resources);
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
  fit(
    ii: number,
    start: Prices,
    limits: Limits,
    effort: "quick" | "full",
    hopeless: Limits = limits,
  ): Chosen | undefined {
    let prices = start;
    for (let pricing = 0; pricing < MAX_PRICINGS; pricing++) {
      const c = this.attempt(ii, prices, effort, hopeless);
      if ("kernel" in c || (isChosen(c) && c.scheduled.timeline.initiationInterval > ii)) return undefined;
      const used = isChosen(c) ? c.scheduled.resources : c.needed;
      if (isChosen(c) && within(used, limits)) return { ...c, limits };
      if (isChosen(c)) this.noteNearest(used, limits);
      // What is short becomes dear (subgradient steps of the Lagrangian relaxation of the limits).
      const scarcity = (k: keyof Resources): number =>
        used[k] > (limits[k] ?? Infinity) ? Math.min(8, 1.3 * (used[k] / Math.max(1, limits[k]!)) ** 1.5) : 1;
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
    const asked = this.objective.target?.kind === "budget" ? this.objective.target.limits : {};
    const enough = RESOURCES.filter((k) => used[k] > (limits[k] ?? Infinity) || k in asked).map(
      (k) => `${k}=${Math.max(Math.ceil(used[k]), asked[k] ?? 0)}`,
    );
    const remedy = fits(used, this.device)
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
  private attempt(ii: number, prices: Prices, effort: "quick" | "full", limits: Limits): Tried {
    const key = JSON.stringify([ii, prices, effort, limits]);
    let found = this.tried.get(key);
    if (found === undefined) this.tried.set(key, (found = this.settle(ii, prices, effort, limits)));
    return found;
  }

  private settle(ii: number, prices: Prices, effort: "quick" | "full", limits: Limits): Tried {
    let last: Chosen | undefined;
    for (let asked = ii, attempt = 1; attempt <= MAX_ATTEMPTS && asked >= 1; attempt++) {
      const copy = cloneModule(this.module);
      const inputWords =
        this.ports.words ?? this.module.func.body.args.map((a) => inputWord(a.type as StreamType, asked));
      const outputBits = this.ports.outputBits;
      const port = outputBits === undefined ? {} : { outputBits };
      const folding = this.solver.solve({ ii: asked, prices, inputs: inputWords, ...port, effort });
      if ("kernel" in folding) return last ?? folding;
      if (!RESOURCES.every((k) => folding.resources[k] <= SURELY_TOO_LARGE * (limits[k] ?? Infinity) + 8))
        return last ?? { needed: folding.resources };
      unrollModule(copy, {
        device: this.device,
        clockMhz: this.clockMhz,
        ii: asked,
        prices,
        inputWords,
        effort,
        solver: this.solver,
        ...port,
      });
      const scheduled = insertChannels(copy, this.device, this.clockMhz);
      const c: Chosen = { asked, prices, inputWords, outputBits, effort, scheduled, solver: this.solver, limits: {} };
      const reached = scheduled.timeline.initiationInterval;
      if (last === undefined || reached < last.scheduled.timeline.initiationInterval) last = c;
      if (reached <= ii) return c;
      asked = Math.min(asked - 1, Math.floor((asked * ii) / reached));
    }
    return last!;
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
