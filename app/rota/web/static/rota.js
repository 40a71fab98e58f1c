"use strict";
// Times in the zone of the viewer, and pages that follow what happens. Without it every page works as it stands.

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const timeOfDay = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" });
const named = new Intl.DateTimeFormat(undefined, { timeZoneName: "short" });

// A time on two lines breaks between the date and the time of day.
function written(at) {
  const parts = exact.formatToParts(at);
  const begin = parts.findIndex((part) => ["hour", "dayPeriod"].includes(part.type)) - 1;
  return parts.map((part, index) => index === begin ? part.value : part.value.replaceAll(" ", "\u00a0")).join("");
}

function zoneAt(at) {
  return named.formatToParts(at).find((part) => part.type === "timeZoneName").value;
}

function writeTime(time) {
  const at = new Date(time.dateTime);
  if (Number.isNaN(at.getTime())) return;
  time.title = `${written(at)} ${zone} (${time.dateTime})`;
  if ("relative" in time.dataset) return;
  if ("clock" in time.dataset) time.textContent = timeOfDay.format(at);
  // In a table the heading of the column names the zone.
  else time.textContent = time.closest("td") ? written(at) : `${written(at)}\u00a0${zoneAt(at)}`;
}

function writeTimes(root) {
  root.querySelectorAll("time[datetime]").forEach(writeTime);
  for (const place of document.querySelectorAll("#zone, [data-zone]")) place.textContent = zone;
}

let live = true;
let missed = 0;
let saidAt = 0;
let reloading = 0;

function isChanged(field) {
  if (field.tagName !== "SELECT") return field.value !== field.defaultValue || field.checked !== field.defaultChecked;
  const chosen = [...field.options].findIndex((each) => each.defaultSelected);
  return field.selectedIndex !== Math.max(chosen, 0);
}

// Replacing the page would lose something: what is typed, the answer to a form (`data-still`), or a dialog that is read.
function isBusy() {
  const active = document.activeElement;
  if (active && ["INPUT", "SELECT", "TEXTAREA"].includes(active.tagName)) return true;
  return document.querySelector("dialog[open], main [data-still]") !== null || hasTyped();
}

function hasTyped() {
  return [...document.querySelectorAll("main input, main select, main textarea")].some(isChanged);
}

async function refresh(asked = false) {
  const reply = await fetch(location.href, { headers: { accept: "text/html" } });
  if (isSignIn(reply)) return showSignedOut();
  if (!reply.ok || reply.redirected) return;
  if (document.querySelector("main [data-still]")) return; // what a form has come to
  const page = new DOMParser().parseFromString(await reply.text(), "text/html");
  const fresh = page.getElementById("main");
  if (!fresh || (asked ? hasTyped() : isBusy())) return;
  const opened = [...document.querySelectorAll("details")].map((each) => each.open);
  document.getElementById("main").replaceChildren(...fresh.childNodes);
  document.querySelectorAll("details").forEach((each, index) => { each.open = opened[index] ?? each.open; });
  writeTimes(document);
  document.dispatchEvent(new Event("rota:shown"));
  const version = page.getElementById("version");
  if (version && version.textContent !== document.getElementById("version").textContent) showUpdated(version.textContent);
}

// The service was updated while this page was open: its scripts and forms may not fit any more.
function showUpdated(version) {
  showBanner("updated", `Rota ${version} is running now, and this page is of the version before. `, "Load the page again");
}

function showSignedOut() {
  showBanner("signed-out", "You are signed out: this page is not updated any more. ", "Sign in again");
}

function showBanner(id, text, label) {
  if (document.getElementById(id)) return;
  const banner = document.createElement("p");
  banner.id = id;
  banner.className = "banner";
  banner.setAttribute("role", "status");
  const link = document.createElement("a");
  link.href = location.href;
  link.textContent = label;
  banner.append(text, link);
  document.getElementById("main").before(banner);
}

function isSignIn(reply) {
  return reply.redirected && new URL(reply.url).pathname === "/ui/sign-in";
}

function showMissed() {
  const chip = document.getElementById("news");
  chip.hidden = missed === 0;
  chip.textContent = `${missed} new`;
  // At most each ten seconds, so that a reader is not talked to all the time.
  if (missed && Date.now() - saidAt > 10_000) {
    saidAt = Date.now();
    document.getElementById("said").textContent = `${missed} new events; the page is not updated`;
  }
}

function notice() {
  if (!live || isBusy() || document.hidden) {
    missed += 1;
    showMissed();
    return;
  }
  missed = 0;
  showMissed();
  if (!reloading) reloading = setTimeout(() => { reloading = 0; refresh(); }, 1000);
}

const KINDS = [
  ...["succeeded", "failed", "cancelled", "skipped"].map((each) => `run.${each}`),
  ...["created", "updated", "paused", "resumed", "cancelled", "deleted", "completed"].map((each) => `task.${each}`),
  ...["failing", "recovered", "skipped", "late", "on_time"].map((each) => `alert.${each}`),
  "kv.changed",
];

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;
let connected = true;
let pause = FIRST_PAUSE_MS;

function showLive() {
  const button = document.getElementById("live");
  button.setAttribute("aria-pressed", String(live));
  button.textContent = connected ? (live ? "Live" : "Paused") : "Not live";
  button.title = connected ? "" : "The service does not send what happens; it is asked again and again";
}

// A browser tries again by itself after a broken connection, but not after a refusal.
function connect() {
  const events = new EventSource("/ui/api/v1/events");
  for (const kind of KINDS) events.addEventListener(kind, notice);
  events.addEventListener("open", () => {
    const wasLost = !connected;
    connected = true;
    pause = FIRST_PAUSE_MS;
    showLive();
    if (wasLost) notice();
  });
  events.addEventListener("error", () => {
    connected = false;
    showLive();
    if (events.readyState !== EventSource.CLOSED) return;
    setTimeout(connectAgain, pause);
    pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
  });
}

async function connectAgain() {
  const reply = await fetch(location.href, { headers: { accept: "text/html" } }).catch(() => null);
  if (reply && isSignIn(reply)) showSignedOut();
  else connect();
}

function follow() {
  const button = document.getElementById("live");
  if (!button || location.pathname.startsWith("/ui/sign-in")) return;
  connect();
  button.hidden = false;
  button.addEventListener("click", () => {
    live = !live;
    showLive();
    document.getElementById("said").textContent = live ? "The page follows what happens" : "The page stays as it is";
    if (live) { missed = 0; showMissed(); refresh(); }
  });
  document.getElementById("news").addEventListener("click", () => { missed = 0; showMissed(); refresh(true); });
}

writeTimes(document);
follow();
