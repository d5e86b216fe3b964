"""From the card's periods to blocks of 10 ms, or past them in a lull."""

from collections.abc import Callable
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from appliance.audio.driver import SAMPLE_BYTES, Raw
from appliance.audio.dsp import BLOCK_FRAMES, RATE_HZ, Resampler, faded_in
from appliance.audio.stream_clock import GONE_S, StreamClock
from appliance.pcm import SILENCE, Block

KEPT_S: Final = 0.004
"""How far the card's time may be from ours: well above half a period of 5 ms, or what
is too much after a correction would be corrected back."""
FOLLOWED_S: Final = 0.02
"""So much comes together only while nobody pauses for minutes: far ends have followed
by then, and the card's time is taken as it is."""
PAUSE_FRAMES: Final = 2 * RATE_HZ
"""Between two moves: what a far end remembers, or they are one to it; see `Settle`."""
LOOK_FRAMES: Final = RATE_HZ // 50
"""How soon a pause to move in is noticed: looking takes as long as mixing does."""

Fit = Callable[[NDArray[np.int16]], NDArray[np.int16]]
"""Makes 10 ms at one rate of 10 ms at another."""


class BlockSink(Protocol):
    """Takes what was heard."""

    def put(self, microphone: Block, played: Block) -> None:
        """Take 10 ms, and the voices that were played meanwhile; may keep both."""

    def skip_packets(self, packets: int) -> None:
        """Take note that packets of 20 ms were passed over in a lull."""

    def may_drop(self, heard: Raw | bytes) -> bool:
        """Return whether this, up to half a block, is better not put at all.

        True is the answer once: it is taken for done.
        """

    def would_be_audible(self, heard: Raw | bytes) -> bool:
        """Return whether anybody would notice if this were left out, or came later."""

    @property
    def idle_packets(self) -> int:
        """How many packets from now on need not be looked at."""


class Capture:
    """Makes blocks of 10 ms out of the card's periods and hands them over."""

    def __init__(self, block_sink: BlockSink, stream_clock: StreamClock) -> None:
        """Start with nothing gathered.

        Args:
            block_sink: takes the blocks.
            stream_clock: of the callbacks; knows whether the card keeps time.
        """
        self._block_sink = block_sink
        self._stream_clock = stream_clock
        self._fit = fit_of(stream_clock.rate_hz, RATE_HZ)
        self._block_bytes = stream_clock.rate_hz // 100 * SAMPLE_BYTES
        self._packet_frames = stream_clock.rate_hz // 50
        self._heard = bytearray()
        self._played: list[NDArray[np.int16] | None] = []
        self._is_silent = True
        self._is_torn = False
        self._look_frames = 0

    @property
    def idle_frames(self) -> int:
        """How many frames from now on need not be looked at; whole packets."""
        return 0 if self._heard else self._block_sink.idle_packets * self._packet_frames

    def add(self, heard: Raw | bytes, played: NDArray[np.int16] | None) -> None:
        """Take what one callback heard, and as long at 48 kHz the voices it played."""
        if self._is_left_out(heard):
            return
        self._heard += self._mended(heard) if self._is_torn else heard
        self._played.append(played)
        if played is not None:
            self._is_silent = False
        if len(self._heard) < self._block_bytes:
            return
        # They are handed on: the next block gets new ones.
        block, self._heard = np.frombuffer(self._heard, np.int16), bytearray()
        parts, self._played = self._played, []
        voices = SILENCE if self._is_silent else _joined(parts)
        self._is_silent = True
        self._block_sink.put(block if self._fit is None else self._fit(block), voices)

    def skip_periods(self, periods: int, frames: int) -> None:
        """Take periods that nobody looked at, from the beginning of a packet on.

        Part of a packet is taken as silence: somebody has spoken, but after that.
        """
        packets, rest = divmod(periods * frames, self._packet_frames)
        if packets:
            self._block_sink.skip_packets(packets)
        self._add_silence(rest // frames, frames)

    def fill_loss(self, heard: Raw, frames: int, status: int) -> int:
        """Put silence before this period where the card came short, so nothing shifts.

        What follows would come later at the far end's buffer, which has so much less
        then. Measured: from then on it is late, or stretched by up to 15 ms.

        Args:
            heard: the period.
            frames: in it.
            status: not 0: the card has just lost something. Else its clock may be slow,
                and a moment is waited for that nobody misses.

        Returns:
            How many periods of silence it was.
        """
        if not status and self._stream_clock.ahead_s >= -KEPT_S:
            return 0
        period_s = frames / self._stream_clock.rate_hz
        if status:
            periods = self._lost_periods(heard, period_s)
        elif self._is_movable(heard) and self._may_move(heard):
            periods = 1
            self._stream_clock.correct(period_s)
            self._rest(PAUSE_FRAMES)
        else:
            return 0
        self._add_silence(periods, frames)
        return periods

    def _lost_periods(self, heard: Raw, period_s: float) -> int:
        """Return how many periods of silence make up for what was just lost."""
        lost_s = self._stream_clock.lost_s
        if lost_s > GONE_S:
            # The uplink stands in for a card that is away.
            self._stream_clock.correct(lost_s)
            return 0
        # The callback that tells of it may be late; of long periods none can be taken
        # back.
        periods = lost_s / period_s
        whole = round(periods) if self._is_short(heard) else int(periods)
        self._stream_clock.correct(whole * period_s)
        return whole

    def _add_silence(self, periods: int, frames: int) -> None:
        for _ in range(periods):
            self.add(bytes(frames * SAMPLE_BYTES), None)
        if periods:
            self._is_torn = True

    def _is_left_out(self, heard: Raw | bytes) -> bool:
        if not self._is_movable(heard):
            return False
        is_ahead = self._stream_clock.ahead_s > KEPT_S
        if is_ahead and self._may_move(heard):
            self._stream_clock.correct(
                -len(heard) / SAMPLE_BYTES / self._stream_clock.rate_hz
            )
        elif not self._block_sink.may_drop(heard):
            self._rest(LOOK_FRAMES)
            return False
        self._rest(PAUSE_FRAMES)
        return True

    def _may_move(self, heard: Raw | bytes) -> bool:
        """Return whether now is a moment to come nearer to our time."""
        if abs(self._stream_clock.ahead_s) > FOLLOWED_S:
            self._stream_clock.resync()
            return False
        return not self._block_sink.would_be_audible(heard)

    def _rest(self, frames: int) -> None:
        self._look_frames = self._stream_clock.frames + frames

    def _is_movable(self, heard: Raw | bytes) -> bool:
        """Return whether a period more or less is a help; longer ones only delay."""
        is_time = self._stream_clock.frames >= self._look_frames
        return is_time and self._is_short(heard) and not self._is_torn

    def _is_short(self, heard: Raw | bytes) -> bool:
        return 2 * len(heard) <= self._block_bytes

    def _mended(self, heard: Raw | bytes) -> bytes:
        """Return the first sound after silence that was made up, without a click."""
        self._is_torn = False
        samples = np.frombuffer(heard, np.int16).astype(np.float32)
        return faded_in(samples).astype(np.int16).tobytes()


def fit_of(from_hz: int, to_hz: int) -> Fit | None:
    """Return what makes one rate of the other; None: they are the same."""
    return None if from_hz == to_hz else Resampler(from_hz, to_hz).apply


def _joined(parts: list[NDArray[np.int16] | None]) -> Block:
    """Return 10 ms made of equal parts; None is silence."""
    frames = BLOCK_FRAMES // len(parts)
    return np.concatenate([SILENCE[:frames] if p is None else p for p in parts])
