/** Random scheduling problems: chains of kernels with branches that join again. */

/** One kernel of a chain over square pictures of one channel. */
export interface Layer {
  readonly kind: "window" | "pointwise" | "rows" | "join" | "transpose";
  /** Of a window: its size, its stride, whether it is padded. */
  readonly size: number;
  readonly stride: number;
  readonly padded: boolean;
  readonly depth: number;
  readonly buffered: boolean;
  /** Channels that are computed from each window, one after the other or in lanes. */
  readonly channels: number;
  readonly lanes: number;
}

const SIDE = 8;

export function randomSchedule(rnd: () => number): Layer[] {
  const one = <T>(list: readonly [T, ...T[]]): T => list[Math.floor(rnd() * list.length)] ?? list[0];
  return Array.from({ length: 1 + Math.floor(rnd() * 5) }, (): Layer => {
    const channels = one([1, 1, 2, 4]);
    return {
      kind: one(["window", "pointwise", "window", "join", "rows", "transpose"]),
      size: one([2, 3, 3, 5]),
      stride: one([1, 1, 2]),
      padded: rnd() < 0.5,
      depth: one([1, 2, 7, 40, 120]),
      buffered: rnd() < 0.3,
      channels,
      lanes: rnd() < 0.5 ? 1 : channels,
    };
  });
}

/** The layers as a problem; layers that do not fit the picture that is left are pointwise. */
export function schedulingText(layers: readonly Layer[]): string {
  const lines = ["schedule random on xcu280", `input x 1x${SIDE}x${SIDE} bits 8 word 1`];
  let [source, channels, side] = ["x", 1, SIDE];
  let before: { source: string; channels: number; side: number } | undefined;
  layers.forEach((l, i) => {
    const from = { source, channels, side };
    const shape = `${channels}x${side}x${side}`;
    const reach = l.padded ? Math.floor(l.size / 2) : 0;
    const out = Math.floor((side + 2 * reach - l.size) / l.stride) + 1;
    const head = (name: string, to: string): string =>
      `kernel ${name} ${to} bits 8 depth ${l.depth}${l.buffered ? " buffered" : ""}`;
    const plain = [
      "  loop c CH, y SIDE, x SIDE".replace("CH", `${channels}`).replaceAll("SIDE", `${side}`),
      "  order y x c",
    ];
    const name = `k${i}`;
    const joins = before !== undefined && before.side === side && before.channels === channels;
    if (l.kind === "window" && out >= 2) {
      const index = (v: string): string =>
        `${l.stride === 1 ? "" : `${l.stride}*`}${v} + k${v}${reach === 0 ? "" : ` - ${reach}`}`;
      const by = (n: number): string => `${n} by ${n}`;
      lines.push(
        head(name, `${l.channels}x${out}x${out}`),
        `  loop o ${l.channels} by ${l.lanes}, y ${out}, x ${out}, sum i ${by(channels)}, sum ky ${by(l.size)}, sum kx ${by(l.size)}`,
        "  order y x o i ky kx",
        `  read ${source} [i, ${index("y")}, ${index("x")}] of ${shape}`,
        "  write [o, y, x]",
      );
      [channels, side] = [l.channels, out];
    } else if (l.kind === "rows" && side > 1) {
      lines.push(
        head(name, `${channels}x${side}x${side}`),
        ...plain,
        `  read ${source} [c, y, x] of ${shape}`,
        "  write [c, y, x]",
        head(`${name}_mean`, `${channels}x${side}`),
        `  loop c ${channels}, y ${side}, sum x ${side}`,
        "  order y c x",
        `  read ${name} [c, y, x] of ${shape}`,
        "  write [c, y]",
        head(`${name}_minus`, shape),
        ...plain,
        `  read ${name} [c, y, x] of ${shape}`,
        `  read ${name}_mean [c, y] of ${channels}x${side}`,
        "  write [c, y, x]",
      );
    } else {
      const swapped = l.kind === "transpose";
      lines.push(
        head(name, shape),
        ...plain,
        `  read ${source} [c, ${swapped ? "x, y" : "y, x"}] of ${shape}`,
        ...(l.kind === "join" && joins ? [`  read ${before?.source} [c, y, x] of ${shape}`] : []),
        "  write [c, y, x]",
      );
    }
    before = from;
    source = l.kind === "rows" && from.side > 1 ? `${name}_minus` : name;
  });
  // What leaves must be in row-major order: a copy through a memory sees to that.
  lines.push(
    `kernel order ${channels}x${side}x${side} bits 8 depth 1`,
    `  loop c ${channels}, y ${side}, x ${side}`,
    `  read ${source} [c, y, x] of ${channels}x${side}x${side}`,
    "  write [c, y, x]",
    "output y order word 1",
  );
  return `${lines.join("\n")}\n`;
}

/** Fewest and plainest layers that still fail. */
export function shrinkSchedule(layers: readonly Layer[], fails: (l: readonly Layer[]) => boolean): readonly Layer[] {
  const smaller = (): readonly (readonly Layer[])[] => [
    ...least.map((_, i) => least.filter((_, k) => k !== i)),
    ...least.flatMap((l, i) => {
      const plainer: readonly Partial<Layer>[] = [
        { depth: 1 },
        { depth: Math.ceil(l.depth / 2) },
        { channels: 1, lanes: 1 },
        { padded: false },
        { stride: 1 },
        { size: 2 },
        { buffered: false },
      ];
      return plainer
        .filter((p) => Object.entries(p).some(([k, v]) => l[k as keyof Layer] !== v))
        .map((p) => least.map((other, k) => (k === i ? { ...l, ...p } : other)));
    }),
  ];
  let least = layers;
  for (let next: readonly Layer[] | undefined = least; next !== undefined; ) {
    next = smaller().find((l) => l.length > 0 && fails(l));
    if (next !== undefined) least = next;
  }
  return least;
}
