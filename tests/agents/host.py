"""Process of a real voice agent with scripted models: speech, thinking and voice.

It runs in a virtual environment of its own, because LiveKit's agents framework needs
another release of the SDK than the appliance. Commands are lines of JSON on standard
input, reports are lines of JSON on standard output. Loudness stands for words: whatever
is loud is transcribed as "one two three", and the answer is a tone.
"""

import asyncio
import json
import logging
import sys
import time

import numpy as np
from livekit import rtc
from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    JobExecutorType,
    llm,
    stt,
    tts,
    vad,
)
from livekit.agents.testing import fake_job_context
from livekit.agents.voice.room_io import RoomOptions

RATE_HZ = 24_000
TONE_HZ = 880.0
LOUD = 500
"""Peak from which a frame counts as speech."""
QUIET_S = 0.3
"""Silence that ends speech."""
WORD_S = 0.25
"""Each word of an answer is a tone of this length."""


def report(**facts):
    print(json.dumps(facts | {"at_ns": time.monotonic_ns()}), flush=True)


class NoLlm(llm.LLM):
    def chat(self, **_):
        raise NotImplementedError


class NoTts(tts.TTS):
    def __init__(self):
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=True),
            sample_rate=RATE_HZ,
            num_channels=1,
        )

    def synthesize(self, _text, **_):
        raise NotImplementedError


class NoStt(stt.STT):
    def __init__(self):
        super().__init__(
            capabilities=stt.STTCapabilities(streaming=True, interim_results=True)
        )

    async def _recognize_impl(self, *_, **__):
        raise NotImplementedError


class Loudness(vad.VAD):
    def __init__(self):
        super().__init__(capabilities=vad.VADCapabilities(update_interval=0.05))

    def stream(self):
        return LoudnessStream(self)


class LoudnessStream(vad.VADStream):
    async def _main_task(self):
        speech_s = quiet_s = 0.0
        is_speaking = False
        samples = 0
        async for frame in self._input_ch:
            if not isinstance(frame, rtc.AudioFrame):
                speech_s = quiet_s = 0.0
                is_speaking = False
                continue
            samples += frame.samples_per_channel
            is_loud = peak(frame) >= LOUD
            speech_s = speech_s + frame.duration if is_loud else speech_s
            quiet_s = 0.0 if is_loud else quiet_s + frame.duration
            kind = None
            if is_loud and not is_speaking and speech_s >= 0.05:
                is_speaking, kind = True, vad.VADEventType.START_OF_SPEECH
            elif is_speaking and quiet_s >= QUIET_S:
                is_speaking, kind = False, vad.VADEventType.END_OF_SPEECH
            for one in (kind, vad.VADEventType.INFERENCE_DONE):
                if one is not None:
                    self._event_ch.send_nowait(
                        vad.VADEvent(
                            type=one,
                            samples_index=samples,
                            timestamp=time.time(),
                            speech_duration=speech_s,
                            silence_duration=quiet_s,
                            frames=[frame],
                            probability=float(is_loud),
                            speaking=is_speaking,
                            raw_accumulated_speech=speech_s if is_loud else 0.0,
                            raw_accumulated_silence=quiet_s,
                        )
                    )
            if kind is vad.VADEventType.END_OF_SPEECH:
                speech_s = 0.0


def peak(frame):
    return int(np.abs(np.frombuffer(frame.data, np.int16).astype(np.int32)).max())


class Scripted(Agent):
    def __init__(self, script):
        super().__init__(instructions="none")
        self._script = script

    async def stt_node(self, audio, _settings):
        loud_s = quiet_s = 0.0
        words = 0
        async for frame in audio:
            is_loud = peak(frame) >= LOUD
            loud_s += frame.duration if is_loud else 0.0
            quiet_s = 0.0 if is_loud else quiet_s + frame.duration
            if is_loud and words == 0:
                words = 1
                yield stt.SpeechEvent(stt.SpeechEventType.START_OF_SPEECH)
                yield said(stt.SpeechEventType.INTERIM_TRANSCRIPT, "one")
            elif words == 1 and loud_s >= 0.4:
                words = 2
                yield said(stt.SpeechEventType.INTERIM_TRANSCRIPT, "one two")
            elif words and quiet_s >= QUIET_S:
                report(heard_s=round(loud_s, 2))
                yield said(stt.SpeechEventType.FINAL_TRANSCRIPT, "one two three")
                yield stt.SpeechEvent(stt.SpeechEventType.END_OF_SPEECH)
                loud_s, words = 0.0, 0

    async def llm_node(self, chat_ctx, _tools, _settings):
        last = chat_ctx.items[-1]
        report(asked=getattr(last, "text_content", "") or "")
        await asyncio.sleep(self._script.get("think_s", 0.3))
        for word in self._script.get("answer", "that is right").split():
            yield word + " "

    async def tts_node(self, text, _settings):
        start = 0
        async for piece in text:
            for _ in piece.split():
                count = int(WORD_S * RATE_HZ)
                at = (np.arange(count) + start) / RATE_HZ
                start += count
                tone = (9000 * np.sin(2 * np.pi * TONE_HZ * at)).astype(np.int16)
                yield rtc.AudioFrame(tone.tobytes(), RATE_HZ, 1, count)


def said(kind, text):
    return stt.SpeechEvent(kind, alternatives=[stt.SpeechData("en", text)])


def scripted_session(*, takes_turns):
    return AgentSession(
        stt=NoStt(),
        llm=NoLlm(),
        tts=NoTts(),
        vad=Loudness(),
        turn_handling={
            "turn_detection": "manual" if takes_turns else "vad",
            "endpointing": {"min_delay": 0.1, "max_delay": 0.5},
            "interruption": {"mode": "vad", "min_duration": 0.5},
            "preemptive_generation": {"enabled": False},
        },
    )


async def work(job):
    """Do a job that LiveKit dispatches to this worker."""
    await job.connect()
    session = scripted_session(takes_turns=False)
    await session.start(Scripted({}), room=job.room, record=False)
    report(job=job.job.id)


class Work:
    """This process as a registered worker, to which LiveKit dispatches jobs."""

    def __init__(self, command):
        self._server = AgentServer(
            job_executor_type=JobExecutorType.THREAD,
            ws_url=command["url"],
            api_key=command["api_key"],
            api_secret=command["api_secret"],
            host="127.0.0.1",
            # On a busy machine LiveKit would give it no job.
            load_fnc=lambda: 0.0,
        )
        self._server.rtc_session(work, agent_name=command["name"])
        self._server.on("worker_registered", lambda *_: report(registered=True))
        self._running = asyncio.create_task(self._server.run(devmode=True))

    async def end(self):
        await self._server.aclose()
        await self._running
        report(left=True)


class Visit:
    """The agent in one room."""

    def __init__(self, command):
        self._command = command
        self._room = rtc.Room()
        self._session = None

    async def start(self):
        command = self._command
        takes_turns = command.get("takes_turns", False)
        self._session = session = scripted_session(takes_turns=takes_turns)
        for event in ("agent_state_changed",):
            session.on(event, lambda change: report(state=change.new_state))
        await self._room.connect(command["url"], command["token"])
        if takes_turns:
            self._take_turns()
        with fake_job_context(room=self._room):
            await session.start(
                Scripted(command),
                room=self._room,
                # A simulated new connection begins with a departure on request.
                room_options=RoomOptions(close_on_disconnect="stays" not in command),
                record=False,
            )
        if takes_turns:
            session.input.set_audio_enabled(False)
            await self._room.local_participant.set_attributes({"push-to-talk": "1"})
        report(joined=self._room.name)

    def _take_turns(self):
        me = self._room.local_participant

        @me.register_rpc_method("start_turn")
        async def start_turn(call):
            report(turn="start", by=call.caller_identity)
            if self._command.get("is_dead"):
                message = "the session is over"
                raise RuntimeError(message)
            self._session.interrupt()
            self._session.clear_user_turn()
            self._session.room_io.set_participant(call.caller_identity)
            self._session.input.set_audio_enabled(True)

        @me.register_rpc_method("end_turn")
        async def end_turn(call):
            report(turn="end", by=call.caller_identity)
            self._session.input.set_audio_enabled(False)
            self._session.commit_user_turn(
                transcript_timeout=1.0, stt_flush_duration=0.5
            )

        @me.register_rpc_method("cancel_turn")
        async def cancel_turn(call):
            report(turn="cancel", by=call.caller_identity)
            self._session.input.set_audio_enabled(False)
            self._session.clear_user_turn()

    def say(self, text):
        self._session.say(text)

    async def end(self):
        await self._session.aclose()
        await self._room.disconnect()
        report(left=True)

    async def deafen(self):
        """End the session, but stay in the room."""
        await self._session.aclose()
        report(deaf=True)


class Warnings(logging.Handler):
    """Reports what the framework complains about."""

    def emit(self, record):
        report(warning=record.getMessage())


async def main():
    logging.getLogger("livekit.agents").addHandler(Warnings(logging.WARNING))
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    report(ready=True)
    visit = None
    async for line in reader:
        command = json.loads(line)
        match command["do"]:
            case "join":
                visit = Visit(command)
                await visit.start()
            case "work":
                visit = Work(command)
            case "say":
                visit.say(command["text"])
            case "leave":
                await visit.end()
            case "deafen":
                await visit.deafen()


asyncio.run(main())
