// Mutants of the verifier in TypeScript: `node clients/js/test/mutants.mjs TOOLS`, where TOOLS/node_modules has
// @stryker-mutator/instrumenter. It puts all mutants into one bundle, which chooses one by a number. Each is tried on
// the cases that reach it, in a worker process; what survives those is tried on the unit tests.

import { spawn, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";

import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const client = dirname(here);
const root = join(client, "..", "..");
const WORKERS = 2;
/** Of processor time without a sign of life: a mutant that runs on forever. */
const SECONDS = 3;
const SIGN_OF_LIFE = 20;
const FILES = [
  "cbor", "certificate", "chain", "claims", "cose", "der", "document", "emulated", "matching", "policy", "policyjson",
  "release", "roots", "verify",
];
const UNIT_TESTS = ["cbor", "chain", "der", "policy", "verify"];

/** In a worker: answer the numbers of mutants that come in, one a line. */
async function work(bundle) {
  const state = (globalThis.__stryker__ ??= {});
  const load = async (mark) => (await import(`${pathToFileURL(bundle).href}${mark}`)).judges(root);
  const judges = await load("");
  const { perTest, static: always = {} } = JSON.parse(readFileSync(`${bundle}.json`, "utf8"));
  process.stdout.write("ready\n");
  for await (const id of createInterface({ input: process.stdin })) {
    state.activeMutant = id;
    let outcome = "survived";
    try {
      const fresh = always[id] ? await load(`?mutant=${id}`) : judges;
      const covering = always[id] ? fresh : judges.filter((judge) => perTest[judge.id]?.[id]);
      if (!covering.length) outcome = "survived";
      for (const [number, judge] of covering.entries()) {
        if (number % SIGN_OF_LIFE === SIGN_OF_LIFE - 1) process.stdout.write("alive\n");
        await judge.run();
      }
    } catch {
      outcome = "killed";
    }
    state.activeMutant = undefined;
    process.stdout.write(`${outcome}\n`);
  }
}

/** In a process of its own, once: note which cases reach which mutants. */
async function cover(bundle) {
  const state = (globalThis.__stryker__ ??= {});
  const { judges } = await import(pathToFileURL(bundle).href);
  for (const judge of judges(root)) {
    state.currentTestId = judge.id;
    await judge.run();
  }
  writeFileSync(`${bundle}.json`, JSON.stringify(state.mutantCoverage));
}

/** Try all mutants; a worker that hangs is replaced. */
async function tryAll(bundle, mutants, outcomes) {
  const queue = [...mutants];
  const one = async () => {
    let worker;
    while (queue.length) {
      worker ??= await started(bundle);
      const { id } = queue.shift();
      worker.process.stdin.write(`${id}\n`);
      const answer = await answered(worker);
      outcomes.set(id, answer ?? "timed out");
      if (outcomes.size % 100 === 0) console.error(`${outcomes.size} of ${mutants.length}`);
      if (answer === undefined) {
        worker.process.kill("SIGKILL");
        worker = undefined;
      }
    }
    worker?.process.kill();
  };
  await Promise.all(Array.from({ length: WORKERS }, one));
}

/** What a worker says of its mutant; undefined if it works on and says nothing, or has ended. */
async function answered({ process: child, lines }) {
  for (;;) {
    const spent = processorSeconds(child.pid);
    const line = lines.next();
    let found;
    do found = await Promise.race([line, sleep(200)]);
    while (!found && processorSeconds(child.pid) - spent < SECONDS);
    if (!found || found.done) return undefined;
    if (found.value !== "alive") return found.value;
  }
}

/** Of a process, as Linux counts it; without end if it has ended. */
function processorSeconds(pid) {
  if (!existsSync(`/proc/${pid}/stat`)) return Infinity;
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function started(bundle) {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), "--worker", bundle], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  await lines.next();
  return { process: child, lines };
}

function sleep(milliseconds) {
  return new Promise((done) => setTimeout(done, milliseconds));
}

/** With the sources in the place of the built module: it is they that have mutants. */
async function bundled(entry, outfile) {
  const common = { bundle: true, format: "esm", platform: "node", target: "node20", logLevel: "error" };
  const alias = { "blindsight-client": join(dirname(dirname(entry)), "src", "index.ts") };
  await build({ entryPoints: [entry], outfile, nodePaths: [join(client, "node_modules")], alias, ...common });
}

async function main(tools) {
  const require = createRequire(join(resolve(tools), "package.json"));
  const { Instrumenter } = await import(pathToFileURL(require.resolve("@stryker-mutator/instrumenter")).href);
  const logger = new Proxy({}, { get: () => () => false });
  const folder = mkdtempSync(join(tmpdir(), "blindsight-mutants-"));
  try {
    for (const name of ["src", "test", "tsconfig.json"]) cpSync(join(client, name), join(folder, name), { recursive: true });
    const files = FILES.map((name) => {
      const file = join(folder, "src", `${name}.ts`);
      return { name: file, content: readFileSync(file, "utf8"), mutate: true };
    });
    const options = { plugins: null, excludedMutations: ["StringLiteral"], ignorers: [], noHeader: false };
    const { files: made, mutants: all } = await new Instrumenter(logger).instrument(files, options);
    // What is excluded is listed, too, but in no bundle.
    const mutants = all.filter(({ status }) => status !== "Ignored");
    for (const { name, content } of made) writeFileSync(name, content);
    const bundle = join(folder, "judges.mjs");
    await bundled(join(folder, "test", "mutants.ts"), bundle);
    const covered = spawnSync(process.execPath, [fileURLToPath(import.meta.url), "--cover", bundle], { stdio: "inherit" });
    if (covered.status !== 0) throw new Error("the cases do not pass without a mutant");
    const outcomes = new Map();
    await tryAll(bundle, mutants, outcomes);
    const tests = readdirSync(join(folder, "test")).filter((name) => UNIT_TESTS.some((part) => name === `${part}.test.ts`));
    const units = [];
    for (const name of tests) {
      units.push(join(folder, `${name}.mjs`));
      await bundled(join(folder, "test", name), units.at(-1));
    }
    for (const { id } of mutants.filter((mutant) => outcomes.get(mutant.id) === "survived")) {
      const env = { ...process.env, __STRYKER_ACTIVE_MUTANT__: id };
      const run = spawnSync(process.execPath, ["--test", ...units], { cwd: client, env, stdio: "ignore", timeout: 120_000 });
      if (run.status !== 0) outcomes.set(id, "killed");
    }
    return report(mutants, outcomes, folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function report(mutants, outcomes, folder) {
  const counts = {};
  for (const outcome of outcomes.values()) counts[outcome] = (counts[outcome] ?? 0) + 1;
  console.log(`${mutants.length} mutants:`, counts);
  const survived = mutants.filter(({ id }) => outcomes.get(id) === "survived");
  for (const { fileName, location, mutatorName, replacement } of survived) {
    const name = fileName.slice(folder.length + 1);
    console.log(`${name}:${location.start.line + 1}:${location.start.column + 1} ${mutatorName}: ${replacement}`);
  }
  return survived.length ? 1 : 0;
}

if (process.argv[2] === "--worker") await work(process.argv[3]);
else if (process.argv[2] === "--cover") await cover(process.argv[3]);
else process.exitCode = await main(process.argv[2]);
