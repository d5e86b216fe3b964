// Chat: lines with time and delivery state, and the input field. The style sheet keeps the
// newest line in sight.

import { byId, fill, make, setHidden, setText } from "./dom.js";
import { NOT_CONNECTED } from "./live.js";
import { complain } from "./notices.js";

// Of own lines; those of others have no delivery state to show.
const STATES = { queued: "◷ waiting to be sent", sent: "✓ sent", failed: "! failed" };
const ANSWER_MS = 10000;

const field = byId("text");
const TIME = { hour: "2-digit", minute: "2-digit" };
const clock = new Intl.DateTimeFormat(undefined, TIME);
const calendar = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", ...TIME });

let refusal = "The box is starting.";
let isSending = false;
// The line that the box does not have yet, as far as this page knows. It keeps its id when
// it is sent again, so that a line of which only the answer was lost is shown once.
let unsent = null;

export function start() {
  byId("form").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
    // The button is disabled now. Without the focus a phone closes its keyboard, and the
    // next space would talk.
    field.focus();
  });
  field.addEventListener("input", refresh);
  field.addEventListener("keydown", (event) => {
    // During composition (Chinese, Japanese) Enter only completes a word. Safari ends the
    // composition before this event, and then only the key code 229 tells.
    if (event.key !== "Enter" || event.shiftKey) return;
    if (event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    submit();
  });
}

export function show(view) {
  fill(byId("lines"), view.chat, { key: keyOf, create, update });
  setHidden(byId("chat-empty"), view.chat.length > 0);
  refusal = view.chat_refusal;
  if (view.chat.some((line) => line.senderId === "" && line.id === unsent?.id)) taken(unsent);
  refresh();
}

export function disconnected() {
  refusal = NOT_CONNECTED;
  refresh();
}

async function submit() {
  const text = field.value.trim();
  if (!text || refusal || isSending) return;
  if (unsent?.text !== text) unsent = { id: newId(), text };
  const line = unsent;
  isSending = true;
  refresh();
  try {
    // Not by the WebSocket: a POST has one answer, and a time limit, for each line.
    const answer = await fetch("api/chat", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(line),
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    if (answer.ok) taken(line);
    else complain((await answer.json()).error);
  } catch {
    // The line may be in a view although its answer was lost.
    if (unsent === line) complain("The message did not reach the box. Send it again.");
  }
  isSending = false;
  refresh();
}

// `crypto.randomUUID` is missing on pages that are served by plain HTTP.
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// The box has the line. What was typed meanwhile stays in the field.
function taken(line) {
  if (unsent === line) unsent = null;
  if (field.value.trim() === line.text) field.value = "";
  // The newest line.
  byId("scroll").scrollTop = 0;
}

function refresh() {
  byId("send").disabled = Boolean(refusal) || isSending || !field.value.trim();
  setText(byId("chat-note"), refusal);
}

const keyOf = (line) => `${line.senderId}\n${line.id}`;

function create(line) {
  const node = make("li", line.senderId === "" ? "line own" : "line");
  const head = make("p", "head");
  head.append(make("span", "sender"), make("time"));
  node.append(head, make("p", "words"), make("p", "delivery"));
  node.querySelector(".words").dir = "auto";
  return node;
}

function update(node, line) {
  const time = node.querySelector("time");
  const when = new Date(line.ts);
  if (!Number.isNaN(when.getTime())) {
    time.dateTime = when.toISOString();
    const isToday = when.toDateString() === new Date().toDateString();
    setText(time, (isToday ? clock : calendar).format(when));
  }
  const isOwn = line.senderId === "";
  setText(node.querySelector(".sender"), isOwn ? "This box" : (line.senderName ?? line.senderId));
  setText(node.querySelector(".words"), line.text);
  node.dataset.state = line.state;
  const reason = line.reason ? `: ${line.reason}` : "";
  setText(node.querySelector(".delivery"), isOwn ? `${STATES[line.state]}${reason}` : "");
}
