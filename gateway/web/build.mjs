// Builds the page into gateway/static/app, always the same bytes: index.html with app.js and app.css, and
// blindsight.html, the same code in one file that can be kept and opened from disk. SHA256SUMS lists them.

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(here, "..", "static", "app"));

const options = { bundle: true, minify: true, target: "es2022", charset: "utf8", legalComments: "eof", write: false };
const bundle = async (entry, more = {}) => {
  const { outputFiles } = await build({ ...options, ...more, entryPoints: [join(here, entry)], logLevel: "warning" });
  return outputFiles[0].text;
};
const script = await bundle("src/page/main.ts", { format: "iife" });
const style = await bundle("page.css");

// An end tag inside a string of the script would end the element that holds it.
if (/<\/script|<!--/i.test(script) || /<\/style/i.test(style)) throw new Error("script or style cannot be put in one file");

const sha256 = (text, encoding) => createHash("sha256").update(text).digest(encoding);
const source = (text) => `'sha256-${sha256(text, "base64")}'`;
// A browser may keep what it fetched: parts of two releases must never meet.
const address = (name, text) => `static/app/${name}?${sha256(text, "hex").slice(0, 16)}`;
const policy = [
  "default-src 'none'",
  `script-src ${source(script)}`,
  `style-src ${source(style)}`,
  "img-src blob:",
  "connect-src https: http://127.0.0.1:* http://localhost:*",
  "base-uri 'none'",
  "form-action 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const template = readFileSync(join(here, "page.html"), "utf8");
const page = (parts) => template.replace(/\{\{(\w+)\}\}/g, (_, name) => parts[name]);

const files = {
  "app.css": style,
  "app.js": script,
  "blindsight.html": page({
    mode: "file",
    csp: `<meta http-equiv="Content-Security-Policy" content="${policy}">\n`,
    style: `<style>${style}</style>`,
    script: `<script>${script}</script>`,
  }),
  "index.html": page({
    mode: "served",
    csp: "",
    style: `<link rel="icon" href="static/swagger-ui/favicon-32x32.png">\n<link rel="stylesheet" href="${address("app.css", style)}">`,
    script: `<script src="${address("app.js", script)}"></script>`,
  }),
};

mkdirSync(out, { recursive: true });
let sums = "";
for (const [name, text] of Object.entries(files)) {
  writeFileSync(join(out, name), text);
  sums += `${sha256(text, "hex")}  ${name}\n`;
}
writeFileSync(join(out, "SHA256SUMS"), sums);
