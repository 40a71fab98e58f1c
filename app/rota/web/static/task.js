"use strict";
// Buttons that copy the text of another element; without the script one selects it by hand.

function offerCopies() {
  if (!navigator.clipboard) return;
  for (const button of document.querySelectorAll("button[data-copy][hidden]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      button.textContent = "Copied";
    });
  }
}

offerCopies();
// The page is replaced when something happens.
new MutationObserver(offerCopies).observe(document.getElementById("main"), { childList: true });
