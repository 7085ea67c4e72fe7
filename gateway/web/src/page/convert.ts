/** A photo in a format that the enclave does not take, as a JPEG: by the browser's own decoder, before it is sealed. */

/** Of the JPEG; at it, a classifier that looks at 224 x 224 pixels sees no difference. */
const QUALITY = 0.95;

/** Pixels of the largest canvas that every browser has (Safari's on a phone). Larger photos are made smaller. */
const MAX_PIXELS = 16_777_216;

/** A JPEG and its size in pixels. */
export interface Converted {
  readonly content: Blob;
  readonly width: number;
  readonly height: number;
}

/** A JPEG of what the browser decodes, upright; undefined if it cannot decode it. */
export async function toJpeg(photo: Blob): Promise<Converted | undefined> {
  const url = URL.createObjectURL(photo);
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    return await encoded(image);
  } catch {
    // The browser says that it cannot, and nothing else: the caller names the format.
    return undefined;
  } finally {
    URL.revokeObjectURL(url);
  }
}

async function encoded(image: HTMLImageElement): Promise<Converted | undefined> {
  const { naturalWidth, naturalHeight } = image;
  const scale = Math.min(1, Math.sqrt(MAX_PIXELS / (naturalWidth * naturalHeight)));
  const canvas = document.createElement("canvas");
  canvas.width = Math.floor(naturalWidth * scale);
  canvas.height = Math.floor(naturalHeight * scale);
  const context = canvas.getContext("2d");
  if (!context) return undefined;
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  const content = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
  return content?.type === "image/jpeg" ? { content, width: canvas.width, height: canvas.height } : undefined;
}
