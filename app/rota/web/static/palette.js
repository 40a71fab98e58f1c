"use strict";
// The palette: pages, what can be done on this page, and tasks by the beginning of their name. All of it has a link or a
// button elsewhere, so that nothing is missing without the script.

(() => {
  const MOST_TASKS = 8;
  const NAME = /^[A-Za-z0-9][A-Za-z0-9._~-]*$/;
  const dialog = document.getElementById("palette");
  const field = document.getElementById("palette-text");
  const list = document.getElementById("palette-list");
  const status = document.getElementById("palette-status");
  const opener = document.getElementById("palette-open");
  let entries = [];
  let chosen = 0;
  let asked = 0;
  let waiting = 0;

  function textOf(element) {
    return (element.getAttribute("aria-label") || element.textContent).replace(/\s+/g, " ").trim();
  }

  function pages() {
    const links = document.querySelectorAll("header nav a, footer a[data-page]");
    return [...links].map((link) => ({ kind: "Page", text: textOf(link), go: () => { location.href = link.href; } }));
  }

  // What ends or deletes something is shown, and not pressed: its button has words beside it.
  function actions() {
    const found = document.querySelectorAll("main .actions button, main .actions a.button, main h1 a.button, main button.danger");
    return [...found].filter((each) => each.checkVisibility()).map((each) => ({
      kind: "On this page",
      text: textOf(each),
      go: () => { if (each.classList.contains("danger")) { each.focus(); each.scrollIntoView({ block: "center" }); } else each.click(); },
    }));
  }

  function taskEntry(name) {
    return { kind: "Task", text: name, go: () => { location.href = `/ui/tasks/${encodeURIComponent(name)}`; } };
  }

  function matches(entry, words) {
    const text = entry.text.toLowerCase();
    return words.every((word) => text.includes(word));
  }

  function choose(index) {
    chosen = entries.length ? (index + entries.length) % entries.length : 0;
    [...list.children].forEach((row, at) => row.setAttribute("aria-selected", String(at === chosen)));
    const row = list.children[chosen];
    if (row) { field.setAttribute("aria-activedescendant", row.id); row.scrollIntoView({ block: "nearest" }); }
    else field.removeAttribute("aria-activedescendant");
  }

  function show(found, isComplete = true) {
    entries = found;
    list.replaceChildren(...found.map((entry, at) => {
      const row = document.createElement("li");
      row.id = `palette-${at}`;
      row.setAttribute("role", "option");
      const kind = document.createElement("small");
      kind.textContent = entry.kind;
      row.append(`${entry.text} `, kind);
      row.addEventListener("click", () => take(at));
      return row;
    }));
    field.setAttribute("aria-expanded", String(found.length > 0));
    status.textContent = found.length ? `${found.length} found` : isComplete ? "Nothing is called so" : "Searching…";
    status.classList.toggle("unseen", found.length > 0);
    choose(0);
  }

  async function tasks(text, limit) {
    const wanted = new URLSearchParams({ name_prefix: text, limit: String(limit) });
    const reply = await fetch(`/ui/api/v1/tasks?${wanted}`);
    return reply.ok ? (await reply.json()).items.map((task) => taskEntry(task.name)) : [];
  }

  async function search() {
    const own = ++asked;
    const text = field.value.trim();
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const here = [...actions(), ...pages()].filter((entry) => matches(entry, words));
    show(here, !NAME.test(text));
    if (!NAME.test(text)) return;
    const found = await tasks(text, MOST_TASKS);
    if (own !== asked || !dialog.open) return;
    const first = here.filter((entry) => entry.text.toLowerCase().startsWith(text.toLowerCase()));
    show([...first, ...found, ...here.filter((entry) => !first.includes(entry))]);
  }

  function take(index) {
    const entry = entries[index];
    if (!entry) return;
    dialog.close();
    entry.go();
  }

  // Enter opens the task that is called so, though the answer of the service is still to come.
  async function enter() {
    clearTimeout(waiting);
    const before = entries[chosen];
    const moved = chosen > 0;
    await search();
    const kept = moved ? entries.findIndex((each) => each.text === before.text && each.kind === before.kind) : 0;
    take(Math.max(kept, 0));
  }

  function open() {
    if (document.querySelector("dialog[open]")) return;
    field.value = "";
    dialog.showModal();
    search();
  }

  field.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(search, 120); });
  field.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) choose(chosen + step);
    else if (event.key === "Enter") enter();
    else return;
    event.preventDefault();
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  opener.hidden = false;
  opener.addEventListener("click", open);
  document.addEventListener("keydown", (event) => {
    const isChord = (event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k";
    const isSlash = event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && !isTyping(event.target);
    if (!isChord && !isSlash) return;
    event.preventDefault();
    open();
  });
})();
