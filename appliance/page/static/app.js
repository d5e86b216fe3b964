// Entry point: receives views and passes each to the modules that render its parts.

import * as agent from "./agent.js";
import * as box from "./box.js";
import * as chat from "./chat.js";
import * as debug from "./debug.js";
import { NOT_CONNECTED, connect } from "./live.js";
import * as people from "./people.js";
import * as sound from "./sound.js";
import * as status from "./status.js";
import * as talk from "./talk.js";
import { toast } from "./toast.js";

const parts = [status, talk, agent, sound, people, box, chat, debug];
let isLive = null;
let build = null;
let isReloading = false;

// A scanned code leads a paired phone here; the redirect keeps the PIN in the address.
if (/^#[0-9]{6}$/.test(location.hash)) history.replaceState(null, "", location.pathname);

const send = connect({
  onView: (view) => {
    if (isReloading) return;
    isReloading = isOutdated(view);
    if (isReloading) location.reload();
    else parts.forEach((part) => part.show(view));
  },
  onAnswer: (answer) => {
    if (!("error" in answer)) return;
    debug.note(answer.error);
    toast(answer.error, "bad");
  },
  onUnsent: (command) => {
    // The talk button has its own words for a press, and needs none for a release.
    if (command.do !== "talk") toast(NOT_CONNECTED, "bad");
  },
  onState: (state, reason) => {
    status.showLink(state, reason);
    if (state === isLive) return;
    isLive = state;
    if (state) return;
    debug.note("This page has lost its connection to the box.");
    talk.disconnected();
    chat.disconnected();
  },
});

status.start(send);
talk.start(send);
sound.start(send);
chat.start();
debug.start();

// True after an upgrade of the box while this page was open. After the reload the new
// build is the first one seen, so the page does not reload again.
function isOutdated(view) {
  build ??= view.build;
  return view.build !== build;
}
