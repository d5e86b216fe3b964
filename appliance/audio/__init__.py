"""Audio path between the sound card and the room.

Capture runs from the card's callback (`stream_callbacks`) through the thread of
`sender`, which applies echo cancellation and noise suppression (`echo`) and the gate
(`gate`), to the encoder, and sends silence too, for DTX. Playback runs from one jitter
buffer per remote participant (`jitter_buffer`, `drift`) through `mixer` to the card's
callback.
`supervisor` opens the PortAudio streams (`streams`, `portaudio`), detects lost and
stalled cards and reopens them. PortAudio runs in a process of its own, which is killed
and started again when it hangs or crashes (`sound_process`; in that process:
`portaudio_process`). `idle` and `latency_steps` are optimisations
of CPU time and latency, without which the path would work too. Start reading at
`adapter`, which builds all of it and executes the core's commands.
"""
