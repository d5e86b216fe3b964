"""Audio path between the sound card and the room.

Capture runs from the card's callback (`stream_callbacks`) through the thread of
`sender`, which applies echo cancellation and noise suppression (`echo_cancellation`)
and `gate`, to LiveKit's encoder. While the gate is closed or the microphone is missing
it sends silence (`dtx_silence`), of which the encoder sends hardly anything (DTX).
Playback runs from one jitter buffer per remote participant (`jitter_buffer`) through
`mixer`, which adds the `earcons`, to the card's callback. Signal processing and the
level meter are in `dsp`.

`supervisor` searches for cards, opens the streams (`streams`), detects lost and stalled
ones, and posts what is wrong with them (`stream_faults`). Which cards it opens is
decided in the folder `sound_cards`. `portaudio` implements `driver`: each stream and
each search is a process of its own (`sound_process`), which is killed when it hangs.
Idle mode (`driver.IdleWindow`) saves CPU time, `latency_steps` delay; the path would
work without them.

Start reading at `adapter`, which builds all of it and executes the core's commands.
Everywhere here `now_s` is the monotonic clock, or a time on it.
"""
