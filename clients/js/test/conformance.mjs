// Bundles driver.ts, around the built module that the page has, too, and runs it:
// `node clients/js/test/conformance.mjs [--one]`.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

import { build } from "esbuild";

const folder = mkdtempSync(join(tmpdir(), "blindsight-conformance-"));
try {
  const outfile = join(folder, "driver.mjs");
  await build({
    entryPoints: [join(dirname(fileURLToPath(import.meta.url)), "driver.ts")],
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    logLevel: "warning",
  });
  await import(pathToFileURL(outfile).href);
} finally {
  rmSync(folder, { recursive: true });
}
