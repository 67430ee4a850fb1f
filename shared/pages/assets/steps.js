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

  // One My Domain, typed once, makes every link into Setup work.
  const org = page.querySelector("[data-my-domain]");
  if (org) {
    const template = page.querySelector("[data-setup-link]");
    const link = () => {
      const host = org.value.trim().toLowerCase().replace(/^https?:\/\//, "").replace(/[\/?#].*$/, "");
      const known = /^[a-z0-9-]+(\.[a-z0-9-]+)?\.my\.salesforce\.[a-z]+(:\d+)?$/.test(host);
      for (const setup of page.querySelectorAll("[data-setup]")) {
        setup.hidden = !known;
        if (!setup.firstChild) setup.append(template.content.cloneNode(true));
        if (known) setup.firstChild.href = "https://" + host + setup.dataset.setup;
      }
      return known;
    };
    try { org.value = localStorage.getItem("my-domain") || ""; } catch { /* a browser may keep nothing */ }
    link();
    org.addEventListener("input", () => {
      if (!link()) return;
      try { localStorage.setItem("my-domain", org.value); } catch { /* as above */ }
    });
  }

  // A closed branch would be missing on paper.
  const opened = [];
  addEventListener("beforeprint", () => {
    for (const part of page.querySelectorAll("details:not([open])")) { part.open = true; opened.push(part); }
  });
  addEventListener("afterprint", () => { for (const part of opened.splice(0)) part.open = false; });
})();
