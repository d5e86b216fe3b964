"""Audio path between the sound card and the room.

Capture runs from the card's callback (`stream_callbacks`) through the thread of
`sender`, which applies echo cancellation and noise suppression (`echo`) and the gate
(`gate`), to the encoder. It sends silence too, for DTX, also in place of a missing
microphone. Playback runs from one jitter buffer per remote participant
(`jitter_buffer`, `drift`, `ring_buffer`) through `mixer` to the card's callback. Signal
processing is in `dsp`, levels are in `meter`.

`supervisor` opens the streams (`streams`, `stream_stats`), detects lost and stalled
cards and reopens them (when: `reopen_policy`); `device_choice` chooses among `devices`,
`device_list` also knows those in use. `portaudio` implements `driver`: PortAudio runs
in a process of its own, which is killed and started again when it hangs or crashes
(`sound_process`; in that process: `portaudio_process`, both with `realtime` priority).
`card_levels` reads and sets the card's own mixer (`alsa_mixer`). `idle` and
`latency_steps` save CPU time and delay; the path would work without them.

Start reading at `adapter`, which builds all of it and executes the core's commands.
"""
