/** Which image format a file is of, by its first bytes, to say its name: the enclave decides by its own reading. */

/** A format: its key in a model manifest's `formats`, and its name in a sentence. */
export interface Format {
  readonly key: string;
  readonly title: string;
}

/** What a model takes whose manifest lists no `formats`. */
const DEFAULT: readonly string[] = ["jpeg", "png", "webp"];

/** How many bytes are looked at. */
export const LOOKED_AT = 256;

const SIGNATURES: readonly (readonly [string, Format])[] = [
  ["ff d8 ff", { key: "jpeg", title: "JPEG" }],
  ["89 50 4e 47 0d 0a 1a 0a", { key: "png", title: "PNG" }],
  ["00 00 00 0c 6a 50 20 20", { key: "jpeg2000", title: "JPEG 2000" }],
  ["ff 4f ff 51", { key: "jpeg2000", title: "JPEG 2000" }],
  ["00 00 00 0c 4a 58 4c 20", { key: "jpegxl", title: "JPEG XL" }],
  ["ff 0a", { key: "jpegxl", title: "JPEG XL" }],
  ["49 49 2a 00", { key: "tiff", title: "TIFF or camera raw" }],
  ["4d 4d 00 2a", { key: "tiff", title: "TIFF or camera raw" }],
  ["47 49 46 38", { key: "gif", title: "GIF" }],
  ["42 4d", { key: "bmp", title: "BMP" }],
  ["00 00 01 00", { key: "ico", title: "ICO" }],
  ["25 50 44 46", { key: "pdf", title: "PDF" }],
];

/** By brand of ISO base media files: HEVC pictures, AV1 pictures, the container alone, camera raw. */
const BRANDS: Readonly<Record<string, Format>> = {
  ...named({ key: "heic", title: "HEIC" }, "heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs"),
  ...named({ key: "avif", title: "AVIF" }, "avif", "avis", "avio"),
  ...named({ key: "jpeg2000", title: "JPEG 2000" }, "jp2 ", "jpx ", "jpm ", "mjp2"),
  ...named({ key: "raw", title: "camera raw" }, "crx "),
};
const CONTAINER: Format = { key: "heif", title: "HEIF" };
const CONTAINERS: ReadonlySet<string> = new Set(["mif1", "mif2", "msf1", "miaf", "1pic", "heif"]);
const VIDEO: Format = { key: "video", title: "video" };

function named(format: Format, ...brands: string[]): Record<string, Format> {
  return Object.fromEntries(brands.map((brand) => [brand, format]));
}

/** The format that a file begins like; undefined if it begins like none that is known here. */
export function formatOf(start: Uint8Array): Format | undefined {
  const [, format] = SIGNATURES.find(([signature]) => begins(start, signature)) ?? [];
  if (format) return format;
  const text = String.fromCharCode(...start);
  if (text.startsWith("RIFF") && text.startsWith("WEBP", 8)) return { key: "webp", title: "WebP" };
  if (text.startsWith("ftyp", 4)) return byBrand(text);
  return /^(?:\xef\xbb\xbf)?\s*<(?:svg|\?xml)/i.test(text) ? { key: "svg", title: "SVG" } : undefined;
}

function begins(start: Uint8Array, signature: string): boolean {
  return signature.split(" ").every((digits, index) => start[index] === Number.parseInt(digits, 16));
}

/** The major brand's, else that of the first compatible brand that is known. */
function byBrand(text: string): Format {
  const brands = [text.slice(8, 12), ...(text.slice(16).match(/[\s\S]{4}/g) ?? [])];
  for (const brand of brands) {
    const format = Object.hasOwn(BRANDS, brand) ? BRANDS[brand] : undefined;
    if (format) return format;
  }
  return brands.some((brand) => CONTAINERS.has(brand)) ? CONTAINER : VIDEO;
}

/** Whether the model of this manifest takes files of this format as they are. */
export function takes(manifest: Readonly<Record<string, unknown>>, { key }: Format): boolean {
  const { formats } = manifest;
  return (Array.isArray(formats) ? formats : DEFAULT).includes(key);
}
