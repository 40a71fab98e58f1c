"use strict";
// The log of a run as it is written, and the progress of a bulk operation. Without it both pages show what was stored.

(() => {
  const MOST_LINES = 5000;
  const lines = new Map();
  let source = null;
  let newest = 0;

  function write(line) {
    const place = document.querySelector(`[data-log="${line.attempt}"]`);
    if (!place) renew(line.attempt);
    if (!place || place.querySelector(`[data-line="${line.line}"]`)) return;
    const follows = place.scrollTop + place.clientHeight >= place.scrollHeight - 30;
    const row = document.createElement("span");
    row.className = `line ${line.level}`;
    row.dataset.line = line.line;
    const at = document.createElement("time");
    at.className = "at";
    at.dataset.clock = "";
    at.dateTime = line.at;
    at.textContent = line.at.slice(11);
    if (typeof writeTime === "function") writeTime(at);
    row.append(at, ` ${line.level} ${line.message}\n`);
    place.append(row);
    place.hidden = false;
    document.querySelector(`[data-nothing="${line.attempt}"]`)?.remove();
    if (follows) place.scrollTop = place.scrollHeight;
  }

  // A line of an attempt that began after the page was made; earlier ones may be left out of it.
  function renew(attempt) {
    const shown = [...document.querySelectorAll("[data-log]")].map((each) => Number(each.dataset.log));
    if (attempt <= Math.max(newest, ...shown)) return;
    newest = attempt;
    setTimeout(() => { if (typeof refresh === "function") refresh(); }, 500);
  }

  function followLog() {
    const section = document.querySelector("[data-follow]");
    if (!section || source) return;
    const { follow: run, after } = section.dataset;
    source = new EventSource(`/ui/api/v1/runs/${run}/logs?follow=true&last_event_id=${after}`);
    source.addEventListener("log", (event) => {
      const line = JSON.parse(event.data).data;
      lines.set(`${line.attempt}.${line.line}`, line);
      if (lines.size > MOST_LINES) lines.delete(lines.keys().next().value);
      write(line);
    });
    source.addEventListener("end", () => source.close());
  }

  function followBulk() {
    if (!document.querySelector("[data-going-on]")) return;
    setTimeout(async () => {
      if (typeof refresh === "function") await refresh(); else location.reload();
      followBulk();
    }, 1000);
  }

  // The page may be replaced by a newer one of itself: the lines that came meanwhile are written again.
  new MutationObserver(() => {
    followLog();
    lines.forEach(write);
  }).observe(document.getElementById("main"), { childList: true });
  followLog();
  followBulk();
})();
