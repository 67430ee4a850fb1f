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
  const boxes = [...page.querySelectorAll("input.step")];
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

  for (const time of page.querySelectorAll("time")) {
    const at = new Date(time.dateTime);
    time.textContent = at.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    if (!("until" in time.dataset)) continue;
    const whole = time.parentElement, words = time.textContent, left = document.createElement("span");
    time.after(" ", left);
    const tick = () => {
      const minutes = Math.ceil((at - Date.now()) / 60000);
      if (minutes <= 0) { whole.textContent = time.dataset.now; return; }
      time.textContent = words;
      left.textContent = "(" + time.dataset.in.replace("{minutes}", minutes) + ")";
      setTimeout(tick, 15000);
    };
    tick();
  }

  // A closed branch would be missing on paper.
  const opened = [];
  addEventListener("beforeprint", () => {
    for (const part of page.querySelectorAll("details:not([open])")) { part.open = true; opened.push(part); }
  });
  addEventListener("afterprint", () => { for (const part of opened.splice(0)) part.open = false; });

  // Less and less often: a page may stay open for days.
  if (page.dataset.status) {
    let pause = 4000;
    const ask = async () => {
      try {
        const answer = await fetch(page.dataset.status, { cache: "no-store", credentials: "same-origin" });
        if (answer.ok && (await answer.json()).state === "resolved") { location.reload(); return; }
      } catch { /* asked again below */ }
      pause = Math.min(pause * 1.2, 60000);
      setTimeout(ask, pause);
    };
    setTimeout(ask, pause);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) pause = 4000; });
  }
})();
