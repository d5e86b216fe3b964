// WebSocket to the box: receives views and sends commands. Reconnects until it succeeds;
// a connection without messages counts as lost.

import { toast } from "./notices.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;
// The box sends a view at least every 5 s.
const SILENCE_MS = 12000;
// After waking, the first view has to arrive within this time; it takes 50 ms on a LAN.
const WAKE_MS = 2000;
const LOGIN_INVALID = 4401;
const TOO_MANY_OPEN = 4503;

export const NOT_CONNECTED = "This page is not connected to the box.";

export function connect({ onView, onAnswer, onState }) {
  let socket = null;
  let wait = FIRST_WAIT_MS;
  let silence = 0;
  let retry = 0;

  function open() {
    clearTimeout(retry);
    socket?.close();
    const opened = new WebSocket(socketUrl());
    const isCurrent = () => opened === socket;
    socket = opened;
    restartSilenceTimer(SILENCE_MS);
    opened.addEventListener("message", (event) => isCurrent() && receive(event.data));
    opened.addEventListener("close", (event) => isCurrent() && closed(event));
  }

  function receive(data) {
    restartSilenceTimer(SILENCE_MS);
    wait = FIRST_WAIT_MS;
    const message = JSON.parse(data);
    if ("connection" in message) {
      // In this order: after a view that this page fails to show it must not say "live".
      onView(message);
      onState(true);
    } else {
      onAnswer(message);
    }
  }

  function restartSilenceTimer(longestMs) {
    clearTimeout(silence);
    silence = setTimeout(() => closed({ code: 0 }), longestMs);
  }

  function closed({ code, reason }) {
    clearTimeout(silence);
    socket?.close();
    socket = null;
    onState(false, code === TOO_MANY_OPEN ? reason : "");
    if (code === LOGIN_INVALID) location.assign("pair");
    else checkLogin();
  }

  // A refused WebSocket has no status code in a browser; a plain request has one.
  async function checkLogin() {
    retry = setTimeout(open, wait);
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    try {
      const signal = AbortSignal.timeout(LONGEST_WAIT_MS);
      const answer = await fetch("api/view", { cache: "no-store", signal });
      if (answer.status === 401) location.assign("pair");
    } catch {
      // Not reachable: the timer tries again.
    }
  }

  // While a phone sleeps, its connection may end unnoticed: the socket still counts as open.
  // The last view stays, because the new connection usually is there in a moment.
  function reconnectNow() {
    if (document.hidden) return;
    wait = FIRST_WAIT_MS;
    if (socket?.readyState !== WebSocket.CONNECTING) open();
    restartSilenceTimer(WAKE_MS);
  }

  addEventListener("online", () => {
    // The network was lost, and with it a talk of this page.
    onState(false);
    reconnectNow();
  });
  document.addEventListener("visibilitychange", reconnectNow);
  // A page that is loaded is connecting already; this one comes from the browser's cache.
  addEventListener("pageshow", (event) => event.persisted && reconnectNow());
  open();

  return function send(command) {
    if (socket?.readyState !== WebSocket.OPEN) {
      toast(NOT_CONNECTED, "bad");
      return false;
    }
    socket.send(JSON.stringify(command));
    return true;
  };
}

// Older browsers accept only absolute URLs with the scheme of WebSockets.
function socketUrl() {
  const url = new URL("api/live", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url;
}
