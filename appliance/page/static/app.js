// Entry point: receives views and passes each to the modules that render its parts.

import * as agent from "./agent.js";
import * as box from "./box.js";
import * as chat from "./chat.js";
import { connect } from "./live.js";
import { complain, note } from "./notices.js";
import * as people from "./people.js";
import * as sound from "./sound.js";
import * as status from "./status.js";
import * as talk from "./talk.js";

const parts = [status, talk, agent, sound, people, box, chat];
let isLive = null;
let build = null;
let isReloading = false;

// A scanned code leads a paired phone here; the redirect keeps the PIN in the address.
if (/^#[0-9]{6}$/.test(location.hash)) history.replaceState(null, "", location.pathname);

const send = connect({ onView, onAnswer, onState });
status.start(send);
talk.start(send);
sound.start(send);
chat.start();

function onView(view) {
  build ??= view.build;
  if (view.build === build) {
    parts.forEach((part) => part.show(view));
  } else if (!isReloading) {
    // The box was upgraded. Once: every reload would start again.
    isReloading = true;
    location.reload();
  }
}

function onAnswer(answer) {
  if ("error" in answer) complain(answer.error);
}

function onState(state, reason) {
  status.showLink(state, reason);
  if (state === isLive) return;
  isLive = state;
  if (state) return;
  note("This page has lost its connection to the box.");
  talk.disconnected();
  chat.disconnected();
}
