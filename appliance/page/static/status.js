// Header, banner, faults and footer, and toasts for faults and changes of connection.

import { byId, fill, make, setAttribute, setHidden, setText } from "./dom.js";
import { note, toast } from "./notices.js";

const OUT = new Set(["left", "refused", "disconnected"]);
// The box names its own button, of which a person with a phone may not be near.
const LEFT = "left. Join brings the box back";
const AWAY = byId("away").textContent;

let previous = null;

export function start(send) {
  byId("leave").addEventListener("click", () => send({ do: "leave" }));
  byId("join").addEventListener("click", () => send({ do: "join" }));
  byId("presets").addEventListener("click", ({ target }) => {
    if (target.matches("button")) send({ do: "join", preset: target.value || null });
  });
}

export function show(view) {
  header(view);
  setHidden(byId("banner"), view.connection === "connected");
  setText(byId("banner-text"), sentence(cause(view)));
  setText(byId("banner-retry"), banner(view).slice(cause(view).length));
  byId("banner").dataset.state = view.connection;
  faults(new Set(view.faults));
  setText(byId("rtt"), view.rtt_ms === null ? "–" : `${view.rtt_ms} ms`);
  setText(byId("address"), view.page_url.replace(/^https?:\/\//, ""));
  changes(view);
  previous = view;
}

export function showLink(isLive, reason) {
  document.body.dataset.page = isLive ? "live" : "away";
  setHidden(byId("away"), isLive);
  setText(byId("away"), reason || AWAY);
  setText(byId("link-text"), isLive ? "live" : "not connected to the box");
}

function header(view) {
  setText(byId("name"), view.name || "Push to talk");
  setText(byId("room"), view.room);
  setText(byId("connection"), view.connection);
  byId("pill").dataset.state = view.connection;
  actions(view);
  presets(view);
  const title = [view.name, view.room].filter(Boolean).join(" · ");
  if (document.title !== title) document.title = title || "Push to talk";
}

// With a hidden button the focus of the keyboard would go to the page, whose space bar talks.
// On the other button, a key that is pressed twice or held would undo what it has done.
function actions({ connection }) {
  const focused = document.querySelector(".actions :focus-visible");
  setHidden(byId("leave"), connection === "left" || connection === "refused");
  setHidden(byId("join"), !OUT.has(connection));
  if (focused?.hidden) byId("pill").focus();
}

function presets({ presets: names, preset }) {
  setHidden(byId("presets"), names.length === 0);
  fill(byId("presets"), ["", ...names], {
    key: (name) => name,
    create: (name) => {
      const node = make("button", "plain", name || "first room");
      node.value = name;
      return node;
    },
    update: (node, name) => setAttribute(node, "aria-pressed", name === (preset ?? "")),
  });
}

function faults(sentences) {
  setHidden(byId("faults"), sentences.size === 0);
  fill(byId("faults"), [...sentences], {
    key: (text) => text,
    create: (text) => make("li", "", sentence(text)),
    update: () => {},
  });
}

function changes(view) {
  const before = previous;
  const known = before?.faults ?? [];
  // During an outage each attempt may word the reason in another way.
  const isSame = view.connection !== "connected" && view.faults.length <= known.length;
  for (const fault of view.faults) {
    if (known.includes(fault)) continue;
    note(fault);
    if (before !== null && !isSame) toast(sentence(fault), "bad");
  }
  if (before === null || before.connection === view.connection) return;
  if (view.connection === "connected") toast(`In the room ${view.room}`.trim(), "good");
  else if (before.connection === "connected") {
    const isOnPurpose = view.connection === "left" || view.banner.startsWith("leaving");
    if (!isOnPurpose) note(banner(view));
    toast(sentence(cause(view)), isOnPurpose ? "info" : "bad");
  }
}

// The banner without the countdown, which screen readers would read out every second.
function cause(view) {
  return banner(view).split(/, (?:retry|asks again) in /, 1)[0];
}

function banner(view) {
  return view.banner.replace(/^left, [^(]*\b/, LEFT);
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
