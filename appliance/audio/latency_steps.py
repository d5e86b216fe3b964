"""Choice of the card's buffer size: the shortest one without repeated losses.

A card that loses blocks gets the next longer buffer. After some time of use without
any, it gets the next shorter one as soon as both sides are silent; each step up doubles
that time. Both are kept for each card over restarts. Time is an argument.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from appliance.process.state_files import set_aside, write_whole
from appliance.sound_cards.devices import Direction

LATENCY_STEPS_S: Final = (0.01, 0.02, 0.04)
"""Latencies requested from PortAudio, shortest first. Measured: 20, 30 and 60 ms from
microphone to speaker."""
BURST_LOSSES: Final = 3
BURST_S: Final = 2.0
"""So many losses in two seconds are audible at once: the buffer is too short."""
SLOW_LOSSES: Final = 10
SLOW_S: Final = 60.0
"""So many in a minute are one every few seconds: too short as well."""
SETTLED_S: Final = 3.0
"""Time after opening in which losses do not count: start-up takes the processor."""
REOPENED_S: Final = 0.5
"""The same after a change of the streams, or the loss of one of two cards."""
CALM_S: Final = 60.0
MAX_CALM_S: Final = 3600.0
"""Shortest and longest time of use without losses before a shorter buffer. Idle
time does not count: lateness causes no losses then."""
MAX_LOOK_S: Final = 1.0
"""Longest time of use counted between two updates, of which there are four a second."""
FILE_NAME: Final = "latency.json"
MAX_BYTES: Final = 65_536
"""A larger file is damaged."""
MAX_CARDS: Final = 50
WRITER: Final = "latency steps"
"""Name of the thread that writes the file."""
_TOP: Final = len(LATENCY_STEPS_S) - 1
_log = logging.getLogger(__name__)


class KeptStep(msgspec.Struct, frozen=True):
    """What is known of a card."""

    step: int = 0
    calm_s: float = CALM_S
    """Time of use without losses before the next shorter buffer."""


class KeptSteps:
    """Steps of the known cards, in a file of the state directory."""

    def __init__(
        self,
        folder: Path | None,
        write: Callable[[Path, bytes], None] = write_whole,
    ) -> None:
        """Read the file in the state directory; None: nothing is kept.

        `write` writes a file whole, or raises `OSError`.
        """
        self._write = write
        self._path = None if folder is None else folder / FILE_NAME
        self._steps: dict[str, KeptStep] = {}
        self._writing = threading.Lock()
        if self._path is None:
            return
        try:
            content = self._path.read_bytes()[:MAX_BYTES]
            self._steps = msgspec.json.decode(content, type=dict[str, KeptStep])
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as exc:
            set_aside(self._path, exc)

    def step(self, card: str) -> KeptStep:
        """Return what is known of the card; the shortest buffer for an unknown one."""
        return self._steps.get(card, KeptStep())

    def keep(self, card: str, step: KeptStep) -> None:
        """Store what is known of the card, without waiting for it.

        The card loses blocks meanwhile, and an SD card may need seconds.
        """
        others = [known for known in self._steps.items() if known[0] != card]
        self._steps = dict([*others, (card, step)][-MAX_CARDS:])
        if self._path is not None:
            threading.Thread(
                target=self._write_newest, args=(self._path,), name=WRITER, daemon=True
            ).start()

    def _write_newest(self, path: Path) -> None:
        """Write the newest steps; on a thread of its own."""
        with self._writing:
            try:
                self._write(path, msgspec.json.encode(self._steps))
            except OSError as exc:
                _log.warning("latency steps not written  reason=%r", str(exc))


class LatencySteps:
    """Step of `LATENCY_STEPS_S` chosen by counting losses. Thread: the supervisor's."""

    def __init__(self, kept: KeptSteps) -> None:
        self.latency_step = 0
        self.losing: set[Direction] = set()
        """Directions for which the buffer was too short at the last update."""
        self._kept = kept
        self._card = ""
        self._known_step = 0
        """Step that is kept for the card; `latency_step` may be that of two cards, of
        which only this one is still open."""
        self._calm_s = CALM_S
        self._used_s = 0.0
        """Time of use since the last loss, also before the card was opened again."""
        self._used_before_s: dict[str, float] = {}
        """The same of other cards; those of one box are few."""
        self._settled_s = 0.0
        # Times and losses of the looks in the last minute.
        self._looks: deque[tuple[float, Mapping[Direction, int]]] = deque()

    def start(self, card: str, now_s: float, *, is_change: bool = False) -> None:
        """Restart counting: streams of this card, or of these cards, were opened.

        `is_change`: in place of other streams of theirs.
        """
        if card != self._card:
            self._change_card(card)
            self.latency_step = self._known_step
        self._count_from(now_s + (REOPENED_S if is_change else SETTLED_S))

    def keep_open(self, card: str, now_s: float) -> None:
        """Restart counting for one of two cards, which stays open with its buffer."""
        self._change_card(card)
        self._count_from(now_s + REOPENED_S)

    def _change_card(self, card: str) -> None:
        kept = self._kept.step(card)
        self._used_before_s[self._card] = self._used_s
        self._used_s = self._used_before_s.pop(card, 0.0)
        self._card = card
        self._calm_s = min(max(kept.calm_s, CALM_S), MAX_CALM_S)
        self._known_step = min(max(kept.step, 0), _TOP)

    def _count_from(self, settled_s: float) -> None:
        self._settled_s = settled_s
        self._looks.clear()

    def update(
        self, losses: Mapping[Direction, int], now_s: float, *, is_idle: bool
    ) -> bool:
        """Return whether to reopen the streams with another buffer.

        `losses` are those since `start`; `is_idle`: an interruption would be inaudible.
        """
        if now_s < self._settled_s:
            self._looks.clear()
        if self._looks and losses != self._looks[-1][1]:
            self._used_s = 0.0
        elif self._looks and not is_idle:
            self._used_s += min(now_s - self._looks[-1][0], MAX_LOOK_S)
        self._looks.append((now_s, losses))
        while now_s - self._looks[0][0] > SLOW_S:
            self._looks.popleft()
        recent = next(lost for at_s, lost in self._looks if now_s - at_s <= BURST_S)
        earliest = self._looks[0][1]
        self.losing = {
            way
            for way, count in losses.items()
            if count - recent[way] >= BURST_LOSSES
            or count - earliest[way] >= SLOW_LOSSES
        }
        if self.losing:
            calm_s = min(2 * self._calm_s, MAX_CALM_S)
            longer = max(self.latency_step + 1, self._known_step)
            return self._change_to(longer, calm_s)
        is_calm = self._used_s >= self._calm_s
        shorter = min(self.latency_step - 1, self._known_step)
        return is_calm and is_idle and self._change_to(shorter)

    def _change_to(self, latency_step: int, calm_s: float | None = None) -> bool:
        """Change the step, within its limits, and return whether it is another one."""
        step = min(max(latency_step, 0), _TOP)
        if step == self.latency_step:
            return False
        self.latency_step = self._known_step = step
        self._used_s = 0.0
        self._calm_s = calm_s or self._calm_s
        self._kept.keep(self._card, KeptStep(step, self._calm_s))
        return True
