// Voice agent: its state, and captions that grow while they are spoken. A finished caption
// becomes a line of the chat, which is read out there; so the region here is busy as long
// as its text may change, and screen readers do not read out every word.

import { byId, fill, make, setAttribute, setHidden, setText } from "./dom.js";

export function show({ agent, agent_note: note, captions }) {
  const growing = captions.filter((caption) => !caption.final);
  const isEmpty = agent === null && growing.length === 0 && note === "";
  setHidden(byId("agent-card"), isEmpty);
  setText(byId("agent-title"), agent?.name ?? (note === "" ? "Captions" : "Voice agent"));
  setText(byId("agent-state"), agent?.state ?? "");
  setAttribute(byId("agent-card"), "data-state", agent?.state ?? "");
  setText(byId("agent-note"), note);
  setHidden(byId("agent-note"), note === "");
  setAttribute(byId("captions"), "aria-busy", growing.length > 0);
  fill(byId("captions"), growing, { key: keyOf, create, update });
}

const keyOf = (caption) => `${caption.speakerId}\n${caption.segment}`;

function create() {
  const node = make("p", "caption");
  const words = make("span", "words");
  words.dir = "auto";
  node.append(make("span", "sender"), words);
  return node;
}

function update(node, caption) {
  const [sender, words] = node.children;
  setText(sender, `${caption.speaker}:`);
  setText(words, caption.text);
  // The newest words are at the end.
  node.scrollTop = node.scrollHeight;
}
