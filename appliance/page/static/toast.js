// Toasts: notices that disappear after a few seconds.

import { byId, make } from "./dom.js";

const SHOWN_MS = 6000;
const KEPT = 3;

export function toast(sentence, kind = "info") {
  const list = byId("toasts");
  const last = list.lastElementChild;
  if (last?.textContent === sentence) last.remove();
  const node = make("div", "toast", sentence);
  node.dataset.kind = kind;
  list.append(node);
  while (list.children.length > KEPT) list.firstElementChild.remove();
  setTimeout(() => node.remove(), SHOWN_MS);
}
