"use strict";
// Keys: `?` for the list of keys, `g` and a letter to a page. Each has a link as well. The palette has its own file.

let armed = 0;

function isTyping(target) {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName));
}

function showKeys() {
  const dialog = document.getElementById("chords");
  if (!dialog.open) dialog.showModal();
}

function say(text) {
  document.getElementById("said").textContent = text;
}

function disarm() {
  clearTimeout(armed);
  armed = 0;
  document.body.classList.remove("armed");
}

function arm() {
  armed = setTimeout(disarm, 3000);
  document.body.classList.add("armed");
  say("Go to: press a letter, or ? for the list");
}

function goTo(key) {
  const link = document.querySelector(`#chords a[data-chord="${CSS.escape(key)}"]`);
  disarm();
  if (link) location.href = link.href;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (armed && event.key !== "?") return goTo(event.key);
  if (event.key === "g") arm();
  else if (event.key === "?") showKeys();
  else return;
  event.preventDefault();
});

const keysButton = document.getElementById("keys");
keysButton.hidden = false;
keysButton.addEventListener("click", showKeys);
// The list of the pages that are needed more rarely closes when something else is clicked.
document.addEventListener("click", (event) => {
  for (const each of document.querySelectorAll("details.more[open]")) {
    if (!each.contains(event.target)) each.open = false;
  }
});
