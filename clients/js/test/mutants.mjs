// Mutants of the verifier in TypeScript: `node clients/js/test/mutants.mjs TOOLS [--only FILE[:LINE]...]`, where
// TOOLS/node_modules has @stryker-mutator/instrumenter. It puts all mutants into one bundle, which chooses one by a
// number. Each is tried on the cases that reach it, in a worker process; what survives those is tried on the unit tests.
// mutants-excluded.json lists those that change no check, with reasons; they are not tried. --only takes names such as
// `chain` or `chain.ts:137`. The exit status is 0 if nothing survives.

import { spawn, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

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
const UNIT_TESTS = ["cbor", "certificate", "chain", "cose", "der", "matching", "policy", "verify"];
/** Of processor time for the tests of one file, which take 20 at most. */
const UNIT_TEST_SECONDS = 120;

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
  let tried = 0;
  const one = async () => {
    let worker;
    while (queue.length) {
      worker ??= await started(bundle);
      const { id } = queue.shift();
      worker.process.stdin.write(`${id}\n`);
      const answer = await answered(worker);
      outcomes.set(id, answer ?? "timed out");
      if (++tried % 100 === 0) console.error(`${tried} of ${mutants.length}`);
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

/** Try on the unit tests what has survived the cases. `units`: bundles by name of their test. */
async function tryUnits(units, survivors, outcomes) {
  const queue = [...survivors];
  const one = async () => {
    while (queue.length) {
      const mutant = queue.shift();
      outcomes.set(mutant.id, await unitOutcome(units, mutant));
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, one));
}

/** What the unit tests say of this mutant, or of none. The tests of its own file come first. */
async function unitOutcome(units, mutant) {
  const env = { ...process.env, ...(mutant && { __STRYKER_ACTIVE_MUTANT__: mutant.id }) };
  const isOwn = (name) => mutant?.described.file === `${name}.ts`;
  const ordered = [...units].sort(([one], [other]) => Number(isOwn(other)) - Number(isOwn(one)));
  for (const [, bundle] of ordered) {
    const outcome = await bundleOutcome(bundle, env);
    if (outcome !== "survived") return outcome;
  }
  return "survived";
}

/** The same of the tests of one bundle; they end with the first one that fails. */
async function bundleOutcome(bundle, env) {
  const child = spawn(process.execPath, ["--test-reporter=tap", bundle], {
    cwd: client,
    env,
    stdio: ["ignore", "pipe", "ignore"],
  });
  let outcome;
  const end = (why) => {
    outcome ??= why;
    child.kill("SIGKILL");
  };
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (/^\s*not ok /.test(line)) end("killed");
  });
  const watch = setInterval(() => {
    const spent = processorSeconds(child.pid);
    if (UNIT_TEST_SECONDS < spent && spent < Infinity) end("timed out");
  }, 500);
  const status = await new Promise((done, failed) => child.on("error", failed).on("close", done));
  clearInterval(watch);
  return outcome ?? (status === 0 ? "survived" : "killed");
}

/** What an entry of mutants-excluded.json says of a mutant, and finds it by; line numbers change too often. */
function described({ fileName, location: { start, end }, mutatorName, replacement }, sources) {
  const lines = sources.get(fileName).split("\n").slice(start.line, end.line + 1);
  const line = lines[0].trim();
  lines.push(lines.pop().slice(0, end.column));
  lines.unshift(lines.shift().slice(start.column));
  const original = lines.map((part) => part.trim()).join(" ");
  return { file: basename(fileName), line, original, mutator: mutatorName, replacement };
}

function keyOf({ file, line, original, mutator, replacement }) {
  return JSON.stringify([file, line, original, mutator, replacement]);
}

/** The entries by what finds them. Several mutants may be one entry's, if they are the same text in several places. */
function exclusions() {
  const entries = JSON.parse(readFileSync(join(here, "mutants-excluded.json"), "utf8"));
  const found = new Map();
  for (const entry of entries) {
    if (!entry.reason || found.has(keyOf(entry))) throw new Error(`no reason, or listed twice: ${keyOf(entry)}`);
    found.set(keyOf(entry), entry);
  }
  return found;
}

/** Whether a mutant is one of `places`, each FILE or FILE:LINE; every one is if there are none. */
function isWanted({ fileName, location }, places) {
  if (!places.length) return true;
  return places.some((place) => {
    const [name, line] = place.split(":");
    const ofFile = basename(fileName, ".ts") === basename(name, ".ts");
    return ofFile && (line === undefined || Number(line) === location.start.line + 1);
  });
}

async function main(tools, places) {
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
    const sources = new Map(files.map(({ name, content }) => [name, content]));
    const options = { plugins: null, excludedMutations: ["StringLiteral"], ignorers: [], noHeader: false };
    const { files: made, mutants: all } = await new Instrumenter(logger).instrument(files, options);
    // What is ignored is listed, too, but in no bundle.
    const mutants = all.filter((mutant) => mutant.status !== "Ignored" && isWanted(mutant, places));
    if (!mutants.length) throw new Error(`there are no mutants of ${places.join(", ")}`);
    const excluded = exclusions();
    const unused = new Set(excluded.keys());
    const outcomes = new Map();
    for (const mutant of mutants) {
      mutant.described = described(mutant, sources);
      const key = keyOf(mutant.described);
      unused.delete(key);
      if (excluded.has(key)) outcomes.set(mutant.id, "excluded");
    }
    for (const { name, content } of made) writeFileSync(name, content);
    const bundle = join(folder, "judges.mjs");
    await bundled(join(folder, "test", "mutants.ts"), bundle);
    const covered = spawnSync(process.execPath, [fileURLToPath(import.meta.url), "--cover", bundle], { stdio: "inherit" });
    if (covered.status !== 0) throw new Error("the cases do not pass without a mutant");
    await tryAll(bundle, mutants.filter(({ id }) => !outcomes.has(id)), outcomes);
    const units = new Map(UNIT_TESTS.map((name) => [name, join(folder, `${name}.test.mjs`)]));
    for (const [name, file] of units) await bundled(join(folder, "test", `${name}.test.ts`), file);
    const survivors = mutants.filter(({ id }) => outcomes.get(id) === "survived");
    if (survivors.length && (await unitOutcome(units)) !== "survived") {
      throw new Error("the unit tests do not pass without a mutant");
    }
    await tryUnits(units, survivors, outcomes);
    return report(mutants, outcomes, places.length ? new Set() : unused);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function report(mutants, outcomes, unused) {
  const counts = {};
  for (const outcome of outcomes.values()) counts[outcome] = (counts[outcome] ?? 0) + 1;
  console.log(`${mutants.length} mutants:`, counts);
  const survived = mutants.filter(({ id }) => outcomes.get(id) === "survived");
  for (const { location: { start }, described: what } of survived) {
    console.log(`survived: ${what.file}:${start.line + 1}:${start.column + 1} ${JSON.stringify(what)}`);
  }
  for (const key of unused) console.log(`listed as excluded, and there is no such mutant: ${key}`);
  return survived.length || unused.size ? 1 : 0;
}

if (process.argv[2] === "--worker") await work(process.argv[3]);
else if (process.argv[2] === "--cover") await cover(process.argv[3]);
else {
  const { values, positionals } = parseArgs({
    options: { only: { type: "string", multiple: true, default: [] } },
    allowPositionals: true,
  });
  const [tools, ...places] = positionals;
  process.exitCode = await main(tools, [...values.only, ...places]);
}
