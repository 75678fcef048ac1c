// Keeps an open page up to date, copies keys, and uses a login link. The page does all it does without this, too.
"use strict";

(() => {
  const REFRESH = 1000; // the least time from one look to the next, in milliseconds
  const TIMES = 30000; // how often to look for the sake of the times that are shown
  const RETRY = 5000; // how long to wait for a daemon that is gone

  // The server escapes whatever is not ours; this is the only place where its HTML is taken up.
  const policy = window.trustedTypes
    ? trustedTypes.createPolicy("wopr", { createHTML: (html) => html })
    : { createHTML: (html) => html };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Copy it by hand";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });

  // One press is one action: the next page comes with what became of it.
  document.addEventListener("submit", (event) => {
    if (event.target.method !== "post") return;
    for (const button of event.target.querySelectorAll("button")) button.setAttribute("aria-busy", "true");
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "yes";
  });

  // A page that comes back from the browser's memory may be used again.
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) {
      delete form.dataset.sent;
      for (const button of form.querySelectorAll("button")) button.removeAttribute("aria-busy");
    }
  });

  const enter = document.querySelector("form[data-enter]");
  if (enter) enter.requestSubmit();

  const live = document.body.dataset.live;
  if (!live) return;

  const link = document.getElementById("link");
  const tell = (text, on) => {
    if (link.textContent !== text) link.textContent = text;
    link.classList.toggle("on", on);
  };

  // Nothing that was shown stays readable when the session is over.
  const ended = () => {
    source.close();
    clearInterval(times);
    const note = document.createElement("main");
    note.className = "alone";
    note.setAttribute("role", "alert");
    const title = document.createElement("h1");
    title.textContent = "This page is locked";
    const next = document.createElement("p");
    next.textContent = "Have a new link made in a terminal on this machine: wopr p2p ui";
    note.append(title, next);
    document.body.replaceChildren(note);
    document.title = "wopr – locked";
  };

  // Buttons must not move under a pointer that is about to press, nor fields lose what is being typed.
  // And what is being marked, to be copied, stays.
  const inUse = (part) => {
    const marked = getSelection();
    return part.querySelector("form:hover, form:focus-within, form[data-sent]") !== null ||
      (!marked.isCollapsed && part.contains(marked.anchorNode));
  };

  // What an element that can have the focus outside of forms is, whatever its text is now.
  const which = (element) => element.dataset.copy ?? element.getAttribute("href") ?? element.parentElement.id;

  const replace = (part, next) => {
    for (const open of part.querySelectorAll("details[open][id]")) {
      const same = next.querySelector(`#${CSS.escape(open.id)}`);
      if (same) same.open = true;
    }
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    part.replaceWith(document.adoptNode(next));
    // Whoever goes by the keyboard stays where they are.
    if (!focused) return;
    const same = [...next.querySelectorAll(focused.tagName)].find((it) => which(it) === which(focused));
    if (same) same.focus({ preventScroll: true });
  };

  let looking = false;
  let again = false;
  let last = 0;
  const look = async () => {
    if (looking) {
      again = true;
      return;
    }
    looking = true;
    await new Promise((done) => setTimeout(done, Math.max(0, last + REFRESH - Date.now())));
    last = Date.now();
    again = false;
    try {
      const answer = await fetch(location.href, { headers: { "X-Live": "1" }, cache: "no-store" });
      if (answer.status === 401) {
        ended();
        return;
      }
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const page = new DOMParser().parseFromString(policy.createHTML(await answer.text()), "text/html");
      for (const part of document.querySelectorAll("[data-part]")) {
        const next = page.getElementById(part.id);
        if (!next || next.isEqualNode(part)) continue;
        if (inUse(part)) again = true;
        else replace(part, next);
      }
      document.title = page.title;
      tell("live", true);
    } catch {
      tell("not live: is the daemon running?", false);
      setTimeout(look, RETRY);
    } finally {
      looking = false;
    }
    if (again) setTimeout(look, REFRESH);
  };

  const source = new EventSource(live);
  source.addEventListener("open", () => tell("live", true));
  source.addEventListener("changed", look);
  source.addEventListener("error", look);
  const times = setInterval(look, TIMES);
})();
