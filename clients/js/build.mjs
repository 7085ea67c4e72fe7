// Builds the package's dist, always the same bytes: index.js, one ES module with all that it needs; types/, its
// declarations; THIRD-PARTY.txt, the licences of what was put into it. SHA256SUMS lists them.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(here, "dist"));
const modules = join(here, "node_modules");

/** The module, and the npm packages that are in it. */
async function bundled() {
  const { outputFiles, metafile } = await build({
    absWorkingDir: here,
    entryPoints: ["src/index.ts"],
    bundle: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    legalComments: "eof",
    // The libraries ask Node's module for WebCrypto where there is no global one: no runtime that is supported.
    alias: { crypto: "./src/nocrypto.ts" },
    write: false,
    metafile: true,
    logLevel: "warning",
  });
  const inputs = Object.keys(metafile.inputs).map((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]);
  return { script: outputFiles[0].text, packages: [...new Set(inputs)].filter(Boolean).sort() };
}

/** The declarations that the entry's own lead to, by name. */
function declarations() {
  const folder = mkdtempSync(join(tmpdir(), "blindsight-types-"));
  try {
    const tsc = join(modules, "typescript", "bin", "tsc");
    execFileSync(process.execPath, [tsc, "--project", join(here, "tsconfig.build.json"), "--outDir", folder], {
      stdio: "inherit",
    });
    const found = new Map();
    const wanted = ["index"];
    for (let name = wanted.pop(); name; name = wanted.pop()) {
      if (found.has(name)) continue;
      const text = readFileSync(join(folder, `${name}.d.ts`), "utf8");
      // Consumers' compilers look for a declaration beside a script.
      found.set(name, text.replace(/(from "\.\/\w+)\.ts"/g, '$1.js"'));
      wanted.push(...Array.from(text.matchAll(/from "\.\/(\w+)\.ts"/g), ([, other]) => other));
    }
    return new Map([...found].sort());
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function licences(packages) {
  const parts = packages.map((name) => {
    const { version } = JSON.parse(readFileSync(join(modules, name, "package.json"), "utf8"));
    const file = readdirSync(join(modules, name)).find((each) => /^licen[cs]e/i.test(each));
    if (!file) throw new Error(`${name} comes without its licence`);
    return `${name} ${version}\n\n${readFileSync(join(modules, name, file), "utf8").trim()}\n`;
  });
  return `index.js contains code of these packages.\n\n${parts.join(`\n${"-".repeat(80)}\n\n`)}`;
}

const { script, packages } = await bundled();
const files = { "THIRD-PARTY.txt": licences(packages), "index.js": script };
for (const [name, text] of declarations()) files[`types/${name}.d.ts`] = text;

rmSync(out, { recursive: true, force: true });
mkdirSync(join(out, "types"), { recursive: true });
let sums = "";
for (const [name, text] of Object.entries(files)) {
  writeFileSync(join(out, name), text);
  sums += `${createHash("sha256").update(text).digest("hex")}  ${name}\n`;
}
writeFileSync(join(out, "SHA256SUMS"), sums);
