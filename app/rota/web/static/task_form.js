"use strict";
// Shows what was typed in words while one types. Without it the form works as it stands.

const form = document.querySelector("form[data-live]");
const preview = document.getElementById("preview");
let typing = 0;
let asked = 0;

async function show() {
  const own = ++asked;
  const sent = new URLSearchParams(new FormData(form));
  sent.set("action", "live");
  const reply = await fetch(location.pathname, { method: "POST", body: sent });
  if (!reply.ok || reply.redirected || own !== asked) return;
  const part = new DOMParser().parseFromString(await reply.text(), "text/html");
  preview.replaceChildren(...part.body.childNodes);
  writeTimes(preview);
}

form.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(show, 350);
});

// Another handler has another input: its fields are made by the service.
document.getElementById("f-handler").addEventListener("change", () => {
  form.requestSubmit(document.getElementById("refresh"));
});

if (form.elements["/handler"].value) show();
