// Somebody else in the room, in a browser, on dTelecom's own client.
const client = globalThis["@dtelecom/livekitClient"];
const room = new client.Room();
const heard = { packets: [], analyser: null };
const audio = new AudioContext();
const chatTopic = "lk-chat-topic";

room.on("dataReceived", (payload, participant, _kind, topic) => {
  const text = new TextDecoder().decode(payload);
  heard.packets.push({ from: participant?.identity, topic, text });
});

room.on("trackSubscribed", (track) => {
  // Without an element, Chromium does not play the stream at all.
  track.attach().muted = true;
  heard.analyser = audio.createAnalyser();
  heard.analyser.fftSize = 32768;
  const stream = new MediaStream([track.mediaStreamTrack]);
  audio.createMediaStreamSource(stream).connect(heard.analyser);
});

async function join(url, token) {
  await room.connect(url, token);
}

async function say(hz) {
  const tone = audio.createOscillator();
  const out = audio.createMediaStreamDestination();
  tone.frequency.value = hz;
  tone.connect(out);
  tone.start();
  const [track] = out.stream.getAudioTracks();
  await room.localParticipant.publishTrack(track, { source: "microphone" });
}

// As @dtelecom/components-core does: one packet, without an id.
async function write(text) {
  const message = { timestamp: Date.now(), message: text, type: "text" };
  const payload = new TextEncoder().encode(JSON.stringify(message));
  await room.localParticipant.publishData(payload, client.DataPacket_Kind.RELIABLE, {
    topic: chatTopic,
  });
}

function strongestHz() {
  if (!heard.analyser) return 0;
  const levels = new Float32Array(heard.analyser.frequencyBinCount);
  heard.analyser.getFloatFrequencyData(levels);
  const loudest = levels.indexOf(Math.max(...levels));
  if (levels[loudest] < -60) return 0;
  return (loudest * audio.sampleRate) / heard.analyser.fftSize;
}
