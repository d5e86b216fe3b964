"""Adapter for audio: implements `ports.Sound` with the audio path, which it builds."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self, assert_never

from appliance.audio.driver import Driver
from appliance.audio.earcons import ECHO_S, SENT_LATEST_S, SENT_TONES, earcon_samples
from appliance.audio.echo_cancellation import CaptureProcessing
from appliance.audio.gate import Gate
from appliance.audio.latency_steps import LatencySteps
from appliance.audio.mixer import Mixer
from appliance.audio.sender import Sender
from appliance.audio.stream_faults import StreamFaults
from appliance.audio.supervisor import Supervisor
from appliance.config import Config
from appliance.core.commands import (
    ClearPreRoll,
    CloseGate,
    CloseSound,
    Earcon,
    OpenGate,
    OpenSound,
    PlayEarcon,
    SetGain,
    SetVolume,
    SoundCommand,
)
from appliance.metrics.counters import AudioDirection as Way
from appliance.metrics.counters import AudioFault, AudioFigures
from appliance.pcm import RATE_HZ
from appliance.ports import Post
from appliance.sound_cards.card_volume import CardVolumeSupervisor
from appliance.sound_cards.selected_devices import SelectedDevices

DEAD_S: Final = 10.0
"""Age of a stuck thread's heartbeat: opening each direction may take 4 s."""
SWITCH_S: Final = 0.0005
"""Interval after which a thread yields the interpreter lock. Measured while a page is
drawn: with Python's default of 5 ms, 412 lost periods in 8 s, and none with this."""


class AudioAdapter:
    """Audio path; the room uses `encoder_feed` (capture) and `mixer` (playback)."""

    def __init__(
        self,
        config: Config,
        post: Post,
        driver: Callable[[], Driver],
        processing: CaptureProcessing,
        state_directory: Path | None = None,
    ) -> None:
        """Build the path; the state directory is for the latency step."""
        has_speaker = config.sound.speaker != "none"
        self._has_earcons = config.sound.earcons and has_speaker
        self.mixer = Mixer(is_half_duplex=config.sound.half_duplex)
        gate = Gate(config.talk.used_pre_roll_ms)
        self._sender = Sender(gate, self.mixer, post, processing)
        self.encoder_feed = self._sender.encoder_feed
        self._card_volumes = CardVolumeSupervisor(config.sound.mixer)
        self._faults = StreamFaults(post, self._card_volumes.notice)
        self._supervisor = Supervisor(
            SelectedDevices(config.sound),
            driver(),
            self._sender,
            self._faults,
            LatencySteps(state_directory),
        )
        self._supervisor.set_card_volumes = self._card_volumes.apply

    async def __aenter__(self) -> Self:
        """Start the threads; the card stays closed until `OpenSound`."""
        sys.setswitchinterval(SWITCH_S)
        self._card_volumes.start()
        self._sender.start()
        self._supervisor.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the card first, because its callbacks feed the sender."""
        self._supervisor.end()
        self._card_volumes.end()
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
            case ClearPreRoll():
                self._sender.gate.clear()
            case CloseGate(tail_ms=tail_ms):
                self._sender.gate.close(tail_ms)
            case SetVolume(percent=percent):
                self.mixer.set_volume(percent)
            case SetGain(db=db):
                self._sender.set_gain(db)
            case PlayEarcon(earcon=earcon):
                if self._has_earcons:
                    self._play(earcon)
            case _:
                assert_never(command)

    def _play(self, earcon: Earcon) -> None:
        """Play an earcon so that it is not heard in the room."""
        tone = earcon_samples(earcon)
        if hz := SENT_TONES.get(earcon):
            length_s = SENT_LATEST_S + len(tone) / RATE_HZ + ECHO_S
            self._sender.remove_tone(hz, length_s)
            self.mixer.play(tone, SENT_LATEST_S)
        else:
            self._sender.play_at_end(tone)

    def is_alive(self) -> bool:
        """Return whether both threads run; for the watchdog."""
        late_s = time.monotonic() - DEAD_S
        return min(self._sender.heartbeat_s, self._supervisor.heartbeat_s) > late_s

    def figures(self) -> AudioFigures:
        """Return counters and gauges of the audio path."""
        totals = self._faults.totals
        faults = {
            Way.SEND: (totals["microphone"].faults, self._sender.faults),
            Way.RECEIVE: (totals["speaker"].faults, self.mixer.faults),
        }
        return AudioFigures(
            blocks={
                Way.SEND: self.encoder_feed.blocks,
                Way.RECEIVE: totals["speaker"].blocks,
            },
            faults={
                (way, kind): sum(counts[kind] for counts in counters)
                for way, counters in faults.items()
                for kind in AudioFault
            },
            depth_s={"uplink": self._sender.depth_s, "playout": self.mixer.depth_s},
            drift_ppm=self.mixer.drift_ppm,
        )
