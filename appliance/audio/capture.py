"""Conversion of the card's periods into 10 ms blocks, with correction of its clock."""

from collections.abc import Callable
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from appliance.audio.driver import SAMPLE_BYTES, Raw
from appliance.audio.dsp import BLOCK_FRAMES, RATE_HZ, Resampler, faded_in
from appliance.audio.stream_clock import GONE_S, StreamClock
from appliance.pcm import SILENCE, Block

TOLERATED_OFFSET_S: Final = 0.004
"""Tolerated offset between the card's clock and the monotonic clock. Well above half a
period of 5 ms, so that a correction by one period is not corrected back."""
MAX_CORRECTED_OFFSET_S: Final = 0.02
"""An offset that accumulates only in minutes without a pause: the receivers' buffers
have followed it by then, so it is accepted instead of corrected."""
PAUSE_FRAMES: Final = 2 * RATE_HZ
"""Interval between two corrections. It exceeds the history of the receiver's NetEQ,
which would otherwise see them as one; see `jitter_priming`."""
SEARCH_FRAMES: Final = RATE_HZ // 50
"""Interval between searches for a pause: one search costs as much as mixing."""

RateConversion = Callable[[NDArray[np.int16]], NDArray[np.int16]]
"""Converts 10 ms from one sample rate to another."""


class BlockSink(Protocol):
    """Consumer of captured blocks."""

    def put(self, microphone: Block, played: Block) -> None:
        """Take 10 ms and the voices played meanwhile; the blocks are not reused."""

    def skip_packets(self, packets: int) -> None:
        """Account for packets of 20 ms that were skipped in silence."""

    def may_drop(self, heard: Raw | bytes) -> bool:
        """Return whether to drop this period of up to half a block.

        After True the drop counts as done.
        """

    def would_be_audible(self, heard: Raw | bytes) -> bool:
        """Return whether dropping or delaying this period would be audible."""

    @property
    def idle_packets(self) -> int:
        """How many of the next packets can be skipped."""


class Capture:
    """Assembles periods into blocks of 10 ms and passes them to a `BlockSink`."""

    def __init__(self, block_sink: BlockSink, stream_clock: StreamClock) -> None:
        """Start with an empty block.

        Args:
            block_sink: takes the blocks.
            stream_clock: timing of the stream, with the offset of its clock.
        """
        self._block_sink = block_sink
        self._stream_clock = stream_clock
        self._fit = rate_conversion(stream_clock.rate_hz, RATE_HZ)
        self._block_bytes = stream_clock.rate_hz // 100 * SAMPLE_BYTES
        self._packet_frames = stream_clock.rate_hz // 50
        self._heard = bytearray()
        self._played: list[NDArray[np.int16] | None] = []
        self._is_silent = True
        self._is_after_gap = False
        self._search_frames = 0

    @property
    def idle_frames(self) -> int:
        """How many of the next frames can be skipped; whole packets."""
        return 0 if self._heard else self._block_sink.idle_packets * self._packet_frames

    def add(self, heard: Raw | bytes, played: NDArray[np.int16] | None) -> None:
        """Take one captured period and the voices played in it, at 48 kHz."""
        if self._is_left_out(heard):
            return
        self._heard += self._faded_after_gap(heard) if self._is_after_gap else heard
        self._played.append(played)
        if played is not None:
            self._is_silent = False
        if len(self._heard) < self._block_bytes:
            return
        # The sink keeps the block, so the next one needs new memory.
        block, self._heard = np.frombuffer(self._heard, np.int16), bytearray()
        parts, self._played = self._played, []
        voices = SILENCE if self._is_silent else _joined(parts)
        self._is_silent = True
        self._block_sink.put(block if self._fit is None else self._fit(block), voices)

    def skip_periods(self, periods: int, frames: int) -> None:
        """Account for skipped periods, beginning at a packet boundary.

        A part of a packet counts as silence: the speech that ended the skipping
        began after it.
        """
        packets, rest = divmod(periods * frames, self._packet_frames)
        if packets:
            self._block_sink.skip_packets(packets)
        self._add_silence(rest // frames, frames)

    def fill_loss(self, heard: Raw, frames: int, status: int) -> int:
        """Insert silence before this period for frames that the card lost.

        Otherwise everything later arrives later at the receiver, whose jitter buffer
        is then too shallow. Measured: later packets are late, or stretched by up to
        15 ms.

        Args:
            heard: the period.
            frames: frames in it.
            status: PortAudio's flags. Not 0: the card has just lost frames. 0: its
                clock may be slow, which is corrected in an inaudible moment.

        Returns:
            How many periods of silence were inserted.
        """
        if not status and self._stream_clock.ahead_s >= -TOLERATED_OFFSET_S:
            return 0
        period_s = frames / self._stream_clock.rate_hz
        if status:
            periods = self._lost_periods(heard, period_s)
        elif self._is_correctable(heard) and self._may_correct(heard):
            periods = 1
            self._stream_clock.correct(period_s)
            self._pause(PAUSE_FRAMES)
        else:
            return 0
        self._add_silence(periods, frames)
        return periods

    def _lost_periods(self, heard: Raw, period_s: float) -> int:
        """Return how many periods of silence replace the frames just lost."""
        lost_s = self._stream_clock.lost_s
        if lost_s > GONE_S:
            # The sender inserts silence while a card is away.
            self._stream_clock.correct(lost_s)
            return 0
        # The callback that reports the loss may be late, so the estimate may be too
        # high. Long periods are rounded down, because they cannot be dropped later.
        periods = lost_s / period_s
        whole = round(periods) if self._is_short(heard) else int(periods)
        self._stream_clock.correct(whole * period_s)
        return whole

    def _add_silence(self, periods: int, frames: int) -> None:
        for _ in range(periods):
            self.add(bytes(frames * SAMPLE_BYTES), None)
        if periods:
            self._is_after_gap = True

    def _is_left_out(self, heard: Raw | bytes) -> bool:
        if not self._is_correctable(heard):
            return False
        is_ahead = self._stream_clock.ahead_s > TOLERATED_OFFSET_S
        if is_ahead and self._may_correct(heard):
            self._stream_clock.correct(
                -len(heard) / SAMPLE_BYTES / self._stream_clock.rate_hz
            )
        elif not self._block_sink.may_drop(heard):
            self._pause(SEARCH_FRAMES)
            return False
        self._pause(PAUSE_FRAMES)
        return True

    def _may_correct(self, heard: Raw | bytes) -> bool:
        """Return whether the offset can be corrected now without being audible."""
        if abs(self._stream_clock.ahead_s) > MAX_CORRECTED_OFFSET_S:
            self._stream_clock.resync()
            return False
        return not self._block_sink.would_be_audible(heard)

    def _pause(self, frames: int) -> None:
        self._search_frames = self._stream_clock.frames + frames

    def _is_correctable(self, heard: Raw | bytes) -> bool:
        """Return whether one period can be added or dropped; longer ones only delay."""
        is_time = self._stream_clock.frames >= self._search_frames
        return is_time and self._is_short(heard) and not self._is_after_gap

    def _is_short(self, heard: Raw | bytes) -> bool:
        return 2 * len(heard) <= self._block_bytes

    def _faded_after_gap(self, heard: Raw | bytes) -> bytes:
        """Return the first sound after inserted silence, faded in to avoid a click."""
        self._is_after_gap = False
        samples = np.frombuffer(heard, np.int16).astype(np.float32)
        return faded_in(samples).astype(np.int16).tobytes()


def rate_conversion(from_hz: int, to_hz: int) -> RateConversion | None:
    """Return the conversion between two rates; None if they are equal."""
    return None if from_hz == to_hz else Resampler(from_hz, to_hz).apply


def _joined(parts: list[NDArray[np.int16] | None]) -> Block:
    """Return 10 ms joined from equal parts; None stands for silence."""
    frames = BLOCK_FRAMES // len(parts)
    return np.concatenate([SILENCE[:frames] if p is None else p for p in parts])
