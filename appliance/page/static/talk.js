// Talk button: hold to talk, by pointer, space bar or Enter. Losing the pointer, the focus
// or the page counts as a release. A click without pointer and key, which assistive
// technology sends, starts the talk, and the next click or press ends it. While the box is
// muted on the page, and always in `open` mode, the button is a mute switch: one tap mutes
// or unmutes.

import { byId, setAttribute, setText } from "./dom.js";
import { toast } from "./toast.js";

const LABELS = {
  muted: "Hold to talk",
  talking: "Talking",
  warning: "Talking",
  interrupted: "Reconnecting",
  locked: "Release",
  unavailable: "Cannot talk",
};

const WORDS = { muted: "Nobody hears you.", talking: "Everybody in the room hears you." };
const HINTS = {
  hold: "Hold the button or the space bar.",
  held: "Release to end the talk.",
  switch: "Tap the button or press the space bar.",
};

const NOT_CONNECTED = "this page is not connected to the box";

const button = byId("talk");
let send = () => false;
const CLICK = "click";
// Time after the end of a click's talk in which a click counts as meant to end it.
const ENDING_MS = 2000;
// What holds the button: the id of a pointer, the code of a key, or CLICK; null: nothing.
let holder = null;
// A talk of some page or script has ended, and its button is still held.
let isSpent = false;
// Time at which something else ended the talk of a click.
let endedAt = -Infinity;
// False: the present press was refused because another page or script holds the button.
let isAccepted = false;
let hasEnded = false;
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
  isSpent = view.is_page_spent;
  if (isSpent) endClick();
  hasEnded = holder !== null && isAccepted && isSpent;
  refusal = refusalOf(view);
  mutes = switchOf(view);
  const state = stateOf(view);
  document.body.dataset.talk = state;
  setAttribute(button, "aria-disabled", refusal !== "");
  setText(byId("talk-label"), label(state));
  setText(byId("talk-words"), words(view));
  // Not read out by screen readers: it changes every second, and they would be heard.
  setText(byId("talk-left"), isLimitNear(view) ? `: ${view.talk_left_s} s left` : "");
  setText(byId("talk-hint"), hint());
  document.body.dataset.muted = mutes === false;
}

function stateOf(view) {
  if (hasEnded) return "locked";
  if (refusal) return "unavailable";
  return isInterrupted(view) ? "interrupted" : view.talk;
}

// A talk goes on while the box reconnects, because the room may still hear some of it.
function isInterrupted(view) {
  const isOpen = view.talk === "talking" || view.talk === "warning";
  return isOpen && view.connection !== "connected";
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
  if (hasEnded || state === "unavailable") return LABELS[state];
  if (mutes === null) return LABELS[state];
  return mutes ? "Tap to mute" : "Muted. Tap to unmute";
}

export function disconnected() {
  endClick();
  release();
  refusal = NOT_CONNECTED;
  document.body.dataset.talk = "unavailable";
  setAttribute(button, "aria-disabled", true);
  setText(byId("talk-label"), LABELS.unavailable);
  setText(byId("talk-words"), refusal);
  setText(byId("talk-left"), "");
}

function hint() {
  if (mutes !== null) return HINTS.switch;
  return holder !== null && isAccepted && !hasEnded ? HINTS.held : HINTS.hold;
}

function isLimitNear(view) {
  const isHidden = hasEnded || refusal !== "" || mutes === false || isInterrupted(view);
  return view.talk_left_s !== null && !isHidden;
}

function words(view) {
  if (hasEnded) return "That talk has ended. Release the button, then press it again.";
  if (refusal) return refusal;
  if (view.is_muted_by_room && mutes === false) return "Muted by a moderator. Nobody hears you.";
  if (view.is_muted_on_page) return "Muted on the page. Nobody hears you.";
  if (isInterrupted(view)) return "Reconnecting. Perhaps nobody hears you.";
  if (isLimitNear(view)) return "Talk limit is near";
  if (view.is_silent && view.talk === "talking") return "The microphone delivers only silence.";
  if (view.is_muted_by_room) return "Muted by a moderator. Hold to talk again.";
  return WORDS[view.talk] ?? view.talk_text;
}

function onKeyDown(event) {
  // The release of the key may not be reported, see `isShortcut`.
  if (event.metaKey && isKey(holder)) release();
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
  if (event.target === button) return isKey(event.code);
  const isFree = event.target === document.body || event.target === null;
  const isEnd = holder !== null && event.type === "keyup";
  return event.code === "Space" && ((isFree && !isShortcut(event)) || isEnd);
}

function isKey(code) {
  return code === "Space" || code === "Enter";
}

// Of a key that is lifted while Command is pressed, macOS does not report the release.
function isShortcut(event) {
  return event.ctrlKey || event.altKey || event.metaKey;
}

function press(by) {
  if (by === CLICK && refusal === "" && performance.now() - endedAt < ENDING_MS) return;
  // Nothing is lifted at the end of a talk that a click started. A press that ends it may
  // be followed by its own click.
  if (holder === CLICK) by === CLICK ? release() : endClick();
  else if (holder === null) begin(by);
}

function begin(by) {
  if (refusal) {
    toast(`Cannot talk: ${refusal.replace(/^cannot talk: /, "")}.`);
    return;
  }
  if (mutes !== null) {
    send({ do: "mute", on: mutes });
    return;
  }
  isAccepted = !isSpent;
  if (send({ do: "talk", on: true })) holder = by;
  else toast(`Cannot talk: ${NOT_CONNECTED}.`);
  mark();
}

function release() {
  if (holder === null) return;
  holder = null;
  hasEnded = false;
  send({ do: "talk", on: false });
  mark();
}

function endClick() {
  if (holder !== CLICK) return;
  release();
  if (isAccepted) endedAt = performance.now();
}

function mark() {
  setAttribute(button, "aria-pressed", holder !== null);
}
