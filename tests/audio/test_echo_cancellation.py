"""Test of the echo cancellation: speaker coupled to the microphone."""

import asyncio
import time

import numpy as np
import pytest

from appliance.audio.adapter import AudioAdapter
from appliance.audio.capture_processing import CaptureProcessing
from appliance.audio.dsp import level_dbfs
from appliance.audio.portaudio import PortAudio
from appliance.config import Config, SoundConfig
from appliance.core.commands import OpenGate, OpenSound, SetVolume
from appliance.core.events import PartFound
from appliance.pcm import BLOCK_FRAMES
from appliance.room.apm import echo_canceller, voice_cleaner
from tests.card.asound import Card, plug_in
from tests.card.sounddevice_access import environment

SECONDS = 3
TRIES = 3
"""A stall of the machine may disturb the canceller, which needs a second to adapt. One
success of several attempts is enough."""
PATIENCE_S = 60.0
"""Time for further attempts, if the card had xruns in those that failed: each shifts
the echo."""


def speech_like():
    """Return band-limited noise with the envelope of syllables."""
    count = SECONDS * 48_000
    spectrum = np.fft.rfft(np.random.default_rng(1).normal(size=count))
    at = np.fft.rfftfreq(count, 1 / 48_000)
    spectrum[(at < 150) | (at > 3500)] = 0
    syllables = np.sin(2 * np.pi * 3 * np.arange(count) / 48_000) > -0.3
    samples = np.fft.irfft(spectrum) * syllables
    return (samples / np.abs(samples).max() * 20_000).astype(np.int16)


async def echo_dbfs(config: SoundConfig) -> float:
    """Return the level of the echo sent in the last second."""
    opened, sent = asyncio.Event(), []
    loop = asyncio.get_running_loop()

    def post(event: object) -> None:
        if isinstance(event, PartFound):
            loop.call_soon_threadsafe(opened.set)

    processing = CaptureProcessing(echo_canceller(config), voice_cleaner(config))
    adapter = AudioAdapter(Config(sound=config), post, PortAudio, processing)
    async with adapter:
        adapter.do(SetVolume(100))
        adapter.do(OpenSound())
        adapter.do(OpenGate())
        await opened.wait()
        say = adapter.mixer.add("far end")
        adapter.encoder_feed.connect(lambda block: sent.append(block.copy()))
        begun_s = time.monotonic()
        for count, block in enumerate(speech_like().reshape(-1, BLOCK_FRAMES)):
            say(block)
            await asyncio.sleep(max(0, begun_s + count / 100 - time.monotonic()))
        adapter.encoder_feed.disconnect()
    return level_dbfs(np.concatenate(sent[-100:]))


def count_of_xruns(card):
    counts = card.counts()
    return counts.overruns + counts.underruns


@pytest.mark.parametrize("echo_ms", [30, 120])
async def test_echo_cancellation_removes_the_speakers_sound_from_the_sent_sound(
    tmp_path, echo_ms
):
    card = Card(tmp_path / "usb", echo_gain=0.3, echo_ms=echo_ms)
    ends_s, tries = time.monotonic() + PATIENCE_S, 0
    off = SoundConfig(
        echo_cancellation=False,
        noise_suppression=False,
        high_pass_filter=False,
        automatic_gain=False,
    )
    only_echo = SoundConfig(
        noise_suppression=False, high_pass_filter=False, automatic_gain=False
    )
    with environment(plug_in(tmp_path / "asound.conf", card)):
        before = await echo_dbfs(off)
        assert before > -45, "the card really has an echo"
        while tries < TRIES and time.monotonic() < ends_s:
            xruns = count_of_xruns(card)
            after = await echo_dbfs(only_echo)
            if after < before - 20:
                return
            tries += count_of_xruns(card) == xruns
    pytest.fail(f"{before:.0f} dBFS without and {after:.0f} with echo cancellation")
