// Replace the regions that the sidecar sends, and keep everything else: focus, scroll position, selection.
// No clock runs here: every number is of the instant that the page names, so a page without updates shows no progress.
"use strict";

(() => {
  const main = document.getElementById("main");
  const link = document.getElementById("link");
  const SILENT_MS = 5000; // the sidecar sends once a second
  let source = null;
  let silence = 0;

  const say = (kind, words) => {
    if (link.textContent === words) return;
    link.className = `link ${kind}`;
    link.textContent = words;
  };

  const copyAttributes = (from, to) => {
    for (const { name } of [...to.attributes]) if (!from.hasAttribute(name)) to.removeAttribute(name);
    for (const { name, value } of from.attributes) if (to.getAttribute(name) !== value) to.setAttribute(name, value);
  };

  // Make `to` like `from`. Elements with an id keep their identity when they change places.
  const morph = (from, to) => {
    if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) {
      to.replaceWith(document.importNode(from, true));
      return;
    }
    if (from.nodeType !== Node.ELEMENT_NODE) {
      if (to.data !== from.data) to.data = from.data;
      return;
    }
    if (to.isEqualNode(from)) return;
    const typing = to === document.activeElement && to.nodeName === "INPUT";
    if (!typing) copyAttributes(from, to);
    const known = new Map();
    for (const child of to.children) if (child.id) known.set(child.id, child);
    let next = to.firstChild;
    for (const wanted of from.childNodes) {
      let had = wanted.id ? known.get(wanted.id) : next;
      if (had && !wanted.id && (had.id || had.nodeName !== wanted.nodeName)) had = null;
      if (!had) {
        to.insertBefore(document.importNode(wanted, true), next);
        continue;
      }
      if (had === next) next = next.nextSibling;
      else to.insertBefore(had, next);
      morph(wanted, had);
    }
    while (next) {
      const gone = next;
      next = next.nextSibling;
      gone.remove();
    }
  };

  const swap = (event) => {
    const focused = document.activeElement;
    for (const [id, html] of Object.entries(JSON.parse(event.data))) {
      const fresh = new DOMParser().parseFromString(html, "text/html").getElementById(id);
      const old = document.getElementById(id);
      if (fresh && old) morph(fresh, old);
    }
    if (focused && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
    const state = document.getElementById("state");
    if (state && document.title !== state.dataset.title) document.title = state.dataset.title;
    say("live", "live");
  };

  const lose = () => say("lost", "no answer from the sidecar; what you see is old");

  // Each event restarts the timer, because a frozen sidecar, or a network that is cut, causes no error event.
  const hear = () => {
    clearTimeout(silence);
    silence = setTimeout(() => {
      lose();
      listen();
    }, SILENT_MS);
  };

  const leave = () => {
    clearTimeout(silence);
    if (source) source.close();
    source = null;
  };

  const listen = () => {
    leave();
    hear();
    source = new EventSource(main.dataset.events);
    source.addEventListener("regions", (event) => {
      hear();
      swap(event);
    });
    source.addEventListener("stale", () => {
      hear();
      say("lost", "the sidecar cannot make the page; what you see is old");
    });
    source.addEventListener("error", lose);
  };

  // A hidden page needs no updates.
  document.addEventListener("visibilitychange", () => (document.hidden ? leave() : listen()));
  window.addEventListener("pagehide", leave);
  window.addEventListener("pageshow", (event) => event.persisted && listen());
  if (!document.hidden) listen();
})();
