import threading
from dataclasses import replace

import numpy as np
import pytest

from appliance.audio.devices import Device, chosen, listed
from appliance.audio.driver import StreamRequest
from appliance.audio.idle import IdleWindow
from appliance.demo.card import Mouth, SimulatedCard
from appliance.demo.phrase import synthesised
from appliance.errors import SoundError

PHRASE = synthesised()[:24_000]
DEADLINE_S = 20.0


def wanted(device=None, blocksize=240, latency_s=0.005, rate_hz=48_000):
    card = SimulatedCard(Mouth(), lambda *_: None)
    device = device or listed(card.devices())[0]
    return StreamRequest(device, device, rate_hz, blocksize, latency_s)


class Application:
    """Passes what the microphone hears on to the speaker, and keeps both."""

    def __init__(self, blocks):
        self.idle_window = IdleWindow()
        self.heard = []
        self.played = []
        self.threads = set()
        self.is_enough = threading.Event()
        self._blocks = blocks

    def call(self, heard, played, frames, status):
        assert len(heard) == len(played) == 2 * frames
        assert not status
        self.threads.add(threading.current_thread().name)
        self.heard.append(np.frombuffer(bytes(heard), np.int16))
        played[:] = heard

    def hear(self, at_s, block):
        self.played.append((at_s, block))
        if len(self.played) >= self._blocks:
            self.is_enough.set()

    def run(self, mouth, **wishes):
        card = SimulatedCard(mouth, self.hear)
        stream = card.open(wanted(**wishes), self)
        stream.start()
        assert self.is_enough.wait(DEADLINE_S)
        stream.close()
        stream.close()
        assert not stream.is_running
        return stream


@pytest.mark.parametrize(("blocksize", "latency_s"), [(240, 0.005), (480, 0.04)])
def test_what_is_said_comes_out_of_the_speaker_whole(blocksize, latency_s):
    mouth = Mouth()
    speech = mouth.say(PHRASE, 0.0)
    application = Application(80)
    application.run(mouth, blocksize=blocksize, latency_s=latency_s)
    heard = np.concatenate(application.heard)
    assert (heard[: len(PHRASE)][: len(heard)] == PHRASE[: len(heard)]).all()
    played = np.concatenate([block for _, block in application.played])
    assert (played == heard[: len(played)]).all()
    assert {len(block) for block in application.heard} == {blocksize}
    assert speech.began_s is not None


def test_a_sample_is_played_twice_the_latency_after_it_was_spoken():
    mouth = Mouth()
    speech = mouth.say(PHRASE, 0.0)
    application = Application(10)
    application.run(mouth, latency_s=0.02)
    assert speech.began_s is not None
    at_s, block = application.played[0]
    assert block[0] == PHRASE[0]
    # Later only where the machine was too busy.
    assert at_s >= speech.began_s + 2 * 0.02 - 1e-6


def test_every_callback_is_on_one_thread_that_ends_with_the_stream():
    application = Application(5)
    application.run(Mouth())
    assert application.threads == {"simulated card"}
    assert "simulated card" not in {x.name for x in threading.enumerate()}


def test_a_speech_begins_at_its_moment_to_the_sample():
    mouth = Mouth()
    speech = mouth.say(PHRASE, 10.0)
    assert not mouth.spoken(480, 9.98).any()
    block = mouth.spoken(480, 9.995)
    assert not block[:240].any()
    assert (block[240:] == PHRASE[:240]).all()
    assert speech.began_s == pytest.approx(10.0)
    assert (mouth.spoken(480, 10.005) == PHRASE[240:720]).all()
    assert speech.ends_s == pytest.approx(10.5)
    assert speech.left_s == pytest.approx(0.5 - 0.015)


def test_after_the_speech_there_is_silence():
    mouth = Mouth()
    speech = mouth.say(PHRASE[:100], 0.0)
    assert mouth.spoken(480, 1.0)[:100].any()
    assert speech.is_over
    assert not mouth.spoken(480, 1.01).any()


def test_the_card_is_chosen_by_those_who_wish_for_nothing():
    devices = listed(SimulatedCard(Mouth(), lambda *_: None).devices())
    microphone = chosen((), devices, "microphone")
    assert microphone == chosen((), devices, "speaker")
    assert microphone.name == "Simulated USB sound card"
    assert not microphone.is_shared


@pytest.mark.parametrize(
    "asked",
    [
        wanted(rate_hz=44_100),
        wanted(device=Device(0, "Another card", 1, 2, 48_000)),
        replace(wanted(), microphone=None),
        replace(wanted(), speaker=None),
    ],
)
def test_what_the_card_has_not_is_refused_as_portaudio_would(asked):
    card = SimulatedCard(Mouth(), lambda *_: None)
    assert card.can(wanted())
    assert not card.can(asked)
    with pytest.raises(SoundError):
        card.open(asked, Application(1))
