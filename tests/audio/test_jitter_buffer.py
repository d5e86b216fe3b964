"""Tests of the jitter buffer between two simulated clocks."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audio.dsp import interpolated
from appliance.audio.jitter_buffer import (
    CORRECTION_BLOCKS,
    CORRECTION_FRAMES,
    DEEPEST_BLOCKS,
    MARGIN_FRAMES,
    MAX_MARGIN_FRAMES,
    MAX_MEMORY_FRAMES,
    MAX_ONCE_FRAMES,
    MIN_MEMORY_FRAMES,
    MOVED_FRAMES,
    REPEATED_FRAMES,
    SIZE_BLOCKS,
    DelayControl,
    JitterBuffer,
    RingBuffer,
)
from appliance.metrics.counters import AudioFault
from appliance.pcm import BLOCK_FRAMES, RATE_HZ, SILENCE

TONE_HZ = 440.0


class Buffer(JitterBuffer):
    """Jitter buffer with its faults."""

    def __init__(self) -> None:
        self.faults: Counter[AudioFault] = Counter()
        super().__init__(self.faults)

    @property
    def underruns(self) -> int:
        return self.faults[AudioFault.UNDERFLOW]

    @property
    def overruns(self) -> int:
        return self.faults[AudioFault.OVERFLOW]


def tone(first: int, frames: int = BLOCK_FRAMES) -> np.ndarray:
    at = (first + np.arange(frames)) / RATE_HZ
    return np.round(8000 * np.sin(2 * np.pi * TONE_HZ * at)).astype(np.int16)


@dataclass
class Run:
    """Results of a simulated minute."""

    delays_s: list[float]
    heard: np.ndarray
    jitter_buffer: Buffer


def run(
    seconds: float,
    ppm: float = 0.0,
    lateness_s: tuple[float, ...] = (0.0,),
    phase_s: float = 0.004,
    *,
    jitter_buffer: Buffer | None = None,
    has_pauses: bool = False,
) -> Run:
    """Simulate a writer with a block every 10 ms and some jitter, and a reader.

    With pauses there is a second of silence after each second of sound.
    """
    jitter_buffer = jitter_buffer or Buffer()
    period_s = 0.01 / (1 + ppm / 1e6)
    written = 0
    delays, heard = [], []
    for count in range(int(seconds / period_s)):
        now_s = phase_s + count * period_s
        while (
            due_s := written * 0.01 + lateness_s[written % len(lateness_s)]
        ) <= now_s:
            is_pause = has_pauses and written // 100 % 2
            jitter_buffer.write(
                SILENCE if is_pause else tone(written * BLOCK_FRAMES), due_s
            )
            written += 1
        block = jitter_buffer.read(now_s)
        heard.append(np.zeros(BLOCK_FRAMES) if block is None else block.copy())
        delays.append(jitter_buffer.depth_s + now_s - written * 0.01)
    return Run(delays, np.concatenate(heard), jitter_buffer)


def quietest_10_ms_after(heard: np.ndarray, seconds: float) -> float:
    blocks = heard[int(seconds * RATE_HZ) :]
    blocks = blocks[: len(blocks) // 480 * 480].reshape(-1, 480)
    return float(np.sqrt((blocks**2).mean(axis=1)).min())


@pytest.mark.parametrize("ppm", [-200, -20, 0, 20, 200])
def test_clock_drift_changes_neither_the_delay_nor_loses_sound(ppm):
    result = run(60, ppm)
    late = result.delays_s[len(result.delays_s) // 10 :]
    assert max(late) - min(late) < 0.001
    assert result.jitter_buffer.underruns == 0
    assert quietest_10_ms_after(result.heard, 1) > 5000


@pytest.mark.parametrize("ppm", [-60, 60])
def test_usual_clock_drift_is_corrected_rarely_and_by_less_than_a_cent_of_pitch(
    ppm, monkeypatch
):
    rates: list[float] = []

    def noted(window, fraction, rate):
        rates.append(rate)
        return interpolated(window, fraction, rate)

    monkeypatch.setattr("appliance.audio.jitter_buffer.interpolated", noted)
    result = run(60, ppm)
    later = np.abs(rates[1000:])
    assert 0 < later.max() < 2 ** (1 / 1200) - 1
    assert np.mean(later > 0) < 0.2
    assert result.jitter_buffer.drift_ppm == pytest.approx(ppm, abs=20)


def test_drift_is_measured_in_pauses_too():
    result = run(60, 100, has_pauses=True)
    assert result.jitter_buffer.drift_ppm == pytest.approx(100, abs=30)


@pytest.mark.parametrize("phase_s", [0.0001, 0.003, 0.0099])
def test_the_delay_does_not_depend_on_the_phase_of_writer_and_reader(phase_s):
    result = run(10, phase_s=phase_s)
    assert result.delays_s[-1] == pytest.approx(0.005, abs=0.0006)


def pass_window(delay_control, delay_frames, spare_frames=0):
    """Read the blocks of a window, each with this delay."""
    for _ in range(CORRECTION_BLOCKS):
        is_complete = delay_control.note(delay_frames, spare_frames)
    assert is_complete


def test_a_gap_cancels_a_pending_correction_of_the_delay():
    delay_control = DelayControl()
    pass_window(delay_control, delay_control.target + 2 * MOVED_FRAMES)
    assert delay_control.end_window(is_silent=False) == 0
    assert delay_control.rate == MOVED_FRAMES / CORRECTION_FRAMES
    delay_control.restart()
    assert delay_control.rate == 0


def test_the_delay_does_not_depend_on_the_initial_fill_level():
    jitter_buffer = Buffer()
    for count in range(DEEPEST_BLOCKS):
        jitter_buffer.write(tone(count * BLOCK_FRAMES), 0.0)
    for count in range(3000):
        now_s = 0.001 + count * 0.01
        jitter_buffer.read(now_s)
        jitter_buffer.write(
            tone((count + DEEPEST_BLOCKS) * BLOCK_FRAMES), now_s + 0.009
        )
    assert jitter_buffer.depth_s < 0.025
    assert jitter_buffer.underruns == 0


def test_silence_is_used_to_reach_the_target_delay_at_once():
    jitter_buffer = Buffer()
    quiet = np.zeros(BLOCK_FRAMES, np.int16)
    for _ in range(8):
        jitter_buffer.write(quiet, 0.0)
    for count in range(60):
        assert jitter_buffer.read(0.01 * count + 0.001) is None
        jitter_buffer.write(quiet, 0.01 * count + 0.01)
    assert jitter_buffer.depth_s < 0.025


def test_speech_after_a_long_silence_and_a_gap_is_played_from_the_first_sample():
    jitter_buffer = Buffer()
    now_s, heard = 0.0, []
    for _ in range(100):
        jitter_buffer.write(SILENCE, now_s)
        jitter_buffer.read(now_s + 0.004)
        now_s += 0.01
    for _ in range(7):
        assert jitter_buffer.read(now_s) is None
        now_s += 0.01
    for count in range(10):
        jitter_buffer.write(tone(count * BLOCK_FRAMES) if count < 5 else SILENCE, now_s)
        part = jitter_buffer.read(now_s + 0.004)
        heard.append(part if part is None else part.copy())
        now_s += 0.01
    loud = np.concatenate([part for part in heard if part is not None])
    assert np.count_nonzero(loud) > 4.9 * BLOCK_FRAMES
    assert jitter_buffer.underruns == 0


@pytest.mark.parametrize("phase_s", [0.0001, 0.003, 0.0099])
@pytest.mark.parametrize("quiet_s", [0.5, 600.0])
def test_the_first_word_after_a_silence_has_the_target_delay(phase_s, quiet_s):
    jitter_buffer = Buffer()
    for count in range(60):
        jitter_buffer.write(SILENCE, 0.01 * count)
        jitter_buffer.read(0.01 * count + phase_s)
    assert jitter_buffer.is_idle
    assert jitter_buffer.depth_s == 0
    # An idle buffer is not read.
    for count in range(60, round(100 * quiet_s)):
        jitter_buffer.write(SILENCE, 0.01 * count)
    heard, first = [], round(100 * quiet_s)
    for count in range(first, first + 8):
        jitter_buffer.write(tone((count - first) * BLOCK_FRAMES), 0.01 * count)
        part = jitter_buffer.read(0.01 * count + phase_s)
        heard.append(np.zeros(BLOCK_FRAMES) if part is None else part.copy())
    begun = np.flatnonzero(np.abs(np.concatenate(heard)) > 400)[0]
    delay_s = begun / RATE_HZ + phase_s
    assert delay_s == pytest.approx(0.015, abs=0.0002)
    assert jitter_buffer.underruns == jitter_buffer.overruns == 0


def test_late_blocks_increase_the_delay_until_underruns_stop():
    result = run(60, lateness_s=(0.0, 0.0, 0.018, 0.008, 0.0))
    assert result.jitter_buffer.underruns < 8
    assert quietest_10_ms_after(result.heard, 30) > 5000


def test_a_tone_is_resampled_without_audible_distortion():
    result = run(30, ppm=150)
    steady = result.heard[20 * RATE_HZ :][: 8 * RATE_HZ] * np.hanning(8 * RATE_HZ)
    power = np.abs(np.fft.rfft(steady)) ** 2
    at = np.argmax(power)
    # 20 Hz to each side: the drift is corrected in inaudible steps.
    band = slice(at - 160, at + 161)
    noise_db = 10 * np.log10((power.sum() - power[band].sum()) / power[band].sum())
    assert noise_db < -60


def test_a_talker_who_stops_is_faded_out_and_can_resume():
    jitter_buffer = Buffer()
    for count in range(3):
        jitter_buffer.write(tone(count * BLOCK_FRAMES), 0.01 * count)
    heard = [jitter_buffer.read(0.021 + 0.01 * count) for count in range(6)]
    assert heard[0] is not None
    assert heard[-1] is None
    for count in range(3):
        jitter_buffer.write(tone(count * BLOCK_FRAMES), 1.0)
    assert jitter_buffer.read(1.0) is not None


def test_a_burst_after_an_outage_is_cut_to_the_newest_sound():
    jitter_buffer = Buffer()
    jitter_buffer.read(0.0)
    for count in range(14):
        jitter_buffer.write(tone(count * BLOCK_FRAMES), 0.0)
    jitter_buffer.read(0.001)
    assert jitter_buffer.overruns == 1
    assert jitter_buffer.depth_s < 0.03


@pytest.mark.parametrize("was_heard", [False, True])
def test_what_is_said_while_no_speaker_plays_adds_no_delay(was_heard):
    jitter_buffer = Buffer()
    for count in range(100):
        said = tone(count * BLOCK_FRAMES) if was_heard else SILENCE
        jitter_buffer.write(said, 0.01 * count)
        jitter_buffer.read(0.01 * count + 0.004)
    assert jitter_buffer.is_idle is not was_heard
    for count in range(100, 310):
        jitter_buffer.write(tone(count * BLOCK_FRAMES), 0.01 * count)
        heard = jitter_buffer.read(0.01 * count + 0.004) if count > 300 else None
    assert heard is not None
    assert jitter_buffer.depth_s < 0.03


def test_what_follows_a_cut_fades_in():
    jitter_buffer = Buffer()
    for count in range(3):
        jitter_buffer.write(tone(count * BLOCK_FRAMES), 0.0)
    before = jitter_buffer.read(0.001)
    assert before is not None
    assert before.any()
    for count in range(3, 17):
        jitter_buffer.write(tone(count * BLOCK_FRAMES), 0.01)
    after = jitter_buffer.read(0.011)
    assert jitter_buffer.overruns == 1
    assert after is not None
    assert abs(after[0]) < 100
    assert np.abs(np.diff(after)).max() < 1000


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 6), st.booleans()), max_size=80
    )
)
def test_the_fill_level_is_bounded_and_the_output_valid_for_any_two_clocks(turns):
    jitter_buffer = Buffer()
    count = 0
    for end_window, (writes, reads, is_loud) in enumerate(turns):
        now_s = end_window * 0.01
        for _ in range(writes):
            jitter_buffer.write(
                tone(count * BLOCK_FRAMES) if is_loud else tone(0) * 0, now_s
            )
            count += 1
        for _ in range(reads):
            block = jitter_buffer.read(now_s)
            if block is None:
                continue
            assert block.shape == (BLOCK_FRAMES,)
            assert block.dtype == np.float32
            assert np.abs(block).max() <= 8100
            assert jitter_buffer.depth_s <= DEEPEST_BLOCKS * 0.01


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 2 * SIZE_BLOCKS)),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from([0.0, 300.0]),
)
def test_the_shared_silence_block_is_read_like_any_block_of_zeros(story, ppm):
    """Stories of talk and pauses in blocks, with and without a fast card."""
    known, any_other = Buffer(), Buffer()
    blocks = [is_loud for is_loud, count in story for _ in range(count)]
    for place, is_loud in enumerate(blocks):
        at_s = place * 0.01
        known.write(tone(place * 480) if is_loud else SILENCE, at_s)
        any_other.write(tone(place * 480) if is_loud else SILENCE.copy(), at_s)
        now_s = at_s * (1 - ppm / 1e6) + 0.004
        one, other = known.read(now_s), any_other.read(now_s)
        assert (one is None) == (other is None)
        assert one is None or other is None or (one == other).all()


def test_a_buffer_without_new_packets_becomes_idle():
    jitter_buffer = Buffer()
    jitter_buffer.read(100.0)
    assert jitter_buffer.is_idle
    for count in range(3):
        jitter_buffer.write(tone(count * BLOCK_FRAMES), 100.0 + 0.01 * count)
    for count in range(40):
        jitter_buffer.read(100.021 + 0.01 * count)
    assert jitter_buffer.is_idle
    assert jitter_buffer.depth_s == 0


def hiccups(every_s: float, length_s: float, minutes: float) -> Buffer:
    """Simulate steady speech whose blocks are held up for a moment now and then."""
    jitter_buffer = Buffer()
    written = 0
    for count in range(int(minutes * 6000)):
        now_s = count * 0.01 + 0.004
        while written * 0.01 <= now_s:
            due_s = written * 0.01
            into_s = due_s % every_s
            if due_s > 1.0 and into_s < length_s and now_s < due_s + length_s - into_s:
                break
            jitter_buffer.write(tone(written * BLOCK_FRAMES), now_s)
            written += 1
        jitter_buffer.read(now_s)
    return jitter_buffer


@pytest.mark.parametrize("length_s", [0.015, 0.025, 0.04])
def test_a_hiccup_every_half_minute_is_heard_once_or_twice_and_then_covered(length_s):
    assert 1 <= hiccups(30.0, length_s, minutes=5).underruns <= 2


def raised(missing_frames):
    """Return a control after a gap that soon followed another."""
    control = DelayControl()
    control.raise_margin(0.0)
    control.raise_margin(missing_frames)
    return control


@pytest.mark.parametrize(
    ("interval_s", "memory_s"), [(0.5, 5.0), (10.0, 30.0), (60.0, 180.0)]
)
def test_the_margin_is_what_was_missing_and_is_kept_for_three_intervals(
    interval_s, memory_s
):
    control = DelayControl()
    control.raise_margin(0.0)
    control.pass_time(interval_s * RATE_HZ)
    control.raise_margin(300.0)
    assert control.margin == MARGIN_FRAMES + 300
    control.pass_time(memory_s * RATE_HZ - 1)
    assert control.margin == MARGIN_FRAMES + 300
    control.pass_time(1)
    assert control.margin == MARGIN_FRAMES


@pytest.mark.parametrize(
    ("missing_frames", "raised_frames"),
    [(300.0, 300), (2000.0, MAX_ONCE_FRAMES), (50_000.0, MARGIN_FRAMES)],
)
def test_a_single_gap_costs_ten_milliseconds_of_delay_at_most(
    missing_frames, raised_frames
):
    """It may be the only one, as of a compiler that starts beside a conversation."""
    control = DelayControl()
    control.raise_margin(missing_frames)
    control.pass_time(MAX_MEMORY_FRAMES - 1)
    assert control.margin == MARGIN_FRAMES + raised_frames
    control.pass_time(1)
    assert control.margin == MARGIN_FRAMES


def test_the_longest_interval_of_a_series_of_gaps_counts():
    """Two gaps in quick succession every half minute are covered, too."""
    control = DelayControl()
    for interval_s in (0.0, 30.0, 0.5):
        control.pass_time(round(interval_s * RATE_HZ))
        control.raise_margin(500.0)
    control.pass_time(89 * RATE_HZ)
    assert control.margin > MARGIN_FRAMES


def test_gaps_more_than_a_minute_apart_are_single_ones():
    control = DelayControl()
    for _ in range(3):
        before = control.margin
        control.raise_margin(2000.0)
        assert control.margin == before + MAX_ONCE_FRAMES
        control.pass_time(REPEATED_FRAMES + 1)


def test_a_busy_phase_costs_nothing_a_few_seconds_after_its_end():
    control = DelayControl()
    for _ in range(30):
        control.pass_time(RATE_HZ)
        control.raise_margin(1000.0)
    assert control.margin == MAX_MARGIN_FRAMES
    control.pass_time(MIN_MEMORY_FRAMES)
    assert control.margin == MARGIN_FRAMES


def test_words_shorter_than_a_window_end_the_memory_too():
    control = raised(MAX_MARGIN_FRAMES)
    assert control.margin == MAX_MARGIN_FRAMES
    word_blocks = CORRECTION_BLOCKS // 5
    for _ in range(MIN_MEMORY_FRAMES // (word_blocks * BLOCK_FRAMES)):
        for _ in range(word_blocks):
            control.note(control.target, MAX_MARGIN_FRAMES)
        control.restart()
    assert control.margin == MARGIN_FRAMES


def test_what_was_needed_is_kept_when_the_memory_ends():
    control = raised(1000.0)
    pass_window(control, control.target, spare_frames=200)
    control.end_window(is_silent=False)
    control.pass_time(MIN_MEMORY_FRAMES)
    assert control.margin > MARGIN_FRAMES + 800


def test_faint_noise_around_the_level_of_silence_is_not_chopped():
    """Of a noise floor some blocks peak above -60 dBFS and some below."""
    random = np.random.default_rng(1)
    jitter_buffer, heard = Buffer(), []
    for count in range(600):
        noise = random.normal(scale=10.5, size=BLOCK_FRAMES).astype(np.int16)
        jitter_buffer.write(noise, count * 0.01)
        block = jitter_buffer.read(count * 0.01 + 0.004)
        if count > 100:
            heard.append(block is not None)
    assert np.count_nonzero(np.diff(heard)) <= 2
    assert np.mean(heard) > 0.9


def test_a_partly_written_block_does_not_end_the_idle_state(monkeypatch):
    seen = []

    class Slow(RingBuffer):
        def write(self, block):
            seen.append(jitter_buffer.read(100.0))
            super().write(block)

    monkeypatch.setattr("appliance.audio.jitter_buffer.RingBuffer", Slow)
    jitter_buffer = Buffer()
    jitter_buffer.read(100.0)
    assert jitter_buffer.is_idle
    jitter_buffer.write(tone(0), 100.0)
    assert seen == [None]
    assert jitter_buffer.underruns == 0
    heard = [jitter_buffer.read(at_s) for at_s in (100.001, 100.011)]
    assert any(part is not None and part.any() for part in heard)
