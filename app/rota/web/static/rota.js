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

function isBusy() {
  const active = document.activeElement;
  return active && ["INPUT", "SELECT", "TEXTAREA"].includes(active.tagName);
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
  document.querySelectorAll("details").forEach((each, index) => { each.open = opened[index] ?? false; });
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

function follow() {
  const button = document.getElementById("live");
  if (!button || location.pathname.startsWith("/ui/sign-in")) return;
  const events = new EventSource("/ui/api/v1/events");
  for (const kind of ["run.started", "run.finished", "run.queued", "run.blocked", "task.changed", "task.created"]) {
    events.addEventListener(kind, notice);
  }
  events.onmessage = notice;
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
