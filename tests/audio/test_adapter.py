"""Tests of the whole audio path on a real PortAudio and a virtual card."""

import asyncio
import itertools
import logging
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.audio.adapter import AudioAdapter
from appliance.audio.earcons import ECHO_S, SENT_TONES
from appliance.audio.echo_cancellation import CaptureProcessing
from appliance.audio.portaudio import PortAudio
from appliance.audio.streams import STOPPED
from appliance.config import Config, MixerConfig, SoundConfig, TalkConfig
from appliance.core import fault_table
from appliance.core.commands import (
    CloseGate,
    CloseSound,
    Earcon,
    OpenGate,
    OpenSound,
    PlayEarcon,
    SetVolume,
)
from appliance.core.events import (
    FirstBlockSent,
    LevelsMeasured,
    Part,
    PartFound,
    PartLost,
    TailEnded,
)
from appliance.metrics.counters import AudioDirection, AudioFault
from appliance.pcm import BLOCK_FRAMES, SILENCE
from tests.card.asound import Card, plug_in
from tests.card.faults import FAULTS
from tests.card.sounddevice_access import environment

PATIENCE_S = 20.0
"""Time-out on a busy machine for steps that usually take three seconds."""
FEW = 5
"""Accepted lost periods per second; with Python's default switch interval: fifty."""


class AudioHarness:
    """Audio adapter on virtual cards, with the events it posted."""

    def __init__(
        self,
        sound: SoundConfig,
        talk: TalkConfig,
    ) -> None:
        self.events: queue.Queue[Any] = queue.Queue()
        processing = CaptureProcessing(None, None)
        self.adapter = AudioAdapter(
            Config(sound=sound, talk=talk),
            self.events.put,
            PortAudio,
            processing,
        )
        self.sent: queue.Queue[np.ndarray] = queue.Queue()

    def connect(self) -> None:
        self.adapter.encoder_feed.connect(lambda block: self.sent.put(block.copy()))

    async def event(self, *kinds):
        """Return the next event of these kinds."""
        while True:
            event = await asyncio.to_thread(self.events.get, timeout=PATIENCE_S)
            if isinstance(event, kinds):
                return event

    async def opened(self) -> None:
        """Wait until both directions work."""
        await self._both(PartFound)

    async def lost(self) -> None:
        """Wait until both directions are lost."""
        await self._both(PartLost)

    async def _both(self, kind: type[PartFound | PartLost]) -> None:
        """Wait until this is the newest event about both directions.

        On a busy machine one of them may be reported several times.
        """
        newest: dict[Part, type] = {}
        while [*newest.values()] != [kind, kind]:
            event = await self.event(PartFound, PartLost)
            newest[event.part] = type(event)

    async def until_sent(self, hz: float, blocks: int = 20, within_hz: float = 20.0):
        """Wait until what is sent has this pitch; a stall of the machine is silence."""
        wanted = pytest.approx(hz, abs=within_hz)
        async with asyncio.timeout(PATIENCE_S):
            while pitch_hz(await self.blocks(blocks)) != wanted:
                pass

    async def blocks(self, count: int) -> np.ndarray:
        taken = [
            await asyncio.to_thread(self.sent.get, timeout=PATIENCE_S)
            for _ in range(count)
        ]
        return np.concatenate(taken)

    def forget(self) -> None:
        while not self.sent.empty():
            self.sent.get()


@contextmanager
def box(
    tmp_path: Path,
    *cards: Card,
    sound: SoundConfig | None = None,
    talk: TalkConfig | None = None,
) -> Iterator[AudioHarness]:
    with environment(plug_in(tmp_path / "asound.conf", *cards)):
        yield AudioHarness(sound or SoundConfig(), talk or TalkConfig())


def tone(seconds: float, hz: float = 1000.0, rate_hz: int = 48_000) -> np.ndarray:
    at = np.arange(round(seconds * rate_hz)) / rate_hz
    return (8000 * np.sin(2 * np.pi * hz * at)).astype(np.int16)


def pitch_hz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * 48_000 / len(samples))


class Talker:
    """Context in which somebody speaks without a pause."""

    def __init__(self, write):
        self._write = write
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        blocks = itertools.cycle(tone(1.0).reshape(-1, BLOCK_FRAMES))
        due_s = time.monotonic()
        while not self._end.wait(max(0.0, due_s - time.monotonic())):
            self._write(next(blocks))
            due_s += 0.01

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()


def is_silent(samples: np.ndarray) -> bool:
    return not samples.any()


async def test_an_open_gate_passes_captured_sound_and_a_closed_one_silence(
    tmp_path,
):
    card = Card(tmp_path / "usb", is_looped=True)
    card.speak(tone(1.0), at_s=0.0)
    with box(tmp_path, card) as ours:
        async with ours.adapter:
            ours.adapter.do(OpenSound())
            await ours.opened()
            ours.connect()
            await ours.blocks(5)
            assert is_silent(await ours.blocks(10))
            ours.adapter.do(OpenGate(time.monotonic()))
            flowed = await ours.event(FirstBlockSent)
            assert flowed.access_s >= 0
            await ours.until_sent(1000)
            ours.adapter.do(CloseGate(tail_ms=0))
            await ours.event(TailEnded)
            ours.forget()
            await ours.blocks(3)
            assert is_silent(await ours.blocks(10))


async def test_two_talkers_and_an_earcon_are_mixed(tmp_path):
    card = Card(tmp_path / "usb")
    with box(tmp_path, card) as ours:
        async with ours.adapter:
            ours.adapter.do(SetVolume(100))
            ours.adapter.do(OpenSound())
            await ours.opened()
            low = ours.adapter.mixer.add("low")
            high = ours.adapter.mixer.add("high")
            since_s = card.now_s()
            voices = tone(1.5, 500), tone(1.5, 2000)
            begun_s = time.monotonic()
            for count in range(150):
                stretch = slice(count * BLOCK_FRAMES, (count + 1) * BLOCK_FRAMES)
                low(voices[0][stretch])
                high(voices[1][stretch])
                if count == 50:
                    ours.adapter.do(PlayEarcon(Earcon.JOINED))
                await asyncio.sleep(max(0, begun_s + count / 100 - time.monotonic()))
    heard = card.heard(since_s)
    spectrum = np.abs(np.fft.rfft(heard))
    at = np.fft.rfftfreq(len(heard), 1 / 48_000)
    rest = np.median(spectrum)
    for hz in (500, 2000, 523, 784):
        assert spectrum[np.abs(at - hz) < 15].max() > 50 * rest, hz


def counted(ours, kind):
    """Return how often this fault was counted, in both directions."""
    faults = ours.adapter.figures().faults
    return [faults[way, kind] for way in AudioDirection]


async def test_an_unplugged_card_is_reported_and_works_again_after_replugging(tmp_path):
    card = Card(tmp_path / "usb", is_looped=True)
    card.speak(tone(1.0), at_s=0.0)
    with box(tmp_path, card) as ours:
        async with ours.adapter:
            ours.adapter.do(OpenSound())
            await ours.opened()
            ours.connect()
            ours.adapter.do(OpenGate())
            await ours.event(FirstBlockSent)
            card.unplug()
            await ours.lost()
            while (await ours.event(PartLost)).reason == STOPPED:
                pass
            ours.forget()
            assert is_silent(await ours.blocks(20)), "silence goes on being sent"
            card.plug()
            await ours.opened()
            await ours.until_sent(1000)
            assert counted(ours, AudioFault.UNPLUG) == [1, 1]


CALLS = {
    "open-hangs": r"does not answer \(search\)",
    "start-hangs": r"does not answer \(open\)",
    "start-refused": r"does not answer \(open\)",
    "error-loop": "it stopped",
    "crash": r"crashed \(SIGSEGV\)",
}


@pytest.mark.parametrize(("fault", "reason"), CALLS.items())
async def test_a_fault_of_the_sound_library_is_named_and_sound_returns_after_it(
    tmp_path, caplog, capfd, fault, reason
):
    card = Card(tmp_path / "usb")
    with box(tmp_path, card) as ours:
        async with ours.adapter:
            ours.adapter.do(OpenSound())
            await ours.opened()
            FAULTS[fault].begin(card)
            if fault in {"open-hangs", "start-hangs", "start-refused"}:
                # Opens it again.
                ours.adapter.do(CloseSound())
                ours.adapter.do(OpenSound())
            while not re.search(reason, (await ours.event(PartLost)).reason):
                pass
            ours.connect()
            assert is_silent(await ours.blocks(20)), "silence goes on being sent"
            assert ours.adapter.is_alive()
            FAULTS[fault].end(card)
            await ours.opened()
    lines = [x for x in caplog.records if x.levelno > logging.INFO]
    assert 0 < len(lines) <= 10
    assert capfd.readouterr() == ("", "")


async def test_a_stalled_card_is_reopened(tmp_path):
    card = Card(tmp_path / "usb")
    with box(tmp_path, card) as ours:
        async with ours.adapter:
            ours.adapter.do(OpenSound())
            await ours.opened()
            card.stall()
            lost = await ours.event(PartLost)
            assert "stopped" in lost.reason
            card.resume()
            await ours.opened()
            assert counted(ours, AudioFault.STALL) == [1, 1]
            assert counted(ours, AudioFault.UNPLUG) == [0, 0]


async def test_a_missing_card_is_reported_and_opened_when_plugged_in(tmp_path):
    card = Card(tmp_path / "usb")
    card.unplug()
    with box(tmp_path, card) as ours:
        async with ours.adapter:
            ours.adapter.do(OpenSound())
            await ours.lost()
            ours.connect()
            assert is_silent(await ours.blocks(5))
            card.plug()
            await ours.opened()


async def test_an_error_in_the_alsa_configuration_is_a_fault_until_it_is_fixed(
    tmp_path,
):
    path = tmp_path / "asound.conf"
    card = Card(tmp_path / "usb")
    with box(tmp_path, card) as ours:
        whole = path.read_text()
        path.write_text("pcm.broken {\n}}\n")
        async with ours.adapter:
            ours.adapter.do(OpenSound())
            lost = [await ours.event(PartLost), await ours.event(PartLost)]
            assert {event.part for event in lost} == {Part.MICROPHONE, Part.SPEAKER}
            assert {event.name for event in lost} == {"sound"}
            assert f"{path}, line 2" in lost[0].reason
            path.write_text(whole)
            await ours.opened()


async def test_a_later_error_in_the_alsa_configuration_is_reported_at_the_next_search(
    tmp_path,
):
    path = tmp_path / "asound.conf"
    card = Card(tmp_path / "usb")
    with box(tmp_path, card) as ours:
        whole = path.read_text()
        async with ours.adapter:
            ours.adapter.do(OpenSound())
            await ours.opened()
            path.write_text("pcm.broken {\n}}\n")
            card.unplug()
            while "line 2" not in (await ours.event(PartLost)).reason:
                pass
            card.plug()
            path.write_text(whole)
            await ours.opened()


async def test_a_second_choice_has_a_notice_and_is_replaced_by_the_first_choice(
    tmp_path,
):
    first = Card(tmp_path / "first", name="USB Speakerphone")
    second = Card(tmp_path / "second", name="vc4-hdmi")
    first.unplug()
    with box(tmp_path, second, first) as ours:
        async with ours.adapter:
            ours.adapter.do(OpenSound())
            found: dict[Part, PartFound] = {}
            while len(found) < 2:
                event = await ours.event(PartFound)
                found[event.part] = event
                assert event.name == "vc4-hdmi"
                assert event.notice.startswith("not a USB card")
            first.plug()
            better = await ours.event(PartFound)
            while better.notice:
                better = await ours.event(PartFound)
            assert better.name == "USB Speakerphone"


async def test_the_first_wish_replaces_the_second_without_a_restart(tmp_path):
    jabra = Card(tmp_path / "jabra", name="Jabra")
    other = Card(tmp_path / "other", name="USB PnP")
    jabra.unplug()
    wishes = ("Jabra", "PnP")
    sound = SoundConfig(microphone=wishes, speaker=wishes)
    with box(tmp_path, other, jabra, sound=sound) as ours:
        async with ours.adapter:
            ours.adapter.do(OpenSound())
            assert (await ours.event(PartFound)).notice == (
                'not "Jabra"; plug that one in, or change sound.microphone'
            )
            jabra.plug()
            found = await ours.event(PartFound)
            while found.notice:
                found = await ours.event(PartFound)
            assert found.name == "Jabra"


async def test_the_error_for_a_wrong_name_lists_the_available_devices(tmp_path):
    card = Card(tmp_path / "usb", name="Loud Thing")
    sound = SoundConfig(microphone=("Jabra",), speaker=("Loud",))
    with box(tmp_path, card, sound=sound) as ours:
        async with ours.adapter:
            ours.adapter.do(OpenSound())
            lost = await ours.event(PartLost)
            found = await ours.event(PartFound)
    assert lost.part is Part.MICROPHONE
    assert lost.name == "Jabra"
    assert '"Loud Thing"' in lost.reason
    assert "sound.microphone" in lost.reason
    assert found.part is Part.SPEAKER


@pytest.mark.parametrize(
    ("channels", "lost", "found"),
    [
        ((1, 0), Part.SPEAKER, Part.MICROPHONE),
        ((0, 2), Part.MICROPHONE, Part.SPEAKER),
    ],
)
async def test_a_card_with_one_direction_is_used_for_that_direction(
    tmp_path, channels, lost, found
):
    card = Card(
        tmp_path / "usb", microphone_channels=channels[0], speaker_channels=channels[1]
    )
    with box(tmp_path, card) as ours:
        async with ours.adapter:
            ours.adapter.do(OpenSound())
            assert (await ours.event(PartLost)).part is lost
            assert (await ours.event(PartFound)).part is found


@pytest.mark.parametrize(
    ("sound", "starts", "part"),
    [
        (SoundConfig(microphone="none"), (False, True), Part.SPEAKER),
        (SoundConfig(speaker="none"), (True, False), Part.MICROPHONE),
    ],
)
async def test_of_a_duplex_card_only_the_configured_direction_is_opened(
    tmp_path, sound, starts, part
):
    card = Card(tmp_path / "usb")
    with box(tmp_path, card, sound=sound) as ours:
        async with ours.adapter:
            ours.adapter.do(OpenSound())
            found = await ours.event(PartFound, PartLost)
            ours.adapter.do(PlayEarcon(Earcon.JOINED))
            ours.connect()
            await ours.blocks(10)
    counts = card.counts()
    assert (type(found), found.part) == (PartFound, part)
    started = counts.microphone_starts, counts.speaker_starts
    assert tuple(map(bool, started)) == starts


async def test_microphone_and_speaker_can_be_two_cards(tmp_path):
    epoch_ns = time.monotonic_ns()
    desk = Card(
        tmp_path / "desk", name="Desk Mic", speaker_channels=0, epoch_ns=epoch_ns
    )
    wall = Card(
        tmp_path / "wall", name="Wall Box", microphone_channels=0, epoch_ns=epoch_ns
    )
    with box(tmp_path, desk, wall) as ours:
        async with ours.adapter:
            ours.adapter.do(OpenSound())
            await ours.opened()
            ours.connect()
            ours.adapter.do(OpenGate())
            await ours.event(FirstBlockSent)
            since_s = wall.now_s()
            ours.adapter.do(PlayEarcon(Earcon.PERMIT))
            await ours.blocks(60)
    assert np.abs(wall.heard(since_s)).max() > 1000


async def test_unplugging_the_microphones_card_does_not_interrupt_the_speakers(
    tmp_path, caplog
):
    caplog.set_level(logging.INFO, "appliance.audio.supervisor")
    desk = Card(tmp_path / "desk", name="Desk Mic", speaker_channels=0)
    wall = Card(tmp_path / "wall", name="Wall Box", microphone_channels=0)
    with box(tmp_path, desk, wall) as ours:
        async with ours.adapter:
            ours.adapter.do(OpenSound())
            await ours.opened()
            talker = Talker(ours.adapter.mixer.add("somebody"))
            with talker:
                before = wall.counts()
                desk.unplug()
                lost = await ours.event(PartLost)
                since_s = wall.now_s()
                await asyncio.sleep(1)
                counts = wall.counts()
    assert (lost.part, lost.name) == (Part.MICROPHONE, "Desk Mic")
    # It is started again after an underrun and with a longer buffer, on a busy machine.
    underruns = counts.underruns - before.underruns
    changes = caplog.text.count("buffer size changed")
    starts = counts.speaker_starts - before.speaker_starts
    assert starts <= underruns + changes, caplog.text
    assert np.abs(wall.heard(since_s)).max() > 1000


async def test_a_card_with_44100_hz_only_keeps_the_pitch_in_both_directions(tmp_path):
    card = Card(tmp_path / "usb", rates_hz=(44_100,), is_looped=True)
    card.speak(tone(1.0, rate_hz=44_100), at_s=0.0)
    with box(tmp_path, card) as ours:
        async with ours.adapter:
            ours.adapter.do(OpenSound())
            await ours.opened()
            ours.connect()
            ours.adapter.do(OpenGate())
            await ours.event(FirstBlockSent)
            await ours.until_sent(1000, blocks=50, within_hz=5)
            since_s = card.now_s()
            ours.adapter.do(PlayEarcon(Earcon.WARNING))
            await ours.blocks(60)
    heard = card.heard(since_s).astype(float)
    at = np.fft.rfftfreq(len(heard), 1 / 44_100)
    assert at[np.argmax(np.abs(np.fft.rfft(heard)))] == pytest.approx(988, abs=15)


async def test_half_duplex_mutes_the_speaker_while_talking(tmp_path):
    card = Card(tmp_path / "usb")
    sound = SoundConfig(half_duplex=True)
    with box(tmp_path, card, sound=sound) as ours:
        async with ours.adapter:
            ours.adapter.do(OpenSound())
            await ours.opened()
            ours.connect()
            ours.adapter.do(OpenGate())
            await ours.event(FirstBlockSent)
            say = ours.adapter.mixer.add("somebody")
            since_s = card.now_s()
            for block in tone(0.5).reshape(-1, BLOCK_FRAMES):
                say(block)
                await ours.blocks(1)
            until_s = card.now_s()
    assert not card.heard(since_s, until_s).any()


CLOSE = CloseGate(tail_ms=150)


@pytest.mark.parametrize(
    "end",
    [
        (CLOSE, PlayEarcon(Earcon.END)),
        (PlayEarcon(Earcon.LOST), CLOSE),
        (CLOSE, PlayEarcon(Earcon.JOINED)),
        (CLOSE, PlayEarcon(Earcon.REFUSED)),
    ],
)
async def test_the_earcons_of_a_talk_are_not_sent_to_the_room(tmp_path, end):
    """A loudspeaker that the microphone hears with 20 dB less."""
    card = Card(tmp_path / "usb", echo_gain=0.1, echo_ms=30)
    with box(tmp_path, card) as ours:
        async with ours.adapter:
            ours.adapter.do(SetVolume(100))
            ours.adapter.do(OpenSound())
            await ours.opened()
            ours.connect()
            since_s = card.now_s()
            ours.adapter.do(OpenGate())
            ours.adapter.do(PlayEarcon(Earcon.PERMIT))
            await ours.event(FirstBlockSent)
            sent = await ours.blocks(40)
            for command in end:
                ours.adapter.do(command)
            await ours.event(TailEnded)
            end_s = card.now_s()
            tail = await ours.blocks(40)
    for played_s in (since_s, end_s):
        heard = np.abs(card.heard(played_s).astype(int))
        assert heard.max() > 5000, "it was played"
    # Without removal 600.
    assert np.abs(sent.astype(int)).max() < 300
    assert np.sqrt((sent.astype(float) ** 2).mean()) < 40
    assert np.abs(tail.astype(int)).max() < 100


@pytest.mark.parametrize("earcon", list(SENT_TONES))
async def test_an_earcon_that_is_removed_from_what_is_sent_is_played_soon_or_never(
    tmp_path, earcon
):
    with box(tmp_path) as ours:
        ours.adapter.do(PlayEarcon(earcon))
        await asyncio.sleep(ECHO_S)
        assert ours.adapter.mixer.next() is None
        ours.adapter.do(PlayEarcon(earcon))
        assert ours.adapter.mixer.next() is not None


async def test_levels_follow_the_sound(tmp_path):
    card = Card(tmp_path / "usb", is_looped=True)
    card.speak(tone(1.0), at_s=0.0)
    with box(tmp_path, card) as ours:
        async with ours.adapter:
            ours.adapter.do(OpenSound())
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    levels = await ours.event(LevelsMeasured)
                    if levels.microphone_dbfs == pytest.approx(-15, abs=3):
                        break
    assert levels.is_voice


async def test_a_closed_adapter_releases_the_card(tmp_path):
    card = Card(tmp_path / "usb")
    with box(tmp_path, card) as ours:
        async with ours.adapter:
            ours.adapter.do(OpenSound())
            await ours.opened()
            ours.adapter.do(CloseSound())
            frames = -1
            while frames != (frames := card.counts().microphone_frames):
                await asyncio.sleep(0.6)
            assert ours.adapter.is_alive()
            ours.adapter.do(OpenSound())
            await ours.opened()
            assert ours.adapter.figures().blocks


async def test_python_work_in_other_threads_causes_no_xruns(tmp_path):
    card = Card(tmp_path / "usb")
    with box(tmp_path, card) as ours:
        async with ours.adapter:
            ours.adapter.do(OpenSound())
            await ours.opened()
            lost = [await lost_at_work(card) for _ in range(4)]
    # A shared machine may stall in one of these seconds, but not in all.
    assert min(lost) <= FEW


async def lost_at_work(card: Card) -> int:
    """Return the underruns of the speaker during a second of work."""
    before = card.counts()
    worker = threading.Thread(target=work, args=(1.0,))
    worker.start()
    await asyncio.to_thread(worker.join)
    return card.counts().underruns - before.underruns


def work(seconds: float) -> None:
    """Work in slices of 30 ms, as rendering a page or a picture does."""
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        rest_s = time.monotonic() + 0.03
        while time.monotonic() < rest_s:
            sum(range(50))
        threading.Event().wait(0.02)


def test_the_shared_silence_block_is_read_only():
    with pytest.raises(ValueError, match="read-only"):
        SILENCE[0] = 1


ADAPTER = """
from pathlib import Path
from appliance.audio.adapter import AudioAdapter
from appliance.audio.echo_cancellation import CaptureProcessing
from appliance.audio.portaudio import PortAudio
from appliance.config import Config

AudioAdapter(Config(), print, PortAudio, CaptureProcessing(None, None))
print("libasound" in Path("/proc/self/maps").read_text())
"""
"""Prints whether libasound is loaded before a card is opened."""


def test_libasound_is_not_loaded_before_a_card_is_opened():
    done = subprocess.run(
        [sys.executable, "-c", ADAPTER], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


async def test_a_level_that_cannot_be_set_is_a_notice(tmp_path):
    # The virtual card is not one of the kernel's, and has no mixer.
    sound = SoundConfig(mixer=MixerConfig(speaker=90))
    with box(tmp_path, Card(tmp_path / "card"), sound=sound) as ours:
        async with ours.adapter:
            ours.adapter.do(OpenSound())
            notice = ""
            while notice != fault_table.NO_MIXER.text(direction="speaker"):
                notice = (await ours.event(PartFound)).notice
