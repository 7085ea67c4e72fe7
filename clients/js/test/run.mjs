// Bundles the tests into a temporary folder and runs Node's own test runner on them; arguments choose files by name.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const wanted = process.argv.slice(2);
const names = readdirSync(here)
  .filter((name) => name.endsWith(".test.ts"))
  .filter((name) => !wanted.length || wanted.some((part) => name.includes(part)));
if (!names.length) throw new Error(`no test file matches ${wanted.join(", ")}`);

const folder = mkdtempSync(join(tmpdir(), "blindsight-web-"));
let status = 1;
try {
  await build({
    entryPoints: names.map((name) => join(here, name)),
    outdir: folder,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    sourcemap: "inline",
    logLevel: "warning",
  });
  const bundles = readdirSync(folder).map((name) => join(folder, name));
  const run = spawnSync(process.execPath, ["--enable-source-maps", "--test", ...bundles], {
    cwd: dirname(here),
    stdio: "inherit",
  });
  status = run.status ?? 1;
} finally {
  rmSync(folder, { recursive: true });
}
process.exit(status);
