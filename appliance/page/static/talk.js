// The talk button: hold to talk, by pointer, space bar or Enter. Whatever takes the
// finger or the page away counts as letting go.

import { byId, setAttribute, setText } from "./dom.js";
import { toast } from "./toast.js";

const LABELS = {
  muted: "Hold to talk",
  talking: "Talking",
  warning: "Talking",
  locked: "Let go",
  unavailable: "Cannot talk",
};

const WORDS = { muted: "Nobody hears you.", talking: "Everybody in the room hears you." };

const button = byId("talk");
let send = () => false;
let isDown = false;
let refusal = "";

export function start(sender) {
  send = sender;
  button.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    button.setPointerCapture(event.pointerId);
    press();
  });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) {
    button.addEventListener(name, release);
  }
  // A long press on a phone would open a menu instead.
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  addEventListener("keydown", onKeyDown);
  addEventListener("keyup", (event) => isTalkKey(event) && release());
  addEventListener("blur", release);
  addEventListener("pagehide", release);
  document.addEventListener("visibilitychange", () => document.hidden && release());
}

export function show(view) {
  const isAtBox = view.is_muted_at_box;
  const isGone = !view.has_microphone;
  const isGrey = isAtBox || isGone || view.talk === "unavailable";
  refusal = "";
  if (isAtBox) refusal = "muted by the button on the box";
  else if (isGone) refusal = "no microphone";
  else if (isGrey) refusal = view.talk_text;
  document.body.dataset.talk = isGrey ? "unavailable" : view.talk;
  setAttribute(button, "aria-disabled", isGrey);
  setText(byId("talk-label"), isGrey ? LABELS.unavailable : LABELS[view.talk]);
  setText(byId("talk-text"), words(view));
}

export function away() {
  release();
  refusal = "this page is not connected to the box";
  setAttribute(button, "aria-disabled", true);
}

function words(view) {
  if (refusal) return refusal;
  if (view.talk_left_s !== null) return `Time is nearly up: ${view.talk_left_s} s left`;
  return WORDS[view.talk] ?? view.talk_text;
}

function onKeyDown(event) {
  if (!isTalkKey(event)) return;
  event.preventDefault();
  if (!event.repeat) press();
}

// The space bar talks wherever it has no other work.
function isTalkKey(event) {
  if (event.target === button) return event.code === "Space" || event.code === "Enter";
  const isFree = event.target === document.body || event.target === null;
  return event.code === "Space" && (isFree || (isDown && event.type === "keyup"));
}

function press() {
  if (isDown) return;
  if (refusal) {
    toast(`Cannot talk: ${refusal.replace(/^cannot talk: /, "")}.`);
    return;
  }
  isDown = send({ do: "talk", on: true });
  mark();
}

function release() {
  if (!isDown) return;
  isDown = false;
  send({ do: "talk", on: false });
  mark();
}

function mark() {
  setAttribute(button, "aria-pressed", isDown);
}
