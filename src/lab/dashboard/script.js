// Makes the page live. Without it the page reads, and its forms work, all the same.
"use strict";

// Everything that is shown comes from the lab as HTML, escaped there; here it is put in place.

const connection = document.getElementById("connection");
const notice = document.getElementById("notice");

// The lab's time, and when this page heard it.
let clock = null;

watch();
setInterval(count, 250);
document.addEventListener("submit", send);
document.addEventListener("click", closeMenus);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeMenus(event);
});
offerToCopy();

function watch() {
  const events = new EventSource(document.body.dataset.events);
  say("connecting");
  events.onopen = () => say("live");
  events.onerror = () => say(events.readyState === EventSource.CLOSED ? "closed" : "lost");
  for (const section of document.querySelectorAll(".live")) {
    events.addEventListener(section.id, (event) => show(section, event.data));
  }
}

function say(state) {
  const words = {
    connecting: "connecting",
    live: "live",
    lost: "the lab does not answer; trying again",
    closed: "the lab has stopped or was started anew: open the address that it prints",
  };
  connection.className = state;
  connection.textContent = words[state];
  if (state !== "live") clock = null;
}

function show(section, html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  adapt(section, template.content.firstElementChild);
  if (section.dataset.now) {
    clock = { at: Number(section.dataset.now), rate: Number(section.dataset.rate), heard: performance.now() };
  }
  count();
}

// Makes `old` like `wanted` and leaves alone what is alike, so that focus, selection and open menus
// stay where they are. Children with ids are recognised wherever they move.
function adapt(old, wanted) {
  for (const { name, value } of wanted.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    // Whether a menu is open is the reader's business.
    if (!wanted.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  const known = new Map();
  for (const child of old.children) if (child.id) known.set(child.id, child);
  let at = old.firstChild;
  for (const child of [...wanted.childNodes]) {
    const match = child.id ? known.get(child.id) : isLike(at, child) ? at : null;
    if (!match) {
      if (child.id) child.classList.add("arrived");
      old.insertBefore(child, at);
      continue;
    }
    if (match === at) at = at.nextSibling;
    else old.insertBefore(match, at);
    if (match.nodeType === Node.ELEMENT_NODE) adapt(match, child);
    else if (match.data !== child.data) match.data = child.data;
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function isLike(old, wanted) {
  return old !== null && !old.id && old.nodeName === wanted.nodeName;
}

// Counts lives down and pings up, by the lab's clock and at its rate.
function count() {
  if (!clock) return;
  const now = clock.at + (performance.now() - clock.heard) * clock.rate;
  for (const life of document.querySelectorAll("[data-ends]")) {
    const left = life.dataset.ends - now;
    const percent = Math.max(0, Math.min(100, Math.ceil((left / life.dataset.whole) * 100)));
    life.classList.toggle("waning", percent <= 20);
    life.querySelector("rect.left").setAttribute("width", percent);
    tell(life.querySelector("span.left"), left > 0 ? spell(left) : life.dataset.over);
  }
  for (const since of document.querySelectorAll("[data-since]")) {
    tell(since, `${spell(Math.max(0, now - since.dataset.since))} ago`);
  }
  for (const face of document.querySelectorAll("[data-clock]")) {
    tell(face, new Date(now).toISOString().slice(11, 19));
  }
}

function tell(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// As the lab spells it: `59 min 12 s`.
function spell(millis) {
  const seconds = Math.floor(millis / 1000);
  const two = (number) => String(number).padStart(2, "0");
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${two(Math.floor(seconds / 60) % 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${two(Math.floor(seconds / 3600) % 24)} h`;
}

// Sends a form without leaving the page; what it changes arrives as events. A refusal's page brings
// its notice.
async function send(event) {
  const form = event.target;
  if (!("quiet" in form.dataset)) return;
  event.preventDefault();
  const body = new URLSearchParams(new FormData(form, event.submitter));
  closeMenus();
  try {
    const answer = await fetch(form.action, { method: "POST", body, redirect: "manual" });
    if (answer.type === "opaqueredirect") {
      notice.replaceChildren();
    } else if (answer.headers.get("content-type").startsWith("text/html")) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      notice.replaceChildren(...page.getElementById("notice").childNodes);
    } else {
      notice.textContent = await answer.text();
    }
  } catch {
    notice.textContent = "The lab did not answer; nothing is known to have been done.";
  }
}

// All menus but the one that was clicked in.
function closeMenus(event) {
  const kept = event?.type === "click" ? event.target.closest("details.menu") : null;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (menu !== kept) menu.open = false;
  }
}

// The command to paste, one click away where the browser has a clipboard for us.
function offerToCopy() {
  const command = notice.querySelector("pre code");
  if (!command || !navigator.clipboard) return;
  const button = document.createElement("button");
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(command.textContent);
    button.textContent = "Copied";
  });
  command.closest(".notice").append(button);
}
