// List of the other participants.

import { byId, fill, make, setAttribute, setHidden, setText } from "./dom.js";

export function show(view) {
  // While the box reconnects, nobody is heard, and what was known last may be over.
  const isHeard = view.connection === "connected";
  const people = view.people.map((person) => ({
    ...person,
    is_speaking: person.is_speaking && isHeard,
  }));
  fill(byId("people"), people, { key: (person) => person.id, create, update });
  setHidden(byId("people-empty"), people.length > 0);
  setText(byId("people-empty"), emptyWords(view));
  setText(byId("people-count"), people.length > 0 ? String(people.length) : "");
}

function emptyWords(view) {
  return view.connection === "connected"
    ? "Nobody else is here yet."
    : "People appear here once the box is in the room.";
}

function create() {
  const node = make("li", "person");
  const avatar = make("span", "avatar");
  avatar.setAttribute("aria-hidden", "true");
  node.append(avatar, make("span", "person-name"), make("span", "person-state"));
  return node;
}

function update(node, person) {
  const [avatar, name, state] = node.children;
  setText(avatar, initial(person.name));
  setText(name, person.name);
  setText(state, person.is_muted ? "muted" : person.is_speaking ? "speaking" : "");
  setAttribute(node, "title", person.sound_fault);
  setAttribute(node, "data-speaking", person.is_speaking && !person.is_muted);
  setAttribute(node, "data-muted", person.is_muted);
}

// The first code point, not half of a surrogate pair.
function initial(name) {
  return ([...name.trim()][0] ?? "?").toUpperCase();
}
