// Recent errors in the Debug section, for remote support.

import { byId, make, setHidden } from "./dom.js";

const KEPT = 50;
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

export function note(sentence) {
  const list = byId("errors");
  const node = make("li");
  node.append(make("time", "", clock.format(new Date())), make("span", "", sentence));
  list.prepend(node);
  while (list.children.length > KEPT) list.lastElementChild.remove();
  setHidden(byId("errors-empty"), true);
}
