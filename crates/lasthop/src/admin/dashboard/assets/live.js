// Puts what the server sends in place, and reads values off the charts. The server wrote and escaped every word of it;
// without this script the page is whole, and stands still.
"use strict";
(() => {
  const parts = ["state", "summary", "findings", "charts", "upstreams"];
  const live = document.getElementById("live");
  const pause = document.getElementById("pause");
  const path = "/events?window=" + document.body.dataset.window;
  const AGAIN_MS = 5000;
  let source = null;
  let again = 0;
  let paused = false;

  // What the visitor has opened or closed; all else is open or closed as the server says.
  const touched = new Set();
  document.getElementById("main").addEventListener("click", (event) => {
    const summary = event.target.closest?.("summary");
    if (summary?.parentElement.id) touched.add(summary.parentElement.id);
  });

  // A part is replaced only where it differs. What was opened or closed stays so, and so does the focus.
  function put(name, html) {
    const part = document.getElementById(name);
    const next = document.createElement("template");
    next.innerHTML = html;
    const focus = document.activeElement && part.contains(document.activeElement) ? document.activeElement.id : "";
    for (const old of part.querySelectorAll("details[id]")) {
      const same = touched.has(old.id) && next.content.getElementById(old.id);
      if (same) same.open = old.open;
    }
    const scrolled = [...part.querySelectorAll(".scroll")].map((it) => it.scrollLeft);
    part.replaceChildren(next.content);
    part.querySelectorAll(".scroll").forEach((it, at) => { it.scrollLeft = scrolled[at] || 0; });
    if (name === "charts") prepare();
    if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
  }

  function say(text, lost) {
    if (live.textContent !== text) live.textContent = text;
    live.classList.toggle("lost", Boolean(lost));
  }

  function open() {
    clearTimeout(again);
    source = new EventSource(path);
    source.onopen = () => say("live");
    source.onerror = () => {
      say("connection lost, trying again", true);
      // The browser tries again by itself, but not after an answer that is no stream.
      if (source.readyState === EventSource.CLOSED) again = setTimeout(open, AGAIN_MS);
    };
    for (const name of parts) source.addEventListener(name, (event) => put(name, event.data));
  }

  function close() {
    clearTimeout(again);
    source?.close();
  }

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    if (paused) { close(); say("paused"); } else { open(); }
  });
  // A page that nobody sees asks for nothing.
  document.addEventListener("visibilitychange", () => {
    if (paused) return;
    close();
    if (!document.hidden) open();
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => { if (event.persisted && !paused) open(); });

  // Values under the pointer, or at the place that the arrow keys moved to: the same time in every chart.
  const SVG = "http://www.w3.org/2000/svg";
  const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
  let at = null;

  function written(value, unit) {
    if (value === "") return "–";
    const it = Number(value);
    if (unit === "rate") return number.format(it) + "/s";
    if (unit !== "seconds") return number.format(it);
    if (it === 0) return "0";
    return it < 1e-3 ? number.format(it * 1e6) + " µs" : it < 1 ? number.format(it * 1e3) + " ms" : number.format(it) + " s";
  }

  function valueAt(changes, second) {
    let value = "";
    for (const change of changes.split(" ")) {
      const colon = change.indexOf(":");
      if (Number(change.slice(0, colon)) > second) break;
      value = change.slice(colon + 1);
    }
    return value;
  }

  function show(plot) {
    let box = plot.querySelector("output");
    let line = plot.querySelector(".cursor");
    if (at === null) { box?.remove(); line?.remove(); return; }
    const { from, to, unit } = plot.dataset;
    const span = (to - from) / 1000;
    if (!box) {
      box = plot.appendChild(document.createElement("output"));
      // One chart speaks: the one that has the focus.
      box.setAttribute("aria-live", "off");
      line = plot.querySelector("svg").appendChild(document.createElementNS(SVG, "line"));
      line.setAttribute("class", "cursor");
      line.setAttribute("y2", "100%");
    }
    box.setAttribute("aria-live", document.activeElement === plot ? "polite" : "off");
    const second = span - at;
    for (const end of ["x1", "x2"]) line.setAttribute(end, (100 * second) / span + "%");
    box.classList.toggle("left", second > span / 2);
    const time = new Date(Number(to) - at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
    const lines = [...plot.querySelectorAll("path")].reverse();
    box.replaceChildren(time, ...lines.map((path) => {
      const row = document.createElement("span");
      row.textContent = path.dataset.name + ": " + written(valueAt(path.dataset.v, second), unit);
      return row;
    }));
  }

  const plots = () => document.querySelectorAll(".plot");

  function prepare() {
    for (const plot of plots()) {
      plot.tabIndex = 0;
      plot.setAttribute("role", "group");
      plot.setAttribute("aria-label", "Chart; arrow keys read its values");
      show(plot);
    }
  }

  // `at` is counted in seconds before the end, so that it stays where it is while time goes on.
  function move(plot, seconds) {
    const span = (plot.dataset.to - plot.dataset.from) / 1000;
    at = seconds === null ? null : Math.min(span, Math.max(0, seconds));
    plots().forEach(show);
  }

  const charts = document.getElementById("charts");
  charts.addEventListener("pointermove", (event) => {
    const plot = event.target.closest?.(".plot");
    if (!plot) { move(charts, null); return; }
    const box = plot.querySelector("svg").getBoundingClientRect();
    const step = plot.dataset.step / 1000;
    const span = (plot.dataset.to - plot.dataset.from) / 1000;
    move(plot, Math.round((span * (box.right - event.clientX)) / box.width / step) * step);
  });
  charts.addEventListener("pointerleave", () => move(charts, null));
  charts.addEventListener("focusout", () => move(charts, null));
  charts.addEventListener("keydown", (event) => {
    const plot = event.target.closest?.(".plot");
    const steps = { ArrowLeft: 1, ArrowRight: -1, PageUp: 15, PageDown: -15 }[event.key];
    if (!plot || (steps === undefined && event.key !== "Escape")) return;
    event.preventDefault();
    move(plot, steps === undefined ? null : (at ?? 0) + (steps * plot.dataset.step) / 1000);
  });

  prepare();
  open();
})();
