// A scanned QR code carries the PIN behind `#`, which no server and no log ever sees.

const form = document.getElementById("pair");

async function start() {
  const pin = location.hash.slice(1);
  history.replaceState(null, "", "/pair");
  // A link from another site comes without our cookie although we are paired.
  const answer = await fetch("/api/view", { cache: "no-store" });
  if (answer.ok) {
    location.replace("/");
    return;
  }
  if (!/^[0-9]{6}$/.test(pin)) return;
  form.elements.pin.value = pin;
  // Not sent by itself: any site may link here, and a wrong PIN costs a try.
  form.querySelector("button").focus();
}

// The form may be open already when the code is scanned.
addEventListener("hashchange", () => location.hash && start());
start();
