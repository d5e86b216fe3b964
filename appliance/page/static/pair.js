// The QR code's URL has the PIN after `#`, which browsers do not send to a server.

const form = document.getElementById("pair");

async function start() {
  const pin = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  // A link from another site is opened without the cookie, even on a paired phone.
  const answer = await fetch("api/view", { cache: "no-store" });
  if (answer.ok) {
    location.replace("./");
    return;
  }
  if (!/^[0-9]{6}$/.test(pin)) return;
  form.elements.pin.value = pin;
  // Not submitted automatically: any site can link here, and a wrong PIN is counted.
  form.querySelector("button").focus();
}

// The form may already be open when the code is scanned.
addEventListener("hashchange", () => location.hash && start());
start();
