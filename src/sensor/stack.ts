/**
 * Stacks of images from files: frames, and what is known per pixel (dark, mask, flat field). One image is read at a
 * time.
 */
import { UserError } from "../diagnostics/index.js";
import { npyFiles, readTypedNpy, type TypedNumbers } from "../frontend/npz.js";
import type { Host } from "../host.js";

export type Pixels = ArrayLike<number> & { subarray(from: number, to: number): Pixels };

export interface ImageStack {
  readonly images: number;
  readonly rows: number;
  readonly columns: number;
  /** Of the file's elements, such as `uint16`. */
  readonly type: string;
  /** Pixels of an image, row by row. */
  read(image: number): Promise<Pixels>;
  close(): void;
}

export interface StackRequest {
  /** A file, or a file and the name of an array in it: `scan.h5:/entry/data/data`. */
  readonly path: string;
  /** Names by which an array is known without being named, the likeliest first. */
  readonly names: readonly string[];
  /** What is looked for, for messages. */
  readonly what: string;
}

const HDF5 = /\.(h5|hdf5|hdf|nxs|cxi)$/i;
const TIFF = /\.tiff?$/i;
const NAMED = /^(.*\.(?:npz|npy|h5|hdf5|hdf|nxs|cxi|tif|tiff)):(.+)$/i;

/** Whether a file holds images by its name alone. */
export function isImageFile(path: string): boolean {
  return HDF5.test(path) || TIFF.test(path) || NAMED.test(path);
}

/** File and name of the array in it. */
export function splitName(path: string): { file: string; name: string | undefined } {
  const match = NAMED.exec(path);
  return match === null ? { file: path, name: undefined } : { file: match[1]!, name: match[2] };
}

/**
 * Opens .npy, .npz, TIFF and HDF5 files. An array of two axes is one image, of three a stack.
 *
 * @errors IO001, NP001, SE010 unreadable or not images, SE011 compression, SE014 no such array
 */
export async function openStack(request: StackRequest, host: Host): Promise<ImageStack> {
  const { file, name } = splitName(request.path);
  if (!host.exists(file)) throw UserError.of("IO001", { path: file, reason: "no such file or folder" });
  // The libraries are large; who has no such file does not wait for them.
  if (HDF5.test(file)) return (await import("./hdf5.js")).openHdf5(file, name, request);
  const bytes = host.readFile(file);
  if (TIFF.test(file)) return (await import("./tiff.js")).openTiff(bytes, file);
  return numpyStack(bytes, file, name, request);
}

function numpyStack(bytes: Uint8Array, file: string, name: string | undefined, request: StackRequest): ImageStack {
  const files = npyFiles(bytes, file);
  const wanted = name ?? (files.size === 1 ? [...files.keys()][0]! : request.names.find((n) => files.has(n)));
  const content = wanted === undefined ? undefined : files.get(wanted);
  if (content === undefined) {
    const have = [...files.keys()].join(", ");
    throw UserError.of("SE014", { want: name ?? request.what, have: have === "" ? "none" : have }, { file });
  }
  return stackOf(readTypedNpy(content, wanted === "" ? file : `${file}:${wanted}`), file);
}

function stackOf(array: TypedNumbers, file: string): ImageStack {
  const shape = array.shape.length === 2 ? [1, ...array.shape] : array.shape;
  if (shape.length !== 3)
    throw UserError.of("SE010", { reason: `the array has the shape [${array.shape.join(", ")}]` }, { file });
  const [images, rows, columns] = shape as [number, number, number];
  const size = rows * columns;
  return {
    images,
    rows,
    columns,
    type: array.type,
    read: (i) => Promise.resolve(array.data.subarray(i * size, (i + 1) * size)),
    close: () => {},
  };
}
