"use strict";
(() => {
  const page = document.querySelector("[data-ticks]");

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
