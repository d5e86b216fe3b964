"""Audio adapter: builds the audio path and executes the core's commands on it."""

import sys
import time
from collections.abc import Callable
from typing import Final, Self, assert_never

from appliance.audio.devices import Direction
from appliance.audio.driver import Driver
from appliance.audio.earcons import sound
from appliance.audio.encoder_feed import EncoderFeed
from appliance.audio.gate import Gate
from appliance.audio.mixer import Mixer
from appliance.audio.processing import CaptureProcessing
from appliance.audio.sender import Sender
from appliance.audio.supervisor import Supervisor
from appliance.config import SoundConfig, TalkConfig
from appliance.core.commands import (
    CloseGate,
    CloseSound,
    OpenGate,
    OpenSound,
    PlayEarcon,
    SetGain,
    SetVolume,
    SoundCommand,
)
from appliance.metrics.audio import AudioDirection as Way
from appliance.metrics.audio import AudioFault, AudioFigures
from appliance.ports import Post

DEAD_S: Final = 10.0
"""A thread whose heartbeat is older is stuck; PortAudio may take some seconds to open a
card."""

SWITCH_S: Final = 0.0005
"""Interval after which a thread yields the interpreter lock. With Python's default of
5 ms, 30 ms of work on a page or a picture makes the card lose period after period
(measured: 412 lost in 8 s, and none with this value)."""

_WAYS: Final[tuple[tuple[Direction, Way], ...]] = (
    ("microphone", Way.SEND),
    ("speaker", Way.RECEIVE),
)


class AudioAdapter:
    """Audio path between the card and the room.

    The room uses `encoder_feed` (capture) and `mixer` (playback).
    """

    def __init__(
        self,
        sound_config: SoundConfig,
        talk_config: TalkConfig,
        post: Post,
        driver: Callable[[], Driver],
        processing: CaptureProcessing,
    ) -> None:
        """Build the path; threads start with `async with`."""
        self._has_earcons = sound_config.earcons
        self.mixer = Mixer(is_half_duplex=sound_config.half_duplex)
        gate = Gate(talk_config.pre_roll_ms)
        self.encoder_feed = EncoderFeed()
        self._sender = Sender(gate, self.mixer, self.encoder_feed, post, processing)
        self._supervisor = Supervisor(
            sound_config, driver, self.mixer, self._sender, post
        )

    async def __aenter__(self) -> Self:
        """Start the threads; the card stays closed until `OpenSound`."""
        sys.setswitchinterval(SWITCH_S)
        self._sender.start()
        self._supervisor.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the card first, because its callbacks feed the sender."""
        self._supervisor.end()
        self._sender.close()

    def do(self, command: SoundCommand) -> None:
        """Execute the command without blocking."""
        match command:
            case OpenSound():
                self._supervisor.open()
            case CloseSound():
                self._supervisor.close()
            case OpenGate(asked_at_s=asked_at_s):
                self._sender.open_gate(asked_at_s)
            case CloseGate(tail_ms=tail_ms):
                self._sender.close_gate(tail_ms)
            case SetVolume(percent=percent):
                self.mixer.set_volume(percent)
            case SetGain(db=db):
                self._sender.set_gain(db)
            case PlayEarcon(earcon=earcon):
                if self._has_earcons:
                    self.mixer.play(sound(earcon))
            case _:
                assert_never(command)

    def is_alive(self) -> bool:
        """Return whether both threads run; for the watchdog."""
        late_s = time.monotonic() - DEAD_S
        return min(self._sender.heartbeat_s, self._supervisor.heartbeat_s) > late_s

    def figures(self) -> AudioFigures:
        """Return counters and gauges of the audio path."""
        card = self._supervisor.stats
        kinds = (AudioFault.XRUN, AudioFault.STALL, AudioFault.UNPLUG)
        faults = {
            (way, kind): card.count(direction, kind)
            for direction, way in _WAYS
            for kind in kinds
        }
        faults[Way.SEND, AudioFault.OVERFLOW] = self._sender.overflows
        faults[Way.RECEIVE, AudioFault.OVERFLOW] = self.mixer.overruns
        faults[Way.RECEIVE, AudioFault.UNDERFLOW] = self.mixer.underruns
        return AudioFigures(
            blocks={
                Way.SEND: self.encoder_feed.blocks,
                Way.RECEIVE: card.blocks("speaker"),
            },
            faults=faults,
            depth_s={"uplink": self._sender.depth_s, "playout": self.mixer.depth_s},
            drift_ppm=self.mixer.drift_ppm,
        )
