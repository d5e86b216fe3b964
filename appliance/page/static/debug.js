// Debug section: recent errors and the newest view, for remote support.

import { byId, make, setHidden, setText } from "./dom.js";

const KEPT = 50;
const raw = byId("raw");
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

let newest = null;

export function start() {
  byId("debug").addEventListener("toggle", render);
}

export function note(sentence) {
  const list = byId("errors");
  const node = make("li");
  node.append(make("time", "", clock.format(new Date())), make("span", "", sentence));
  list.prepend(node);
  while (list.children.length > KEPT) list.lastElementChild.remove();
  setHidden(byId("errors-empty"), true);
}

export function show(view) {
  newest = view;
  // Text that is selected, or in which a pointer is selecting, is about to be copied.
  const { anchorNode, isCollapsed } = getSelection();
  const isSelected = !isCollapsed && raw.contains(anchorNode);
  if (!isSelected && !raw.matches(":active")) render();
}

function render() {
  if (newest === null || !byId("debug").open) return;
  const { picture, ...rest } = newest;
  setText(raw, JSON.stringify(rest, null, 2));
}
