/**
 * Scheduling problems: those of `schedules/*.sched` have the solution that they state, and of random ones the checker,
 * which shares nothing with the solver, finds each word where it is read. What fails is printed in the same form, cut
 * down.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { checkChannels } from "../../src/backend-hls/check/check-channels.js";
import { showScheduled } from "../../src/backend-hls/design/schedule.js";
import { foundIn, parseSchedule, solveSchedule } from "../../src/backend-hls/design/schedule-text.js";
import { lowerBound } from "../../src/backend-hls/design/size-channels.js";
import { random } from "./random-nets.js";
import { scheduledNetwork } from "./scheduled.js";
import { randomSchedule, schedulingText, shrinkSchedule, type Layer } from "./random-schedules.js";

const folder = join(import.meta.dirname, "schedules");
const files = readdirSync(folder).filter((f) => f.endsWith(".sched"));

describe("problems of the past", () => {
  it("are there", () => expect(files.length).toBeGreaterThan(10));
  it.each(files)("%s", (file) => {
    const text = parseSchedule(readFileSync(join(folder, file), "utf8"));
    const { network, timeline } = solveSchedule(text);
    const found = foundIn(network, timeline);
    expect(text.expected.interval, "an interval is expected").toBeDefined();
    expect(text.expected.latency, "a latency is expected").toBeDefined();
    expect({ ...found, channels: pick(found.channels, Object.keys(text.expected.channels)) }).toEqual(text.expected);
    checkChannels(network, 6);
  });
});

function pick(record: Readonly<Record<string, string>>, keys: readonly string[]): Record<string, string> {
  return Object.fromEntries(keys.map((k) => [k, record[k] ?? "none"]));
}

describe("the text of a design", () => {
  it.each(Array.from({ length: 20 }, (_, i) => i + 1))("is its problem and has its solution, seed %i", (seed) => {
    const text = showScheduled(scheduledNetwork(seed));
    const parsed = parseSchedule(text);
    const { network, timeline } = solveSchedule(parsed);
    expect(foundIn(network, timeline), text).toEqual(parsed.expected);
  });
  it.each([
    ["schedule a on nowhere", /line 1 .*there is no device nowhere/],
    [
      "input x 4 bits 8 word 1\nkernel k 4 bits 8 depth 1\n  loop i 4\n  read z [i] of 4\n  write [i]",
      /line 5 .*nothing before is called z/,
    ],
    ["kernel k 4 bits 8 depth 1\n  loop i\n  write [i]", /line 2 .*"i" is no loop/],
    ["kernel k 4 bits 8 depth 1\n  loop i 4\n  read x [j] of 4", /line 3 .*there is no loop j/],
    ["kernel k 4 bits 8 depth 1\n  loop i 4\n  order j\n  write [i]", /line 4 .*names other loops/],
    ["input x 4 bits 8 word 1", /line 2 .*there is no output/],
    ["inputs", /FL015.*line 1 .*no such line is known/],
  ])("is refused with the line that is wrong: %j", (text, message) => {
    expect(() => parseSchedule(text)).toThrow(message);
  });
});

/** What is wrong with the solution of a problem; undefined where nothing is. */
function problemOf(layers: readonly Layer[]): string | undefined {
  try {
    const { network, timeline } = solveSchedule(parseSchedule(schedulingText(layers)));
    checkChannels(network, 6);
    return timeline.initiationInterval < lowerBound(network) ? "the interval is below what a kernel takes" : undefined;
  } catch (e) {
    return String(e);
  }
}

describe("random problems", () => {
  it.each(Array.from({ length: Number(process.env["SEEDS"] ?? 150) }, (_, i) => i + 1))("seed %i", (seed) => {
    const layers = randomSchedule(random(seed * 6151));
    if (problemOf(layers) === undefined) return;
    const least = shrinkSchedule(layers, (l) => problemOf(l) !== undefined);
    expect.fail(`${problemOf(least)}\n${schedulingText(least)}`);
  });
  it("that fail are cut down to few lines", () => {
    // As if a window were the mistake.
    const layers = Array.from({ length: 40 }, (_, i) => randomSchedule(random(i + 1))).find(
      (l) => l.length > 3 && l.some((k) => k.kind === "window"),
    );
    const least = shrinkSchedule(layers ?? [], (l) => l.some((k) => k.kind === "window"));
    expect(least).toHaveLength(1);
    expect(schedulingText(least).split("\n").length).toBeLessThan(14);
  });
});
