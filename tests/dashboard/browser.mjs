// Chromium, driven over its DevTools protocol by pipe: no port that others could find, no package.
// https://chromedevtools.github.io/devtools-protocol/

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

// A guard against waiting for ever; nothing depends on how long anything takes.
const GUARD = 30_000;

// Between two looks at a condition.
const LOOK = 50;

export class Browser {
  static async start() {
    const browser = new Browser();
    browser.directory = mkdtempSync(join(tmpdir(), "rolekeeper-dashboard-"));
    browser.process = spawn(
      "chromium",
      [
        "--headless",
        "--remote-debugging-pipe",
        `--user-data-dir=${browser.directory}`,
        // The page under test is the lab's own, and root has no other way.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        "--hide-scrollbars",
      ],
      { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] },
    );
    browser.process.on("exit", () => browser.#fail(new Error("chromium has ended")));
    browser.answers = new Map();
    browser.pages = new Map();
    browser.last = 0;
    let received = "";
    browser.process.stdio[4].setEncoding("utf8").on("data", (data) => {
      const messages = (received + data).split("\0");
      received = messages.pop();
      for (const message of messages) browser.#receive(JSON.parse(message));
    });
    return browser;
  }

  async page() {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(this, sessionId);
    this.pages.set(sessionId, page);
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await page.send(`${domain}.enable`);
    return page;
  }

  send(method, params = {}, sessionId = undefined) {
    const id = ++this.last;
    this.process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => this.answers.set(id, { resolve, reject, method }));
  }

  async stop() {
    this.process.removeAllListeners("exit");
    const ended = new Promise((resolve) => this.process.on("exit", resolve));
    this.process.kill("SIGKILL");
    await ended;
    // Its children write for a moment more; maxRetries does not help with what is in a subdirectory.
    for (let looks = 0; ; looks++) {
      try {
        return rmSync(this.directory, { recursive: true, force: true });
      } catch (error) {
        if (error.code !== "ENOTEMPTY" || looks * LOOK > GUARD) throw error;
        await new Promise((resolve) => setTimeout(resolve, LOOK));
      }
    }
  }

  #receive(message) {
    if (message.id === undefined) {
      this.pages.get(message.sessionId)?.hear(message.method, message.params);
      return;
    }
    const { resolve, reject, method } = this.answers.get(message.id);
    this.answers.delete(message.id);
    if (message.error) reject(new Error(`${method}: ${message.error.message}`));
    else resolve(message.result);
  }

  #fail(error) {
    for (const { reject } of this.answers.values()) reject(error);
  }
}

// A tab, and what it complained about.
class Page {
  constructor(browser, sessionId) {
    this.browser = browser;
    this.sessionId = sessionId;
    this.complaints = [];
    this.requests = [];
  }

  send(method, params) {
    return this.browser.send(method, params, this.sessionId);
  }

  hear(method, params) {
    if (method === "Runtime.exceptionThrown") {
      this.complaints.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    } else if (method === "Runtime.consoleAPICalled" && ["error", "warning"].includes(params.type)) {
      this.complaints.push(params.args.map((one) => one.value).join(" "));
    } else if (method === "Log.entryAdded" && ["error", "warning"].includes(params.entry.level)) {
      this.complaints.push(params.entry.text);
    } else if (method === "Network.requestWillBeSent") {
      this.requests.push(params.request.url);
    }
  }

  async open(url) {
    await this.send("Page.navigate", { url });
    await this.until("the page is loaded", `document.readyState === "complete" && location.href !== "about:blank"`);
  }

  async look(expression) {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", {
      expression,
      returnByValue: true,
    });
    if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception.description}`);
    return result.value;
  }

  async until(what, expression) {
    for (const end = Date.now() + GUARD; Date.now() < end; ) {
      // A page that is just being left cannot be looked at.
      const seen = await this.look(expression).catch(() => undefined);
      if (seen) return seen;
      await new Promise((resolve) => setTimeout(resolve, LOOK));
    }
    throw new Error(`never seen: ${what}`);
  }

  // As a hand would: the middle of the element is pressed, whatever lies there.
  async click(selector) {
    // A tab in the background gets its clicks late.
    await this.send("Page.bringToFront");
    const { x, y } = await this.until(
      `${selector} to click`,
      `(() => {
        const found = document.querySelector(${JSON.stringify(selector)});
        if (!found) return null;
        found.scrollIntoView({ block: "center", behavior: "instant" });
        const { x, y, width, height } = found.getBoundingClientRect();
        return width && height ? { x: x + width / 2, y: y + height / 2 } : null;
      })()`,
    );
    for (const type of ["mouseMoved", "mousePressed", "mouseReleased"]) {
      await this.send("Input.dispatchMouseEvent", { type, x, y, button: "left", clickCount: 1 });
    }
  }

  async type(selector, text) {
    await this.click(selector);
    await this.look(`document.querySelector(${JSON.stringify(selector)}).select()`);
    await this.send("Input.insertText", { text });
  }

  async size(width, height) {
    const mobile = width < 720;
    await this.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: mobile ? 2 : 1, mobile });
  }

  async colours(scheme) {
    await this.send("Emulation.setEmulatedMedia", {
      features: [{ name: "prefers-color-scheme", value: scheme }, { name: "prefers-reduced-motion", value: "reduce" }],
    });
  }

  async scripts(allowed) {
    await this.send("Emulation.setScriptExecutionDisabled", { value: !allowed });
  }

  // The whole page, however long.
  async picture(path) {
    const { data } = await this.send("Page.captureScreenshot", { captureBeyondViewport: true });
    writeFileSync(path, Buffer.from(data, "base64"));
  }
}
