"""Choice of the card's buffer size: the shortest one without repeated losses.

A card that loses blocks gets the next longer buffer. After some time of use without
any, it gets the next shorter one as soon as both sides are silent; each step up doubles
that time. Both are kept over restarts.
"""

import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from appliance.process.state_files import set_aside, write_whole
from appliance.sound_cards.devices import Direction

LATENCY_STEPS_S: Final = (0.01, 0.02, 0.04)
"""Latencies requested from PortAudio, shortest first. Measured: 20, 30 and 60 ms from
microphone to speaker."""
LOSSES: Final = 3.0
"""So many losses in a short time are audible: the buffer is too short. Our choice."""
FORGET_S: Final = 6.0
"""Time in which one loss is forgotten: one every few seconds is too many as well."""
MOST_LOSSES: Final = 10.0
"""Losses remembered at most, which are forgotten within a minute."""
SETTLED_S: Final = 3.0
"""Time after opening in which losses do not count: start-up takes the processor."""
REOPENED_S: Final = 0.5
"""The same after a change of the buffer."""
CALM_S: Final = 60.0
MAX_CALM_S: Final = 3600.0
"""Shortest and longest time of use without losses before a shorter buffer. Idle
time does not count: lateness causes no losses then."""
FILE_NAME: Final = "latency.json"
WRITER: Final = "latency steps"
"""Name of the thread that writes the file."""
_TOP: Final = len(LATENCY_STEPS_S) - 1
_log = logging.getLogger(__name__)


class KeptStep(msgspec.Struct, frozen=True):
    """Content of the file in the state directory."""

    step: int = 0
    calm_s: float = CALM_S
    """Time of use without losses before the next shorter buffer."""


class LatencySteps:
    """Step of `LATENCY_STEPS_S` chosen by counting losses. Thread: the supervisor's."""

    def __init__(self, folder: Path | None) -> None:
        """Read the file in the state directory; None: nothing is kept."""
        self._path = None if folder is None else folder / FILE_NAME
        self._writing = threading.Lock()
        kept = self._read()
        self.latency_step = min(max(kept.step, 0), _TOP)
        self._calm_s = min(max(kept.calm_s, CALM_S), MAX_CALM_S)
        self.losing: set[Direction] = set()
        """Directions for which the buffer was too short at the last update."""
        self._used_s = 0.0
        """Time of use since the last loss."""
        self._settled_s = self._at_s = 0.0
        self._counted: Mapping[Direction, int] = {}
        self._recent: dict[Direction, float] = {}
        """Losses of each direction that are not forgotten."""

    @property
    def latency_s(self) -> float:
        """Latency to request from PortAudio."""
        return LATENCY_STEPS_S[self.latency_step]

    def start(self, now_s: float, *, is_change: bool = False) -> None:
        """Restart counting: streams were opened; `is_change`: for another buffer."""
        self._settled_s = now_s + (REOPENED_S if is_change else SETTLED_S)
        self._at_s = now_s
        self._counted = {}
        self._recent.clear()
        self.losing = set()
        if is_change and self._path is not None:
            # An SD card may need seconds, in which nobody would watch the cards.
            threading.Thread(
                target=self._keep, args=(self._path,), name=WRITER, daemon=True
            ).start()

    def update(
        self, losses: Mapping[Direction, int], now_s: float, *, is_idle: bool
    ) -> bool:
        """Return whether to reopen the streams with another buffer.

        `losses` are those of each open direction so far; `is_idle`: an interruption
        would be inaudible.
        """
        passed_s, self._at_s = now_s - self._at_s, now_s
        counted, self._counted = self._counted, dict(losses)
        if now_s < self._settled_s:
            return False
        new = {way: count - counted.get(way, count) for way, count in losses.items()}
        for way, count in new.items():
            left = max(0.0, self._recent.get(way, 0.0) - passed_s / FORGET_S)
            self._recent[way] = min(left + count, MOST_LOSSES)
        self.losing = {way for way in losses if self._recent[way] >= LOSSES}
        if any(new.values()):
            self._used_s = 0.0
        elif not is_idle:
            self._used_s += passed_s
        step, calm_s = self.latency_step, self._calm_s
        if self.losing:
            step, calm_s = min(step + 1, _TOP), min(2 * calm_s, MAX_CALM_S)
        elif is_idle and self._used_s >= calm_s:
            step = max(step - 1, 0)
        if step == self.latency_step:
            return False
        self.latency_step, self._calm_s, self._used_s = step, calm_s, 0.0
        return True

    def _keep(self, path: Path) -> None:
        """Write the newest step, also if an earlier write ends later than this."""
        try:
            with self._writing:
                kept = KeptStep(self.latency_step, self._calm_s)
                write_whole(path, msgspec.json.encode(kept))
        except OSError as exc:
            _log.warning("latency step not written  reason=%r", str(exc))

    def _read(self) -> KeptStep:
        if self._path is None:
            return KeptStep()
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=KeptStep)
        except FileNotFoundError:
            return KeptStep()
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as exc:
            set_aside(self._path, exc)
            return KeptStep()
