// Somebody else in the room, in a browser, on LiveKit's own client.
const keys = new LivekitClient.ExternalE2EEKeyProvider();
let room = new LivekitClient.Room();
const legacyTopic = "lk-chat-topic";
const heard = { streams: [], packets: [], analyser: null };
const audio = new AudioContext();

function listen() {
  room.registerTextStreamHandler("lk.chat", async (reader, from) => {
    const text = await reader.readAll();
    heard.streams.push({ from: from.identity, id: reader.info.id, text });
  });

  // The first packet may come before the room has told who has joined: `participant`.
  room.on("dataReceived", (payload, _participant, _kind, topic, _how, from) => {
    const text = new TextDecoder().decode(payload);
    heard.packets.push({ from, topic, text });
  });

  room.on("trackSubscribed", (track) => {
    // Without an element, Chromium does not play the stream at all.
    track.attach().muted = true;
    heard.analyser = audio.createAnalyser();
    heard.analyser.fftSize = 32768;
    const stream = new MediaStream([track.mediaStreamTrack]);
    audio.createMediaStreamSource(stream).connect(heard.analyser);
  });
}

// With a key, sound and chat are encrypted.
async function join(url, token, key) {
  if (key) {
    const worker = new Worker("/worker.js");
    room = new LivekitClient.Room({ encryption: { keyProvider: keys, worker } });
    await keys.setKey(key);
    await room.setE2EEEnabled(true);
  }
  listen();
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

// As @livekit/components-core does: a stream, and a packet for older receivers.
async function write(text) {
  const me = room.localParticipant;
  const info = await me.sendText(text, { topic: "lk.chat" });
  const message = { id: info.id, timestamp: info.timestamp, message: text };
  const packet = JSON.stringify({ ...message, ignoreLegacy: true });
  const payload = new TextEncoder().encode(packet);
  await me.publishData(payload, { reliable: true, topic: legacyTopic });
  return info.id;
}

const photo = () => new File([new Uint8Array(100_000)], "photo.jpg");

async function writeWithFile(text) {
  await room.localParticipant.sendText(text, { topic: "lk.chat", attachments: [photo()] });
}

function strongestHz() {
  if (!heard.analyser) return 0;
  const levels = new Float32Array(heard.analyser.frequencyBinCount);
  heard.analyser.getFloatFrequencyData(levels);
  const loudest = levels.indexOf(Math.max(...levels));
  if (levels[loudest] < -60) return 0;
  return (loudest * audio.sampleRate) / heard.analyser.fftSize;
}
