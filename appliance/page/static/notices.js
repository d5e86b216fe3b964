// Toasts, which disappear after a few seconds, and recent errors in the Debug section.

import { byId, make, setHidden } from "./dom.js";

const SHOWN_MS = 6000;
const TOASTS = 3;
const ERRORS = 50;
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

export function toast(sentence, kind = "info") {
  const list = byId("toasts");
  const last = list.lastElementChild;
  if (last?.textContent === sentence) last.remove();
  const node = make("div", "toast", sentence);
  node.dataset.kind = kind;
  list.append(node);
  while (list.children.length > TOASTS) list.firstElementChild.remove();
  setTimeout(() => node.remove(), SHOWN_MS);
}

export function note(sentence) {
  const list = byId("errors");
  const node = make("li");
  node.append(make("time", "", clock.format(new Date())), make("span", "", sentence));
  list.prepend(node);
  while (list.children.length > ERRORS) list.lastElementChild.remove();
  setHidden(byId("errors-empty"), true);
}

export function complain(sentence) {
  note(sentence);
  toast(sentence, "bad");
}
