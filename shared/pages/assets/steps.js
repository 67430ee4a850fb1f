"use strict";
(() => {
  const page = document.querySelector("[data-ticks]");
  for (const part of page.querySelectorAll("[data-scripted]")) part.hidden = false;

  for (const button of page.querySelectorAll("[data-copy]")) {
    const words = button.textContent;
    const source = document.getElementById(button.dataset.copy);
    button.setAttribute("aria-live", "polite");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(source.textContent);
        button.textContent = button.dataset.copied;
        setTimeout(() => { button.textContent = words; }, 2500);
      } catch {
        getSelection().selectAllChildren(source);
      }
    });
  }

  for (const button of page.querySelectorAll("[data-print]")) button.addEventListener("click", () => print());

  // What is ticked off stays in this browser.
  const boxes = [...page.querySelectorAll(".steps input")];
  const key = "ticks:" + page.dataset.ticks;
  try {
    const ticked = new Set((localStorage.getItem(key) || "").split(","));
    boxes.forEach((box, nth) => {
      box.checked = ticked.has(String(nth));
      box.addEventListener("change", () => {
        localStorage.setItem(key, boxes.flatMap((box, nth) => (box.checked ? [nth] : [])).join(","));
      });
    });
  } catch { /* a browser may keep nothing */ }

  // A closed branch would be missing on paper.
  const opened = [];
  addEventListener("beforeprint", () => {
    for (const part of page.querySelectorAll("details:not([open])")) { part.open = true; opened.push(part); }
  });
  addEventListener("afterprint", () => { for (const part of opened.splice(0)) part.open = false; });
})();
