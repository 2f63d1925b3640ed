/** What is packaged: a core's names, its clock and reset, and its streams with their signals. */

export interface IpStream {
  /** Prefix of the ports: `<name>_tdata`, `_tvalid`, `_tready`, `_tlast`. */
  readonly name: string;
  readonly direction: "in" | "out";
  /** Bits of tdata. */
  readonly width: number;
  /** Default true. */
  readonly hasLast?: boolean;
  /** Whether there is a `_tuser` of one bit; default false. */
  readonly hasUser?: boolean;
  /** What the stream carries, in a sentence. */
  readonly doc?: string;
}

export interface IpDescription {
  /** Name of the top module. */
  readonly name: string;
  readonly title?: string;
  readonly doc?: string;
  readonly vendor?: string;
  readonly library?: string;
  /** Two numbers, such as 1.0. */
  readonly version?: string;
  readonly clock: { readonly port: string; readonly mhz: number };
  /** Port of the active-low synchronous reset. */
  readonly resetn: string;
  readonly streams: readonly IpStream[];
}

export interface Core extends Required<IpDescription> {
  readonly files: readonly string[];
}

/** The signals of a stream, without their direction: `fromMaster` are those that the sending side drives. */
export function signalsOf(s: IpStream): { role: string; port: string; width: number; fromMaster: boolean }[] {
  return [
    { role: "TDATA", port: `${s.name}_tdata`, width: s.width, fromMaster: true },
    { role: "TVALID", port: `${s.name}_tvalid`, width: 1, fromMaster: true },
    ...(s.hasUser === true ? [{ role: "TUSER", port: `${s.name}_tuser`, width: 1, fromMaster: true }] : []),
    ...(s.hasLast === false ? [] : [{ role: "TLAST", port: `${s.name}_tlast`, width: 1, fromMaster: true }]),
    { role: "TREADY", port: `${s.name}_tready`, width: 1, fromMaster: false },
  ];
}

/** Direction of a stream's signal as seen from the core. */
export function isInput(s: IpStream, fromMaster: boolean): boolean {
  return (s.direction === "in") === fromMaster;
}
