// Debian's Chromium and Firefox over WebDriver BiDi, WebKitGTK's MiniBrowser by its own driver: each the same few acts.

import { spawn } from "node:child_process";
import { createServer } from "node:net";

import puppeteer from "puppeteer-core";
import { Builder, Capabilities } from "selenium-webdriver";

async function byBidi(browser, executablePath, args, userDataDir) {
  const launched = await puppeteer.launch({ browser, executablePath, args, userDataDir, protocol: "webDriverBiDi", headless: true });
  const page = await launched.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") faults.push(message.text());
  });
  return {
    faults,
    open: (url) => page.goto(url),
    choose: async (selector, file) => {
      const field = await page.$(selector);
      await field.uploadFile(file);
    },
    evaluate: (script) => page.evaluate(script),
    version: () => launched.version(),
    close: () => launched.close(),
  };
}

/** A port that is free just now. */
async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

async function byWebKitsDriver() {
  const port = await freePort();
  const driver = spawn(process.env.WEBKIT_DRIVER, [`--port=${port}`, "--host=127.0.0.1"], { stdio: ["ignore", "inherit", "inherit"] });
  const server = `http://127.0.0.1:${port}`;
  const capabilities = new Capabilities({
    browserName: "MiniBrowser",
    "webkitgtk:browserOptions": { binary: process.env.MINI_BROWSER, args: ["--automation"] },
  });
  let session;
  try {
    await answering(server);
    session = await new Builder().usingServer(server).withCapabilities(capabilities).build();
  } catch (error) {
    driver.kill();
    throw error;
  }
  return {
    // This driver tells of none.
    faults: [],
    open: (url) => session.get(url),
    choose: async (selector, file) => {
      const field = await session.findElement({ css: selector });
      await field.sendKeys(file);
    },
    evaluate: (script) => session.executeScript(script),
    version: async () => {
      const found = await session.getCapabilities();
      return `${found.getBrowserName()} ${found.getBrowserVersion()}`;
    },
    close: async () => {
      await session.quit();
      driver.kill();
    },
  };
}

/** Wait until the driver has opened its port. */
async function answering(server) {
  for (let attempt = 0; ; attempt++) {
    try {
      await fetch(`${server}/status`);
      return;
    } catch (error) {
      if (attempt === 100) throw error;
      await new Promise((done) => setTimeout(done, 100));
    }
  }
}

export const drivers = {
  chromium: (profile) => byBidi("chrome", process.env.CHROMIUM, ["--no-sandbox", "--disable-gpu", "--no-first-run"], profile),
  firefox: (profile) => byBidi("firefox", process.env.FIREFOX, [], profile),
  webkit: byWebKitsDriver,
};
