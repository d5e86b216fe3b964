"""Nobody speaks: the callbacks count, and nothing that follows is lost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.ports import SILENCE
from appliance.sound.beat import Beat
from appliance.sound.callback import Duplex, Microphone
from appliance.sound.playout import Playout
from appliance.sound.reference import Reference
from appliance.sound.ring import SIZE_BLOCKS

RATE_HZ = 48_000
PERIOD = 240
PACKET_PERIODS = 4


class Ear:
    """Knows every block by the value of its samples; what was passed over is 0."""

    def __init__(self):
        self.heard = np.zeros(0, np.int16)
        self.hushes = 0
        self.spare_packets = 1

    def put(self, microphone, played):
        self.heard = np.concatenate((self.heard, microphone))

    def hush(self, packets):
        self.hushes += packets
        self.heard = np.concatenate((self.heard, np.zeros(packets * 960, np.int16)))


class Bench:
    """A duplex callback as PortAudio's thread runs it, period by period."""

    def __init__(self, playout=None):
        self.ear = Ear()
        self.playout = playout or Playout()
        self.beat = Beat(RATE_HZ)
        self.duplex = Duplex(self.playout, self.ear, self.beat)
        self.periods = 0
        self.looked_at = 0

    def period(self, status=0):
        """Run one period, in which the microphone hears its number."""
        self.periods += 1
        lull = self.duplex.lull
        if lull.left and not status and not lull.is_over:
            lull.left -= 1
            return None
        self.looked_at += 1
        heard = np.full(PERIOD, self.periods, np.int16)
        played = memoryview(bytearray(b"x" * PERIOD * 4))
        self.duplex.call(memoryview(heard.tobytes()), played, PERIOD, status)
        return np.frombuffer(played, np.int16)[::2]

    def run(self, periods):
        return [self.period() for _ in range(periods)]


def test_in_a_lull_one_period_of_a_packet_is_looked_at_and_every_packet_counted():
    bench = Bench()
    bench.run(2 + 40 * PACKET_PERIODS)
    assert bench.looked_at == 2 + 40
    assert bench.ear.hushes == 40
    assert len(bench.ear.heard) == bench.beat.frames == bench.periods * PERIOD


def test_the_speaker_is_given_silence_by_the_periods_that_are_looked_at():
    played = [each for each in Bench().run(60) if each is not None]
    assert len(played) > 10
    assert not any(each.any() for each in played)


@pytest.mark.parametrize("passed", range(PACKET_PERIODS + 1))
def test_from_a_press_on_every_period_is_heard_at_its_place(passed):
    bench = Bench()
    bench.run(2 + PACKET_PERIODS + passed)
    bench.ear.spare_packets = 0
    bench.playout.lull.end()
    first = bench.periods + 1
    bench.run(8 * PACKET_PERIODS)
    heard = bench.ear.heard
    numbers = heard[(first - 1) * PERIOD :: PERIOD]
    assert len(numbers) >= 8 * PACKET_PERIODS - 1
    assert (numbers == range(first, first + len(numbers))).all()
    assert not heard[2 * PERIOD : (first - 1) * PERIOD].any()


def test_what_the_card_loses_is_counted_in_a_lull_too():
    bench = Bench()
    bench.run(3)
    bench.period(status=4)
    assert bench.beat.xruns == 1
    bench.run(40)
    assert bench.beat.frames >= (bench.periods - PACKET_PERIODS) * PERIOD


@pytest.mark.parametrize("is_press", [True, False])
def test_who_speaks_while_a_lull_is_being_begun_is_not_overlooked(is_press):
    """The last moment: everybody was asked already, and the lull has not begun."""

    class Late(Ear):
        @property
        def spare_packets(self):
            if is_press:
                bench.playout.lull.end()
            else:
                write(np.full(480, 5000, np.int16))
            return 1

        @spare_packets.setter
        def spare_packets(self, _):
            pass

    bench = Bench()
    write = bench.playout.add("ann")
    for _ in range(2 * SIZE_BLOCKS):
        write(SILENCE)
        bench.run(2)
    bench.duplex._gather._ear = Late()
    bench.run(PACKET_PERIODS)
    assert bench.duplex.lull.is_over


def test_a_talker_is_heard_from_the_first_sample_after_a_lull():
    bench = Bench()
    bench.playout.set_volume(100)
    write = bench.playout.add("ann")
    for _ in range(100):
        write(SILENCE)
        bench.run(2)
    assert bench.duplex.lull.left or bench.ear.hushes
    played = []
    for count in range(10):
        write(np.full(480, 3000, np.int16) if count < 5 else SILENCE)
        played += bench.run(2)
    loud = np.concatenate([each for each in played if each is not None])
    assert np.count_nonzero(loud) > 4.9 * 480


def test_an_earcon_ends_a_lull():
    bench = Bench()
    bench.run(3)
    bench.playout.play(np.full(480, 4000, np.float32))
    assert bench.period().any()


def test_noise_below_hearing_does_not_end_a_lull():
    bench = Bench()
    write = bench.playout.add("ann")
    for _ in range(2 * SIZE_BLOCKS):
        write(np.full(480, 3, np.int16))
        bench.run(2)
    looked_at = bench.looked_at
    for _ in range(40):
        write(np.full(480, 3, np.int16))
        bench.run(2)
    assert bench.looked_at - looked_at <= 80 / PACKET_PERIODS + 1


def test_a_microphone_without_a_speaker_rests_too():
    ear, playout, beat = Ear(), Playout(), Beat(RATE_HZ)
    microphone = Microphone(playout, Reference(), ear, beat)
    for _ in range(2 + 5 * PACKET_PERIODS):
        if microphone.lull.left:
            microphone.lull.left -= 1
            continue
        sound = memoryview(bytes(PERIOD * 2))
        microphone.call(sound, memoryview(b""), PERIOD, 0)
    assert ear.hushes == 5


@given(
    st.lists(
        st.sampled_from(["press", "xrun", "earcon", "busy", "free", ""]), max_size=120
    )
)
def test_whatever_happens_the_microphone_keeps_its_place(story):
    bench = Bench()
    for word in story:
        if word == "press":
            bench.playout.lull.end()
        if word == "earcon":
            bench.playout.play(np.full(100, 4000, np.float32))
        if word in {"busy", "free"}:
            bench.ear.spare_packets = len(story) % 5 if word == "free" else 0
        bench.period(status=4 if word == "xrun" else 0)
    bench.ear.spare_packets = 0
    bench.playout.lull.end()
    bench.run(2 * PACKET_PERIODS)
    heard = bench.ear.heard
    assert 0 <= bench.periods * PERIOD - len(heard) < 480
    numbers = heard[::PERIOD]
    right = np.arange(1, len(numbers) + 1)
    assert ((numbers == right) | (numbers == 0)).all()
    assert (numbers[-4:] == right[-4:]).all()
