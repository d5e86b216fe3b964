// LiveKit's own client with its defaults, for a benchmark.

// The card can be opened once, and is for what is heard; LiveKit's client opens an audio
// context besides, with which it plays nothing.
const Context = AudioContext;
AudioContext = function (options) {
  return new Context({ ...options, sinkId: { type: "none" } });
};
const room = new LivekitClient.Room();

room.on("trackSubscribed", (track) => {
  document.body.append(track.attach());
  console.log("track subscribed");
});

async function talk(url, token, isOn) {
  await room.connect(url, token);
  const capture = {
    echoCancellation: isOn,
    noiseSuppression: isOn,
    autoGainControl: isOn,
  };
  await room.localParticipant.setMicrophoneEnabled(true, capture);
  console.log("joined");
}

// Chromium's own count of concealed speech, in per cent.
async function concealed() {
  let concealed = 0;
  let received = 0;
  for (const person of room.remoteParticipants.values()) {
    for (const publication of person.trackPublications.values()) {
      const report = await publication.track?.getRTCStatsReport();
      for (const entry of report?.values() ?? []) {
        if (entry.type !== "inbound-rtp") continue;
        concealed += entry.concealedSamples - entry.silentConcealedSamples;
        received += entry.totalSamplesReceived;
      }
    }
  }
  return (100 * concealed) / Math.max(1, received);
}
