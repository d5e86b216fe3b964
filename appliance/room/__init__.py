"""Adapter for LiveKit: joins a room, publishes the microphone, plays the others, chats.

Start with `adapter`: it takes the core's commands, starts one `session` per ticket and
filters the library's log lines. A session opens a `connection` (to dTelecom's servers,
too), which maps the SDK's failures to causes and sentences. Then it publishes our track
(`publisher`, with DTX), subscribes to the others (`subscriber`), lists them under names
that are safe to show (`participants`) and exchanges chat (`chat_channel`, which reads
text streams within limits, with the wire formats in `chat_format`). `ffi` carries audio
to and from the native library without the asyncio loop, which may be late. `apm` (audio
processing module) is its echo canceller and noise suppressor, `encryption` its
end-to-end encryption. `agent` handles state, turns and captions of a voice agent, and
keeps what is said before an expected one comes. `stats` reads WebRTC statistics and
notices a room without audio.
"""
