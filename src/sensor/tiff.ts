/** TIFF files of one or many pages, read by `geotiff`. */
import { fromArrayBuffer } from "geotiff";
import { UserError } from "../diagnostics/index.js";
import type { ImageStack, Pixels } from "./stack.js";

/** @errors SE010 */
export async function openTiff(bytes: Uint8Array, file: string): Promise<ImageStack> {
  const fail = (e: unknown): UserError =>
    UserError.of("SE010", { reason: `it is no TIFF file, or it is damaged (${reason(e)})` }, { file });
  try {
    const { buffer, byteOffset, byteLength } = bytes;
    const tiff = await fromArrayBuffer(buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer);
    const images = await tiff.getImageCount();
    const first = await tiff.getImage(0);
    const [rows, columns] = [first.getHeight(), first.getWidth()];
    const read = async (i: number): Promise<Pixels> => {
      const page = await tiff.getImage(i);
      if (page.getHeight() !== rows || page.getWidth() !== columns || page.getSamplesPerPixel() !== 1)
        throw UserError.of("SE010", {
          reason: `page ${i} has ${page.getHeight()} x ${page.getWidth()} pixels of ${page.getSamplesPerPixel()} samples, the first has ${rows} x ${columns} of one`,
        });
      const [pixels] = (await page.readRasters({ samples: [0] })) as unknown as [Pixels];
      return pixels;
    };
    const kind = ["", "uint", "int", "float"][first.getSampleFormat(0) as number] ?? "";
    const stack: ImageStack = {
      images,
      rows,
      columns,
      type: `${kind}${first.getBitsPerSample(0)}`,
      read: (i) =>
        read(i).catch((e: unknown) => {
          throw e instanceof UserError ? e : fail(e);
        }),
      close: () => {},
    };
    return stack;
  } catch (e) {
    throw fail(e);
  }
}

function reason(e: unknown): string {
  return (e instanceof Error ? e.message : String(e)).split("\n")[0]!;
}
