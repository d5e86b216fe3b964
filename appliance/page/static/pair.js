// The QR code's URL has the PIN after `#`, which browsers do not send to a server.

const ANSWER_MS = 3000;

const form = document.getElementById("pair");

async function start() {
  const pin = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  if (await isPaired()) {
    location.replace("./");
    return;
  }
  if (!/^[0-9]{6}$/.test(pin)) return;
  form.elements.pin.value = pin;
  // Not submitted automatically: any site can link here, and a wrong PIN is counted.
  form.querySelector("button").focus();
}

// A link from another site is opened without the cookie, even on a paired phone.
async function isPaired() {
  try {
    const signal = AbortSignal.timeout(ANSWER_MS);
    return (await fetch("api/view", { cache: "no-store", signal })).ok;
  } catch {
    return false;
  }
}

// The form may already be open when the code is scanned.
addEventListener("hashchange", () => location.hash && start());
start();
