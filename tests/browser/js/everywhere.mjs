// One visit of the page at /, in the browser that is named: verified, a photo classified, an enclave refused.
//
//     node everywhere.mjs BROWSER '{"url": …, "photo": …, "gif": …, "heic": …, "policy": …, "profile": …}'
//
// BROWSER is chromium, firefox or webkit. Files are paths; `heic` cannot be decoded, `policy` refuses the enclave. Prints
// JSON: what the page showed after each act. No act waits for longer than a minute.

import { drivers } from "./drivers.mjs";

const MINUTE = 60_000;

const [name, given] = process.argv.slice(2);
const { url, photo, gif, heic, policy, profile } = JSON.parse(given);

/** What the page shows, read in the page. */
const read = () => {
  const text = (id) => document.getElementById(id).textContent.trim();
  const visible = (id) => document.getElementById(id).checkVisibility();
  return {
    state: document.getElementById("finding").dataset.state,
    badge: text("badge"),
    verdict: text("verdict"),
    notice: visible("notice") ? text("notice") : "",
    status: text("status"),
    bars: [...document.querySelectorAll("#bars li .names")].map((names) => names.firstChild.textContent),
    receipt: text("receipt"),
    refusal: document.getElementById("refusal").dataset.refusalCode ?? null,
    problem: document.getElementById("problem").dataset.refusalCode ?? null,
    converted: visible("converted") ? text("converted") : "",
    preview: visible("preview"),
    checks: [...document.querySelectorAll("#checks li")].map((item) => item.dataset.state),
    sideways: document.documentElement.scrollWidth > document.documentElement.clientWidth,
  };
};

const browser = await drivers[name](profile);

/** What the page shows as soon as `enough` is true of it. */
async function seen(act, enough) {
  const until = Date.now() + MINUTE;
  for (;;) {
    const found = await browser.evaluate(read);
    if (enough(found)) return found;
    if (Date.now() > until) throw new Error(`${act}: ${JSON.stringify(found)}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

try {
  await browser.open(url);
  const opened = await seen("open", ({ state }) => state !== "waiting");
  await browser.choose("#file", photo);
  const answered = await seen("photo", ({ bars, problem, status }) => problem || (bars.length && status.startsWith("Answered")));
  await browser.choose("#file", gif);
  const converted = await seen("gif", ({ problem, converted }) => problem || converted);
  await browser.choose("#file", heic);
  const unread = await seen("heic", ({ bars, problem }) => problem || bars.length);
  await browser.choose("#policy-file", policy);
  const refused = await seen("policy", ({ refusal }) => refusal);
  await browser.choose("#file", photo);
  const unsent = await seen("unsent", ({ status }) => status.startsWith("Not sent"));
  const { faults } = browser;
  console.log(JSON.stringify({ version: await browser.version(), faults, opened, answered, converted, unread, refused, unsent }));
} finally {
  await browser.close();
}
