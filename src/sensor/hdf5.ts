/**
 * HDF5 and NeXus files, read by the HDF5 library itself (h5wasm) and its compression filters (h5wasm-plugins): among
 * them bitshuffle with LZ4, which EIGER detectors write. The library opens files on its own, so that a file larger than
 * the memory is no problem and links to other files are followed.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import h5wasm, { type Dataset, type Group } from "h5wasm/node";
import { UserError } from "../diagnostics/index.js";
import type { OutputArray } from "../frontend/npz.js";
import type { ImageStack, Pixels, StackRequest } from "./stack.js";

type H5File = InstanceType<typeof h5wasm.File>;

/** Filters of the library and of the plugins. @source https://github.com/HDFGroup/hdf5_plugins, registered filters */
const FILTERS: ReadonlyMap<number, string> = new Map([
  [1, "deflate"],
  [2, "shuffle"],
  [3, "fletcher32"],
  [5, "nbit"],
  [6, "scaleoffset"],
  [307, "bzip2"],
  [32000, "lzf"],
  [32001, "blosc"],
  [32004, "lz4"],
  [32008, "bitshuffle"],
  [32013, "zfp"],
  [32015, "zstd"],
  [32019, "jpeg"],
  [32022, "bitgroom"],
  [32023, "granular bitround"],
  [32026, "blosc2"],
]);

let library: Promise<Awaited<typeof h5wasm.ready>> | undefined;

async function ready(): Promise<void> {
  library ??= h5wasm.ready.then((module) => {
    const plugins = createRequire(import.meta.url).resolve("h5wasm-plugins/package.json");
    module.insert_plugin_search_path(join(dirname(plugins), "plugins"), 0);
    // Otherwise the library prints its messages.
    module.activate_throwing_error_handler();
    return module;
  });
  await library;
}

/**
 * The images of a file: the named dataset or group of datasets; those of `/entry/data`, as EIGER writes them; or the only
 * dataset of three axes.
 *
 * @errors SE010, SE011, SE014
 */
export async function openHdf5(path: string, name: string | undefined, request: StackRequest): Promise<ImageStack> {
  await ready();
  const guarded = <T>(f: () => T): T => {
    try {
      return f();
    } catch (e) {
      throw e instanceof UserError ? e : UserError.of("SE010", { reason: reasonOf(e) }, { file: path });
    }
  };
  const file = guarded(() => new h5wasm.File(path, "r"));
  try {
    const parts = guarded(() => datasetsOf(file, path, name, request));
    parts.forEach((d) => checkFilters(d, path));
    const shapes = parts.map((d) => (d.shape!.length === 2 ? [1, ...d.shape!] : d.shape!) as [number, number, number]);
    const [, rows, columns] = shapes[0]!;
    if (shapes.some((s) => s[1] !== rows || s[2] !== columns))
      throw UserError.of("SE010", { reason: `its datasets have frames of different sizes` }, { file: path });
    const read = (i: number): Pixels => {
      let k = 0;
      for (; i >= shapes[k]![0]; k++) i -= shapes[k]![0];
      const part = parts[k]!;
      const data = part.slice(part.shape!.length === 2 ? [[], []] : [[i, i + 1], [], []]) as unknown;
      if (data === null || !ArrayBuffer.isView(data)) throw new Error("the dataset holds no numbers");
      return data instanceof BigUint64Array || data instanceof BigInt64Array
        ? Float64Array.from(data, Number)
        : (data as unknown as Pixels);
    };
    return {
      images: shapes.reduce((n, s) => n + s[0], 0),
      rows,
      columns,
      type: typeOf(parts[0]!),
      // After the call: a rejected promise, not an exception.
      read: async (i) => guarded(() => read(i)),
      close: () => void file.close(),
    };
  } catch (e) {
    file.close();
    throw e;
  }
}

/** The bytes of a file with the columns given, in groups after their names. */
export async function hdf5Bytes(columns: ReadonlyMap<string, OutputArray>): Promise<Uint8Array> {
  await ready();
  // The library writes to a file only.
  const folder = mkdtempSync(join(tmpdir(), "onnx-hls-"));
  try {
    const path = join(folder, "peaks.h5");
    const file = new h5wasm.File(path, "w");
    for (const [name, { data, shape }] of columns) {
      const [group, column] = name.split("/") as [string, string];
      if (!file.keys().includes(group)) file.create_group(group);
      (file.get(group) as Group).create_dataset({ name: column, data, shape: [...shape] });
    }
    file.close();
    return readFileSync(path);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function typeOf(d: Dataset): string {
  const { type, size, signed } = d.metadata;
  return `${type === 1 ? "float" : signed ? "int" : "uint"}${8 * size}`;
}

/** Datasets whose images follow one another. */
function datasetsOf(file: H5File, path: string, name: string | undefined, request: StackRequest): Dataset[] {
  const at = (place: string): unknown => {
    try {
      return file.get(place);
    } catch {
      return null;
    }
  };
  const isImages = (e: unknown): e is Dataset => {
    if (!(e instanceof h5wasm.Dataset)) return false;
    const { shape, type } = e.metadata;
    return (type === 0 || type === 1) && (shape?.length === 2 || shape?.length === 3);
  };
  const members = (place: string, pattern: RegExp): Dataset[] => {
    const group = at(place);
    if (!(group instanceof h5wasm.Group)) return [];
    const names = group.keys().filter((k) => pattern.test(k));
    return names.sort().map((k) => {
      const member = at(`${place}/${k}`);
      if (isImages(member)) return member;
      const link = file.get_external_link(`${place}/${k}`).filename;
      throw UserError.of(
        "SE010",
        { reason: `${place}/${k} cannot be opened${link === "" ? "" : `: ${link} belongs beside the file`}` },
        { file: path },
      );
    });
  };
  const missing = (): UserError =>
    UserError.of("SE014", { want: name ?? request.what, have: listOf(file) }, { file: path });
  if (name !== undefined) {
    const named = at(name);
    if (isImages(named)) return [named];
    const group = members(name, /./);
    if (group.length === 0) throw missing();
    return group;
  }
  for (const known of request.names) {
    const found = at(known);
    if (isImages(found)) return [found];
  }
  const written = members("entry/data", /^data_\d+$/);
  if (written.length > 0) return written;
  const whole = at("entry/data/data");
  if (isImages(whole)) return [whole];
  const all = file.paths().map(at).filter(isImages);
  const stacks = all.filter((d) => d.shape!.length === 3);
  const only = stacks.length === 0 ? all : stacks;
  if (only.length !== 1) throw missing();
  return only;
}

function listOf(file: H5File): string {
  const names = file.paths().filter((p) => file.get(p) instanceof h5wasm.Dataset);
  return names.length === 0 ? "no dataset" : names.slice(0, 8).join(", ") + (names.length > 8 ? ", ..." : "");
}

/** @errors SE011 */
function checkFilters(d: Dataset, path: string): void {
  const unknown = d.filters.find((f) => !FILTERS.has(f.id));
  if (unknown === undefined) return;
  const name = unknown.name.split(";")[0]!;
  throw UserError.of(
    "SE011",
    { dataset: d.path!, filter: `filter ${unknown.id} (${name})`, known: [...FILTERS.values()].join(", ") },
    { file: path },
  );
}

/** The library's words, without places in its source. */
function reasonOf(e: unknown): string {
  const text = e instanceof Error ? e.message : String(e);
  if (/truncated/.test(text)) return "the file is truncated";
  if (/signature/.test(text)) return "it is no HDF5 file";
  const line = text.split("\n").filter((l) => l.trim() !== "");
  return `the HDF5 library says: ${(line.at(-1) ?? "nothing").trim()}`;
}
