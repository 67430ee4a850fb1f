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

  // Every five seconds while somebody looks, for ten minutes; then less and less often: a page may stay open for days.
  if (page.dataset.status) {
    const fast = 5000, eager = Date.now() + 600000;
    let pause = fast, timer;
    const ask = async () => {
      clearTimeout(timer);
      try {
        const answer = await fetch(page.dataset.status, { cache: "no-store", credentials: "same-origin" });
        if (answer.ok && (await answer.json()).state === "resolved") { location.reload(); return; }
      } catch { /* asked again below */ }
      pause = Date.now() < eager && !document.hidden ? fast : Math.min(pause * 1.2, 60000);
      timer = setTimeout(ask, pause);
    };
    timer = setTimeout(ask, pause);
    const look = () => { if (!document.hidden) { pause = fast; ask(); } };
    document.addEventListener("visibilitychange", look);
    addEventListener("focus", look);
  }
})();
