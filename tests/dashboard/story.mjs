// What somebody does at the dashboard, and must see. Started by run.sh.

import assert from "node:assert/strict";
import { join } from "node:path";
import { Browser } from "./browser.mjs";
import { Machine } from "./machine.mjs";

const { DASHBOARD, PICTURES, SCRATCH } = process.env;
const ENDPOINT = new URL(DASHBOARD).origin;

const browser = await Browser.start();
const machines = [];
let failed = 0;

// The page that stays open from the first check to the last: what changes on it came by itself.
const page = await browser.page();

try {
  await check("the page loads, and says that it is live", loads);
  await check("an activation is created by form, and its command is shown once", creates);
  await check("a machine that registers appears without a reload", appears);
  await check("its daemon's token and ping appear, and the life counts down", counts);
  await check("a fault is added by a click, and the row turns", breaks);
  await check("the row turns back once the fault is cleared and the daemon asks again", mends);
  await check("a fault is added by form, listed, and cleared", listed);
  await check("what somebody types or has open is not disturbed", undisturbed);
  await check("a wish that cannot be granted is told on the page", refused);
  await check("a node is deregistered by two clicks", deregisters);
  await check("without JavaScript the page reads and its forms work", plain);
  await check("without the token there is nothing to see", closed);
  await check("the page looks like this, by day, by night and on a phone", pictures);
  await check("nobody complained, and nothing was asked of anybody else", quiet);
} finally {
  for (const machine of machines) await machine.stop();
  await browser.stop();
}
process.exitCode = failed ? 1 : 0;

async function check(what, act) {
  try {
    await act();
    console.log(`ok      ${what}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${what}\n        ${error.stack.replaceAll("\n", "\n        ")}`);
    await page.picture(join(PICTURES, "failed.png")).catch(() => {});
  }
}

async function loads() {
  await page.size(1280, 900);
  await page.colours("light");
  await page.open(DASHBOARD);
  await page.until("the page is live", `document.querySelector("#connection").textContent === "live"`);
  assert.match(await text("#nodes"), /No machine has registered/);
  assert.match(await text("#activations"), /nobody can register/);
}

async function creates() {
  await page.click("#activations + details summary");
  await page.type("input[name=name]", "edge-tokyo-1");
  await page.picture(join(PICTURES, "form.png"));
  await page.click("#activations + details form button");
  const command = await page.until("the command", `document.querySelector(".notice code")?.textContent`);
  assert.match(command, /^echo \S{20} \| sudo rolekeeper register .* --activation-code-file - /);
  await page.until("the page is live", `document.querySelector("#connection.live")`);
  await page.picture(join(PICTURES, "activation.png"));
  machine("edge-tokyo-1").command = command;
  // Somebody who finds the address in the browser's history does not find the code.
  const other = await browser.page();
  await other.open(await page.look("location.href"));
  assert.match(await other.look("document.body.textContent"), /shown already/);
  assert.ok(!(await other.look("document.body.textContent")).includes(command.split(" ")[1]));
}

async function appears() {
  const [first] = machines;
  first.id = first.paste(first.command).split("\n")[0];
  assert.match(first.id, /^mi-[0-9a-f]{17}$/);
  await page.until("its row", `document.querySelector("#node-${first.id}")`);
  assert.match(await row(first), /no token/);
  assert.match(await row(first), /edge-tokyo-1/);
  await page.until("its activation is used up", `document.querySelector("#activations").textContent.includes("used up")`);
}

async function counts() {
  const [first] = machines;
  first.run();
  await page.until("the row is fresh", `document.querySelector("#node-${first.id}.good")`);
  await page.until("it is online", `document.querySelector("#node-${first.id} .ping").textContent.includes("online")`);
  assert.match(await row(first), /59 min \d\d s/);
  assert.match(await text("#tokens"), new RegExp(`SSMServiceRole.*${first.id}`));
  assert.match(await text("#requests"), /RequestManagedInstanceRoleToken.*done/);
  const left = `document.querySelector("#node-${first.id} span.left").textContent`;
  const before = await page.look(left);
  await page.until("the life has become shorter", `${left} !== ${JSON.stringify(before)}`);
}

async function breaks() {
  const [first] = machines;
  await page.click(`#node-${first.id} button[value=break]`);
  await page.until("the row turns", `document.querySelector("#node-${first.id}.doubtful")`);
  assert.match(await row(first), /fault set.*status 500/);
  assert.match(await text("#faults"), new RegExp(`status 500.*${first.id}`));
  assert.ok(!first.refresh(), "the daemon got credentials all the same");
  await page.until("the row fails", `document.querySelector("#node-${first.id}.bad")`);
  await page.until("the request is listed", `/fault/.test(document.querySelector("#requests tbody").textContent)`);
  await page.picture(join(PICTURES, "broken.png"));
}

async function mends() {
  const [first] = machines;
  await page.click(`#node-${first.id} button[value=mend]`);
  await page.until("no fault stands", `document.querySelector("#faults").textContent.includes("None stands")`);
  assert.ok(first.refresh(), "the daemon got no credentials");
  await page.until("the row is fresh again", `document.querySelector("#node-${first.id}.good")`);
}

async function listed() {
  await page.click("#faults + details summary");
  await page.look(`document.querySelector("select[name=trouble]").value = "throttled"`);
  await page.type("input[name=count]", "3");
  await page.type("input[name=for]", "10m");
  await page.click("#faults + details form button");
  await page.until("the fault is listed", `document.querySelector("#faults").textContent.includes("ThrottlingException")`);
  assert.match(await text("#faults"), /0 of 3 hits, (10 min 00|9 min \d\d) s left/);
  await page.click("#faults li button");
  await page.until("no fault stands", `document.querySelector("#faults").textContent.includes("None stands")`);
}

async function undisturbed() {
  const [first] = machines;
  await page.click(`#node-${first.id} details summary`);
  const menu = `document.querySelector("#node-${first.id} details").open`;
  await page.look(`document.querySelector("#node-${first.id} details button").focus()`);
  const requests = await text("#overview");
  assert.ok(first.refresh());
  await page.until("something changed", `document.querySelector("#overview").textContent !== ${JSON.stringify(requests)}
    && document.querySelector("#overview div:nth-child(3) strong").textContent !== ""`);
  assert.ok(await page.look(menu), "the menu was closed");
  assert.equal(await page.look("document.activeElement.value"), "throttle");
  await page.click("h1");
  assert.ok(!(await page.look(menu)), "the menu stayed open");
}

async function refused() {
  const [first] = machines;
  await page.look(`document.querySelector("select[name=trouble]").value = "refused"`);
  await page.look(`document.querySelector("input[name=for]").value = ""`);
  await page.click("#faults + details form button");
  const notice = await page.until("the notice", `document.querySelector("#notice .bad")?.textContent`);
  assert.match(notice, /refused connections meet everybody/);
  assert.ok(first.refresh());
}

async function deregisters() {
  const [first] = machines;
  await first.stop();
  await page.click(`#node-${first.id} details summary`);
  await page.click(`#node-${first.id} button[value=deregister]`);
  await page.until("the row is gone", `!document.querySelector("#node-${first.id}")`);
  await page.until("the request is listed", `document.querySelector("#requests").textContent.includes("DeregisterManagedInstance")`);
  assert.equal(await page.look(`document.querySelector("#notice").textContent`), "");
}

// Everything again by hand: no script runs, so each click leads to a new page.
async function plain() {
  const reader = await browser.page();
  await reader.scripts(false);
  await reader.size(1280, 900);
  await reader.open(DASHBOARD);
  const body = () => reader.look("document.body.textContent");
  assert.match(await body(), /Reload to see what is new/);
  await reader.click("#activations + details summary");
  await reader.type("input[name=name]", "plain");
  await reader.click("#activations + details form button");
  const command = await reader.until("the command", `document.querySelector(".notice code")?.textContent`);
  const second = machine("plain");
  second.id = second.paste(command).split("\n")[0];
  second.run();
  await page.until("the row is fresh", `document.querySelector("#node-${second.id}.good")`);
  await reader.open(DASHBOARD);
  assert.match(await body(), new RegExp(`fresh\\s*plain\\s*${second.id}`));
  assert.match(await body(), /59 min \d\d s/);
  await reader.click(`#node-${second.id} button[value=break]`);
  await reader.until("the row has turned", `document.querySelector("#node-${second.id}.doubtful")`);
  await reader.picture(join(PICTURES, "plain.png"));
  await reader.click("#faults li button");
  await reader.until("the row has turned back", `document.querySelector("#node-${second.id}.good")`);
  await reader.click(`#node-${second.id} details summary`);
  await reader.click(`#node-${second.id} button[value=deregister]`);
  await reader.until("the row is gone", `!document.querySelector("#node-${second.id}") && document.querySelector("#nodes")`);
  await second.stop();
  assert.deepEqual(reader.complaints, []);
}

async function closed() {
  for (const [url, init] of [
    [`${ENDPOINT}/`, {}],
    [`${ENDPOINT}/?token=00000000000000000000000000000000`, {}],
    [`${ENDPOINT}/dashboard/events`, {}],
    [DASHBOARD.replace("/?", "/dashboard/activations?"), { method: "POST", body: "role=R", headers: { origin: "http://elsewhere.example" } }],
  ]) {
    const answer = await fetch(url, init);
    assert.equal(answer.status, 403, url);
    assert.ok(!(await answer.text()).includes("Activations"));
  }
}

// A scene with something of everything; looked at by people.
async function pictures() {
  const names = ["edge-osaka-1", "edge-osaka-2", "backup-01", "build-7"];
  for (const name of names) {
    const one = machine(name);
    await page.open(DASHBOARD);
    await page.click("#activations + details summary");
    await page.type("input[name=name]", name);
    await page.click("#activations + details form button");
    const command = await page.until("the command", `document.querySelector(".notice code")?.textContent`);
    one.id = one.paste(command).split("\n")[0];
  }
  const [, , first, second, third] = machines;
  // Not before: rows that come in move what is about to be clicked. The fourth never runs.
  for (const one of [first, second, third]) one.run();
  await page.open(DASHBOARD);
  for (const one of [first, second, third]) {
    await page.until(`${one.id} is fresh`, `document.querySelector("#node-${one.id}.good")`);
  }
  await page.click(`#node-${third.id} button[value=break]`);
  await page.until("the row turns", `document.querySelector("#node-${third.id}.doubtful")`);
  third.refresh();
  await page.until("the row fails", `document.querySelector("#node-${third.id}.bad")`);
  await page.click(`#node-${second.id} details summary`);
  await page.click(`#node-${second.id} button[value=slow]`);
  await page.until("the row turns", `document.querySelector("#node-${second.id}.doubtful")`);
  await page.click("#faults + details summary");
  for (const [name, width, scheme] of [
    ["light", 1280, "light"],
    ["dark", 1280, "dark"],
    ["phone-light", 390, "light"],
    ["phone-dark", 390, "dark"],
  ]) {
    await page.size(width, 900);
    await page.colours(scheme);
    const overflow = await page.look("document.documentElement.scrollWidth - innerWidth");
    assert.equal(overflow, 0, `at ${width} pixels the page is ${overflow} too wide`);
    await page.size(width, await page.look("document.documentElement.scrollHeight"));
    await page.picture(join(PICTURES, `${name}.png`));
  }
}

async function quiet() {
  // The one refusal that was wished for is an answer with status 400.
  const complaints = page.complaints.filter((text) => !/status of 400/.test(text));
  assert.deepEqual(complaints, []);
  const strangers = page.requests.filter((url) => new URL(url).origin !== ENDPOINT);
  assert.deepEqual(strangers, []);
}

function machine(name) {
  const one = new Machine(join(SCRATCH, name), ENDPOINT);
  machines.push(one);
  return one;
}

// What an element shows, blanks in one.
async function text(selector) {
  const shown = await page.look(`document.querySelector(${JSON.stringify(selector)}).textContent`);
  return shown.replace(/\s+/g, " ");
}

function row(machine) {
  return text(`#node-${machine.id}`);
}
