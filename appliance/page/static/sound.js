// Mute, meters and sliders.

import { byId, setAttribute, setText } from "./dom.js";

const FLOOR_DBFS = -60;
const GAP_MS = 100;

const mute = byId("mute");
const sliders = [
  { node: byId("volume"), out: byId("volume-value"), unit: "%", command: "volume", key: "percent", field: "volume_percent" },
  { node: byId("gain"), out: byId("gain-value"), unit: "dB", command: "microphone_gain", key: "db", field: "microphone_gain_db" },
];

export function start(send) {
  mute.addEventListener("click", () => {
    send({ do: "mute", on: mute.dataset.muted !== "true" });
  });
  for (const slider of sliders) watch(slider, send);
}

export function show(view) {
  const isMuted = view.is_muted_at_box || view.is_muted_on_page;
  // Not `aria-pressed`: the label says what a press does, "Unmute, pressed" would not.
  setAttribute(mute, "data-muted", isMuted);
  mute.disabled = view.is_muted_at_box;
  setText(mute, muteLabel(view));
  const voice = meter(byId("microphone"), view.microphone_dbfs, view.has_microphone);
  document.body.style.setProperty("--voice", String(voice));
  meter(byId("speaker"), view.speaker_dbfs, view.has_speaker);
  setText(byId("microphone-note"), microphoneNote(view));
  setText(byId("speaker-note"), speakerNote(view));
  for (const slider of sliders) {
    if (!slider.isHeld) put(slider, Math.round(view[slider.field]));
  }
}

function muteLabel(view) {
  if (view.is_muted_at_box) return "Muted at the box";
  return view.is_muted_on_page ? "Unmute" : "Mute";
}

function speakerNote(view) {
  if (view.is_announcer) return "none configured";
  return view.has_speaker ? "" : "no speaker";
}

function microphoneNote(view) {
  if (view.is_listener) return "none configured";
  if (!view.has_microphone) return "no microphone";
  if (view.is_silent) return "only silence";
  return view.is_voice ? "you are speaking" : "";
}

function meter(node, dbfs, isThere) {
  const level = isThere ? Math.max(FLOOR_DBFS, Math.min(0, dbfs)) : FLOOR_DBFS;
  setAttribute(node, "aria-valuenow", level);
  setAttribute(node, "aria-valuetext", isThere ? `${level} decibels` : "absent");
  const share = 1 - level / FLOOR_DBFS;
  node.style.setProperty("--level", String(share));
  node.classList.toggle("absent", !isThere);
  return share;
}

// While a slider is being moved, and shortly after, views do not change it.
function watch(slider, send) {
  let timer = 0;
  let settle = 0;
  const sendValue = () => {
    timer = 0;
    send({ do: slider.command, [slider.key]: Number(slider.node.value) });
  };
  slider.node.addEventListener("input", () => {
    slider.isHeld = true;
    clearTimeout(settle);
    settle = setTimeout(() => (slider.isHeld = false), 10 * GAP_MS);
    put(slider, Number(slider.node.value));
    if (!timer) timer = setTimeout(sendValue, GAP_MS);
  });
}

function put(slider, value) {
  const { node, out, unit } = slider;
  if (Number(node.value) !== value) node.value = String(value);
  setAttribute(node, "aria-valuetext", `${value} ${unit}`);
  setText(out, `${value} ${unit}`);
}
