"""The sound adapter: card, uplink and playout behind one door."""

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
"""A thread of ours that did not turn for this long is stuck; PortAudio may take some
seconds to open a card."""

SWITCH_S: Final = 0.0005
"""How long a thread may go on with Python while another waits. With Python's own 5 ms,
a page or a picture that takes 30 ms to make costs the card one period after the other
(measured: 412 lost in 8 s, and none with this)."""

_WAYS: Final[tuple[tuple[Direction, Way], ...]] = (
    ("microphone", Way.SEND),
    ("speaker", Way.RECEIVE),
)


class AudioAdapter:
    """Everything between the card and the room.

    `outlet` and `playout` are what the room gets; nothing else of it is public.
    """

    def __init__(
        self,
        sound_config: SoundConfig,
        talk_config: TalkConfig,
        post: Post,
        driver: Callable[[], Driver],
        processing: CaptureProcessing,
    ) -> None:
        """Lay the road; nothing moves before it is entered."""
        self._has_earcons = sound_config.earcons
        self.mixer = Mixer(is_half_duplex=sound_config.half_duplex)
        gate = Gate(talk_config.pre_roll_ms)
        self.encoder_feed = EncoderFeed()
        self._sender = Sender(gate, self.mixer, self.encoder_feed, post, processing)
        self._card = Supervisor(sound_config, driver, self.mixer, self._sender, post)

    async def __aenter__(self) -> Self:
        """Start the threads; the card stays closed until `OpenSound`."""
        sys.setswitchinterval(SWITCH_S)
        self._sender.start()
        self._card.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the card first: its callbacks feed the uplink."""
        self._card.end()
        self._sender.close()

    def do(self, command: SoundCommand) -> None:
        """Do it; nothing here blocks."""
        match command:
            case OpenSound():
                self._card.open()
            case CloseSound():
                self._card.close()
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
        """Whether both threads turn; for the watchdog."""
        late_s = time.monotonic() - DEAD_S
        return min(self._sender.heartbeat_s, self._card.heartbeat_s) > late_s

    def figures(self) -> AudioFigures:
        """Return what the road counts."""
        card = self._card.stats
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
