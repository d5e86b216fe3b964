// Header, banner, faults and footer, and toasts for faults and changes of connection.

import { byId, fill, make, setHidden, setText } from "./dom.js";
import { note } from "./debug.js";
import { toast } from "./toast.js";

const OUT = new Set(["left", "refused", "disconnected"]);

const AWAY = byId("away").textContent;

let previous = null;
// A key has chosen a room that is not joined yet.
let isPending = false;

export function start(send) {
  byId("leave").addEventListener("click", () => send({ do: "leave" }));
  byId("join").addEventListener("click", () => {
    // The last room, even if it is not a preset.
    send({ do: "join", preset: previous?.preset ?? null });
  });
  startPresets(send);
}

// Arrow keys on the closed list choose each room that they pass: the choice of a key is
// joined with Enter, or when the list loses the focus.
function startPresets(send) {
  const list = byId("preset");
  let isByKey = false;
  const join = () => {
    isPending = false;
    const isSent = send({ do: "join", preset: list.value || null });
    if (!isSent && previous !== null) presets(previous);
  };
  list.addEventListener("pointerdown", () => (isByKey = false));
  list.addEventListener("keydown", ({ key }) => {
    isByKey = key !== "Enter";
    if (!isByKey && isPending) join();
  });
  list.addEventListener("change", () => {
    if (isByKey) isPending = list.value !== (previous?.preset ?? "");
    else join();
  });
  list.addEventListener("blur", () => {
    isByKey = false;
    if (isPending) join();
  });
}

export function show(view) {
  header(view);
  const isFine = view.connection === "connected";
  setHidden(byId("banner"), isFine);
  setText(byId("banner-text"), sentence(cause(view)));
  setText(byId("banner-retry"), banner(view).slice(cause(view).length));
  byId("banner").dataset.state = view.connection;
  faults(view.faults);
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
  const [leave, join] = [byId("leave"), byId("join")];
  const focused = document.querySelector(".actions :focus-visible");
  setHidden(leave, OUT.has(connection) && connection !== "disconnected");
  setHidden(join, !OUT.has(connection));
  if (focused?.hidden) byId("pill").focus();
}

function presets({ presets: names, preset }) {
  setHidden(byId("preset-box"), names.length === 0);
  const list = byId("preset");
  fill(list, ["", ...names], {
    key: (name) => name,
    create: () => make("option"),
    update: (node, name) => {
      node.value = name;
      setText(node, name || "first room");
    },
  });
  // Only if it differs: a view must not disturb a list that somebody has just opened.
  if (!isPending && list.value !== (preset ?? "")) list.value = preset ?? "";
}

function faults(sentences) {
  setHidden(byId("faults"), sentences.length === 0);
  fill(byId("faults"), sentences, {
    key: (text) => text,
    create: () => make("li"),
    update: (node, text) => setText(node, sentence(text)),
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

// The box names its own buttons, of which a person with a phone may not be near.
function banner(view) {
  const left = "left. Join brings the box back";
  return view.banner.replace(/^left, [^(]*\b/, left).replace(/ or on a press\b/, "");
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
