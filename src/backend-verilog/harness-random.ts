/** The pauses of the harness (runtime/sim/harness.cpp), so that a model can foresee them. */

const MASK = (1n << 64n) - 1n;

/** xorshift64*, as the harness has it. */
class HarnessRandom {
  private state: bigint;
  constructor(seed: bigint) {
    this.state = (seed * 0x9e3779b97f4a7c15n + 0xd1b54a32d192ed03n) & MASK;
    if (this.state === 0n) this.state = 1n;
  }
  below(threshold: bigint): boolean {
    let s = this.state;
    s ^= s >> 12n;
    s = (s ^ (s << 25n)) & MASK;
    s ^= s >> 27n;
    this.state = s;
    return ((s * 0x2545f4914f6cdd1dn) & MASK) >> 32n < threshold;
  }
}

/** Salt of the first output port. */
const OUTPUTS = 1000;

function pauses(seed: number, salt: number, probability: number): () => boolean {
  const random = new HarnessRandom(BigInt(seed * 65537 + salt));
  const threshold = BigInt(Math.trunc(probability * 2 ** 32));
  return () => random.below(threshold);
}

/** The cycles in which input `port` has its beats, where it is always ready. */
export function inputCycles(beats: number, seed: number, probability: number, port = 0): Float64Array {
  if (probability === 0) return Float64Array.from({ length: beats }, (_, n) => n);
  const pause = pauses(seed, port, probability);
  const cycles = new Float64Array(beats);
  for (let cycle = 0, n = 0; n < beats; cycle++) if (!pause()) cycles[n++] = cycle;
  return cycles;
}

/** Whether output `port` is ready, by cycle. */
export function outputReady(seed: number, probability: number, port = 0): (cycle: number) => boolean {
  if (probability === 0) return () => true;
  const pause = pauses(seed, OUTPUTS + port, probability);
  const ready: boolean[] = [];
  return (cycle) => {
    while (ready.length <= cycle) ready.push(!pause());
    return ready[cycle] === true;
  };
}
