// WebSocket to the box: receives views and sends commands. Reconnects until it succeeds;
// a connection without messages counts as lost.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;
// The box sends a view at least every 5 s.
const SILENCE_MS = 12000;
const SESSION_INVALID = 4401;

export function connect({ onView, onAnswer, onState }) {
  let socket = null;
  let wait = FIRST_WAIT_MS;
  let silence = 0;
  let retry = 0;

  function open() {
    clearTimeout(retry);
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    socket = new WebSocket(`${scheme}//${location.host}/api/live`);
    const opened = socket;
    const isCurrent = () => opened === socket;
    restartSilenceTimer();
    opened.addEventListener("message", (event) => isCurrent() && receive(event.data));
    opened.addEventListener("close", (event) => isCurrent() && closed(event.code));
  }

  function receive(data) {
    restartSilenceTimer();
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

  function restartSilenceTimer() {
    clearTimeout(silence);
    silence = setTimeout(() => closed(0), SILENCE_MS);
  }

  function closed(code) {
    clearTimeout(silence);
    const dead = socket;
    socket = null;
    dead?.close();
    onState(false);
    if (code === SESSION_INVALID) location.assign("/pair");
    else checkSession();
  }

  // A refused WebSocket has no status code in a browser; a plain request has one.
  async function checkSession() {
    retry = setTimeout(open, wait);
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    try {
      const answer = await fetch("/api/view", { cache: "no-store" });
      if (answer.status === 401) location.assign("/pair");
    } catch {
      // Not reachable: the timer tries again.
    }
  }

  function reconnectNow() {
    if (socket !== null || document.hidden) return;
    wait = FIRST_WAIT_MS;
    open();
  }

  addEventListener("online", reconnectNow);
  document.addEventListener("visibilitychange", reconnectNow);
  open();

  return function send(command) {
    if (socket?.readyState !== WebSocket.OPEN) return false;
    socket.send(JSON.stringify(command));
    return true;
  };
}
