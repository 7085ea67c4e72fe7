/** The photo that was chosen, shown at once, before anything of it is sent. */

import { byId } from "./dom.ts";

const units = ["bytes", "kB", "MB"] as const;

export function show(photo: Blob): void {
  clear();
  const image = byId<HTMLImageElement>("preview");
  image.hidden = false;
  byId("no-preview").hidden = true;
  image.onload = () => (byId("photo-size").textContent = `${image.naturalWidth} × ${image.naturalHeight}, ${sizeOf(photo)}`);
  // What this browser cannot show, the enclave may still know.
  image.onerror = () => {
    image.hidden = true;
    byId("no-preview").hidden = false;
  };
  image.src = URL.createObjectURL(photo);
  byId("photo-name").textContent = photo instanceof File ? photo.name : "";
  byId("photo-size").textContent = sizeOf(photo);
  byId("shown").hidden = false;
  byId("invitation").hidden = true;
  byId("choose").textContent = "Choose another";
}

export function clear(): void {
  const image = byId<HTMLImageElement>("preview");
  image.onload = image.onerror = null;
  if (image.src) URL.revokeObjectURL(image.src);
  image.removeAttribute("src");
  byId("shown").hidden = true;
  byId("invitation").hidden = false;
  byId("choose").textContent = "Choose a photo";
}

/** In the unit that a file manager would show. */
export function sizeOf({ size }: Blob): string {
  const power = size < 1000 ? 0 : size < 1_000_000 ? 1 : 2;
  return `${(size / 1000 ** power).toFixed(power === 2 ? 1 : 0)} ${units[power]}`;
}
