// Talk button: hold to talk, by pointer, space bar or Enter. Losing the pointer, the focus
// or the page counts as a release. A click without pointer and key, which assistive
// technology sends, starts the talk, and the next click or press ends it. While the box is
// muted on the page, and always in `open` mode, the button is a mute switch: one tap mutes
// or unmutes.

import { byId, setAttribute, setHidden, setText } from "./dom.js";
import { NOT_CONNECTED } from "./live.js";
import { toast } from "./notices.js";

const LABELS = {
  muted: "Hold to talk",
  talking: "Talking",
  warning: "Talking",
  interrupted: "Reconnecting",
  locked: "Release",
  unavailable: "Cannot talk",
};

const WORDS = {
  muted: "Nobody hears you.",
  talking: "Everybody in the room hears you.",
  warning: "Talk limit is near",
  interrupted: "Reconnecting. Perhaps nobody hears you.",
  locked: "That talk has ended. Release the button, then press it again.",
};

const button = byId("talk");
let send = () => false;
const CLICK = "click";
// What holds the button: the id of a pointer, the code of a key, or CLICK; null: nothing.
let holder = null;
// Effect of a press: null: talks; true: mutes the box; false: unmutes it.
let mutes = null;
let refusal = "";

export function start(sender) {
  send = sender;
  button.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    button.setPointerCapture(event.pointerId);
    press(event.pointerId);
  });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
    button.addEventListener(name, (event) => event.pointerId === holder && release());
  }
  button.addEventListener("blur", release);
  button.addEventListener("click", (event) => event.detail === 0 && press(CLICK));
  // A long press on a phone would open the context menu.
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  addEventListener("keydown", onKeyDown);
  addEventListener("keyup", onKeyUp);
  addEventListener("blur", release);
  addEventListener("pagehide", release);
  document.addEventListener("visibilitychange", () => document.hidden && release());
}

export function show(view) {
  // Nothing is lifted at the end of a talk that a click started.
  if (view.is_page_spent && holder === CLICK) release();
  refusal = refusalOf(view);
  mutes = switchOf(view);
  const state = stateOf(view);
  render(state, words(view, state));
  // Not read out by screen readers: it changes every second, and they would be heard.
  setText(byId("talk-left"), state === "warning" ? `: ${view.talk_left_s} s left` : "");
}

export function disconnected() {
  release();
  refusal = NOT_CONNECTED;
  mutes = null;
  render("unavailable", refusal);
  setText(byId("talk-left"), "");
}

function render(state, text) {
  document.body.dataset.talk = state;
  document.body.dataset.muted = mutes === false;
  setAttribute(button, "aria-disabled", refusal !== "");
  setText(byId("talk-label"), label(state));
  setText(byId("talk-words"), text);
  setHidden(byId("talk-hint"), mutes !== null || state === "unavailable");
}

function stateOf(view) {
  if (holder !== null && view.is_page_spent) return "locked";
  if (refusal) return "unavailable";
  // A talk goes on while the box reconnects, because the room may still hear some of it.
  const isOpen = view.talk === "talking" || view.talk === "warning";
  return isOpen && view.connection !== "connected" ? "interrupted" : view.talk;
}

function refusalOf(view) {
  if (view.is_muted_at_box) return "muted by the button on the box";
  if (view.is_listener) return view.talk_text;
  if (!view.has_microphone) return "no microphone";
  // Unmuting is possible in every state of the connection.
  if (view.is_muted_on_page) return "";
  if (view.talk === "locked") return `${view.talk_text} on the box`;
  return view.talk === "unavailable" ? view.talk_text : "";
}

function switchOf(view) {
  if (view.is_muted_on_page) return false;
  return view.mode === "open" ? true : null;
}

function label(state) {
  if (mutes === null || state === "locked" || state === "unavailable") return LABELS[state];
  return mutes ? "Tap to mute" : "Muted. Tap to unmute";
}

function words(view, state) {
  if (state === "locked") return WORDS.locked;
  if (refusal) return refusal;
  if (mutes === false) {
    return `Muted ${view.is_muted_by_room ? "by a moderator" : "on the page"}. ${WORDS.muted}`;
  }
  if (view.is_muted_by_room) return "Muted by a moderator. Hold to talk again.";
  if (view.is_silent && state === "talking") return "The microphone delivers only silence.";
  return WORDS[state];
}

function onKeyDown(event) {
  // While Command is pressed, macOS does not report that another key is lifted.
  if (event.metaKey) release();
  if (!isTalkKey(event)) return;
  event.preventDefault();
  if (!event.repeat && !isShortcut(event)) press(event.code);
}

function onKeyUp(event) {
  if (!isTalkKey(event)) return;
  // Firefox would click the button.
  event.preventDefault();
  if (event.code === holder) release();
}

// The space bar talks wherever it has no other function.
function isTalkKey(event) {
  if (event.target === button) return event.code === "Space" || event.code === "Enter";
  const isFree = event.target === document.body || event.target === null;
  const isEnd = holder !== null && event.type === "keyup";
  return event.code === "Space" && ((isFree && !isShortcut(event)) || isEnd);
}

function isShortcut(event) {
  return event.ctrlKey || event.altKey || event.metaKey;
}

function press(by) {
  if (holder === CLICK) release();
  else if (holder === null) begin(by);
}

function begin(by) {
  if (refusal) toast(`Cannot talk: ${refusal.replace(/^cannot talk: /, "")}`);
  else if (mutes !== null) send({ do: "mute", on: mutes });
  else if (send({ do: "talk", on: true })) holder = by;
  mark();
}

function release() {
  if (holder === null) return;
  holder = null;
  send({ do: "talk", on: false });
  mark();
}

function mark() {
  setAttribute(button, "aria-pressed", holder !== null);
}
