"use strict";
// Times in the zone of the viewer, and pages that follow what happens. Without it every page works as it stands.

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

function writeTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.title = `${exact.format(at)} ${zone} (${time.dateTime})`;
    if (!("relative" in time.dataset)) time.textContent = exact.format(at);
  }
  const place = document.getElementById("zone");
  if (place) place.textContent = zone;
}

let live = true;
let missed = 0;
let reloading = 0;

// Whether replacing the page would lose something: what is typed, or the answer to a form (`data-still`).
function isBusy() {
  const active = document.activeElement;
  if (active && ["INPUT", "SELECT", "TEXTAREA"].includes(active.tagName)) return true;
  if (document.querySelector("main [data-still]")) return true;
  return [...document.querySelectorAll("main input, main textarea, main select")].some(isChanged);
}

function isChanged(field) {
  if (field.tagName !== "SELECT") return field.value !== field.defaultValue || field.checked !== field.defaultChecked;
  const chosen = [...field.options].findIndex((each) => each.defaultSelected);
  return field.selectedIndex !== Math.max(chosen, 0);
}

async function refresh() {
  const reply = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!reply.ok || reply.redirected) return;
  if (document.querySelector("main [data-still]")) return; // what a form has come to
  const page = new DOMParser().parseFromString(await reply.text(), "text/html");
  const fresh = page.getElementById("main");
  if (!fresh || isBusy()) return;
  const opened = [...document.querySelectorAll("details")].map((each) => each.open);
  document.getElementById("main").replaceChildren(...fresh.childNodes);
  document.querySelectorAll("details").forEach((each, index) => { each.open = opened[index] ?? each.open; });
  writeTimes(document);
}

function notice() {
  if (!live || isBusy() || document.hidden) {
    missed += 1;
    document.getElementById("news").textContent = `${missed} new`;
    return;
  }
  missed = 0;
  document.getElementById("news").textContent = "";
  if (!reloading) reloading = setTimeout(() => { reloading = 0; refresh(); }, 1000);
}

const KINDS = [
  ...["succeeded", "failed", "cancelled", "skipped"].map((each) => `run.${each}`),
  ...["created", "updated", "paused", "resumed", "cancelled", "deleted", "completed"].map((each) => `task.${each}`),
  ...["failing", "recovered", "skipped", "late", "on_time"].map((each) => `alert.${each}`),
  "kv.changed",
];

function follow() {
  const button = document.getElementById("live");
  if (!button || location.pathname.startsWith("/ui/sign-in")) return;
  const events = new EventSource("/ui/api/v1/events");
  for (const kind of KINDS) events.addEventListener(kind, notice);
  button.hidden = false;
  button.addEventListener("click", () => {
    live = !live;
    button.setAttribute("aria-pressed", String(live));
    button.textContent = live ? "Live" : "Paused";
    if (live) { missed = 0; document.getElementById("news").textContent = ""; refresh(); }
  });
}

writeTimes(document);
follow();
