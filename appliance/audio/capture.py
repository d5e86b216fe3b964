"""From the card's periods to blocks of 10 ms, or past them in a lull."""

from collections.abc import Callable
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from appliance.audio.driver import SAMPLE_BYTES, Raw
from appliance.audio.dsp import BLOCK_FRAMES, RATE_HZ, Resampler, faded_in
from appliance.audio.mixer import Mixer
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

    def hush(self, packets: int) -> None:
        """Take note that packets of 20 ms were passed over in a lull."""

    def leaves_out(self, heard: Raw | bytes) -> bool:
        """Return whether this, up to half a block, is better not put at all.

        True is the answer once: it is taken for done.
        """

    def misses(self, heard: Raw | bytes) -> bool:
        """Return whether anybody would notice if this were left out, or came later."""

    @property
    def spare_packets(self) -> int:
        """How many packets from now on need not be looked at."""


class Capture:
    """Makes blocks of 10 ms out of the card's periods and hands them over."""

    def __init__(self, ear: BlockSink, beat: StreamClock) -> None:
        """Start with nothing gathered.

        Args:
            ear: takes the blocks.
            beat: of the callbacks; knows whether the card keeps time.
        """
        self._ear = ear
        self._beat = beat
        self._fit = fit_of(beat.rate_hz, RATE_HZ)
        self._block_bytes = beat.rate_hz // 100 * SAMPLE_BYTES
        self._packet_frames = beat.rate_hz // 50
        self._heard = bytearray()
        self._played: list[NDArray[np.int16] | None] = []
        self._is_silent = True
        self._is_torn = False
        self._look_frames = 0

    @property
    def spare_frames(self) -> int:
        """How many frames from now on need not be looked at; whole packets."""
        return 0 if self._heard else self._ear.spare_packets * self._packet_frames

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
        self._ear.put(block if self._fit is None else self._fit(block), voices)

    def pass_over(self, periods: int, frames: int) -> None:
        """Take periods that nobody looked at, from the beginning of a packet on.

        Part of a packet is taken as silence: somebody has spoken, but after that.
        """
        packets, rest = divmod(periods * frames, self._packet_frames)
        if packets:
            self._ear.hush(packets)
        self._add_silence(rest // frames, frames)

    def make_up(self, heard: Raw, frames: int, status: int) -> int:
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
        if not status and self._beat.ahead_s >= -KEPT_S:
            return 0
        period_s = frames / self._beat.rate_hz
        if status:
            periods = self._lost_periods(heard, period_s)
        elif self._is_movable(heard) and self._may_move(heard):
            periods = 1
            self._beat.correct(period_s)
            self._rest(PAUSE_FRAMES)
        else:
            return 0
        self._add_silence(periods, frames)
        return periods

    def _lost_periods(self, heard: Raw, period_s: float) -> int:
        """Return how many periods of silence make up for what was just lost."""
        lost_s = self._beat.lost_s
        if lost_s > GONE_S:
            # The uplink stands in for a card that is away.
            self._beat.correct(lost_s)
            return 0
        # The callback that tells of it may be late; of long periods none can be taken
        # back.
        periods = lost_s / period_s
        whole = round(periods) if self._is_short(heard) else int(periods)
        self._beat.correct(whole * period_s)
        return whole

    def _add_silence(self, periods: int, frames: int) -> None:
        for _ in range(periods):
            self.add(bytes(frames * SAMPLE_BYTES), None)
        if periods:
            self._is_torn = True

    def _is_left_out(self, heard: Raw | bytes) -> bool:
        if not self._is_movable(heard):
            return False
        is_ahead = self._beat.ahead_s > KEPT_S
        if is_ahead and self._may_move(heard):
            self._beat.correct(-len(heard) / SAMPLE_BYTES / self._beat.rate_hz)
        elif not self._ear.leaves_out(heard):
            self._rest(LOOK_FRAMES)
            return False
        self._rest(PAUSE_FRAMES)
        return True

    def _may_move(self, heard: Raw | bytes) -> bool:
        """Return whether now is a moment to come nearer to our time."""
        if abs(self._beat.ahead_s) > FOLLOWED_S:
            self._beat.forgive()
            return False
        return not self._ear.misses(heard)

    def _rest(self, frames: int) -> None:
        self._look_frames = self._beat.frames + frames

    def _is_movable(self, heard: Raw | bytes) -> bool:
        """Return whether a period more or less is a help; longer ones only delay."""
        is_time = self._beat.frames >= self._look_frames
        return is_time and self._is_short(heard) and not self._is_torn

    def _is_short(self, heard: Raw | bytes) -> bool:
        return 2 * len(heard) <= self._block_bytes

    def _mended(self, heard: Raw | bytes) -> bytes:
        """Return the first sound after silence that was made up, without a click."""
        self._is_torn = False
        samples = np.frombuffer(heard, np.int16).astype(np.float32)
        return faded_in(samples).astype(np.int16).tobytes()


class IdleSkip:
    """Passes over the periods of a lull, packet by packet."""

    def __init__(
        self,
        playout: Mixer,
        gather: Capture,
        beat: StreamClock,
        skip: Callable[[int], None] | None = None,
    ) -> None:
        """Start awake.

        Args:
            playout: has the lull, and says whether somebody speaks there.
            gather: says whether anybody wants to hear, and counts what is passed over.
            beat: counts it too.
            skip: told how many frames at 48 kHz were passed over.
        """
        self._skip = skip
        self._lull = playout.lull
        # Of the streams before, if there were any.
        self._lull.taken()
        self._playout = playout
        self._gather = gather
        self._beat = beat

    def passes_over(self, frames: int, status: int) -> bool:
        """Account for what was passed over, and return whether this period is too."""
        passed = self._lull.taken()
        if not passed:
            return False
        is_calm = not status and not self._lull.is_over
        passed += is_calm
        noted = self._beat.note(passed * frames, 0)
        if self._skip is not None:
            self._skip(noted)
        self._gather.pass_over(passed, frames)
        if is_calm:
            self.begin(frames)
        return is_calm

    def begin(self, frames: int) -> None:
        """Begin a lull with the next period, if nobody speaks."""
        self._lull.open()
        spare = self._gather.spare_frames
        if spare and self._playout.is_still:
            # The last of the periods is looked at: then all are accounted for.
            self._lull.begin(spare // frames - 1)


def fit_of(from_hz: int, to_hz: int) -> Fit | None:
    """Return what makes one rate of the other; None: they are the same."""
    return None if from_hz == to_hz else Resampler(from_hz, to_hz).apply


def _joined(parts: list[NDArray[np.int16] | None]) -> Block:
    """Return 10 ms made of equal parts; None is silence."""
    frames = BLOCK_FRAMES // len(parts)
    return np.concatenate([SILENCE[:frames] if p is None else p for p in parts])
