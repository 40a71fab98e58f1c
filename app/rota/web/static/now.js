"use strict";
// The first page: parts that take longer come after it, and the times of the axis are in the zone of the viewer.

const kept = new Map();
const KEPT_MS = 60_000;
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

// The elements themselves are kept, so that what was opened in them stays open.
async function partOf(url, id) {
  const known = kept.get(url);
  if (known && Date.now() - known.at < KEPT_MS) return known.nodes;
  const reply = await fetch(url, { headers: { accept: "text/html" } });
  if (!reply.ok || reply.redirected) return null;
  const part = new DOMParser().parseFromString(await reply.text(), "text/html").getElementById(id);
  if (!part) return null;
  const nodes = [...part.childNodes];
  kept.set(url, { at: Date.now(), nodes });
  return nodes;
}

async function fillIn() {
  for (const text of document.querySelectorAll("text[data-at]")) {
    text.textContent = clock.format(new Date(text.dataset.at));
  }
  for (const place of document.querySelectorAll("[data-part]")) {
    const nodes = await partOf(place.dataset.part, place.dataset.pick);
    if (nodes) place.replaceChildren(...nodes);
    writeTimes(place);
  }
}

document.addEventListener("rota:shown", fillIn);
fillIn();
