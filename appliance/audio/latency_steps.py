"""Choice of the card's buffer size: the shortest one without repeated losses.

A card that loses blocks gets the next longer buffer; after a time without any, and
while both sides are silent, it gets the next shorter one. Each step up doubles that
time. The step of each card is kept over restarts. Time is an argument.
"""

import logging
from collections import deque
from pathlib import Path
from typing import Final

import msgspec

from appliance.process.state_files import write_whole

BURST_LOSSES: Final = 3
BURST_S: Final = 2.0
"""So many losses in two seconds are audible at once: the buffer is too short."""
SLOW_LOSSES: Final = 10
SLOW_S: Final = 60.0
"""So many in a minute are one every few seconds: too short as well."""
SETTLED_S: Final = 3.0
"""Time after opening a card in which losses do not count: start-up takes the
processor."""
REOPENED_S: Final = 0.5
"""The same after a change of the buffer."""
CALM_S: Final = 60.0
CALM_MOST_S: Final = 3600.0
FILE_NAME: Final = "latency.json"
MOST_BYTES: Final = 65_536
"""A larger file is damaged."""
MOST_CARDS: Final = 50
_log = logging.getLogger(__name__)


class KeptSteps:
    """Steps of the known cards, in a file of the state directory."""

    def __init__(self, folder: Path | None) -> None:
        """Read the file; None: nothing is kept."""
        self._path = None if folder is None else folder / FILE_NAME
        self._steps: dict[str, int] = {}
        if self._path is None:
            return
        try:
            content = self._path.read_bytes()[:MOST_BYTES]
            self._steps = msgspec.json.decode(content, type=dict[str, int])
        except FileNotFoundError:
            pass
        except (OSError, msgspec.DecodeError) as exc:
            _log.warning("latency steps not read  reason=%r", str(exc))

    def step(self, card: str) -> int:
        """Return the step of the card; 0 for an unknown one."""
        return self._steps.get(card, 0)

    def keep(self, card: str, step: int) -> None:
        """Store the step of the card."""
        self._steps.pop(card, None)
        known = [*self._steps.items(), (card, step)][-MOST_CARDS:]
        self._steps = dict(known)
        if self._path is None:
            return
        try:
            write_whole(self._path, msgspec.json.encode(self._steps))
        except OSError as exc:
            _log.warning("latency steps not written  reason=%r", str(exc))


class LatencySteps:
    """Buffer step chosen by counting losses; 0 is the shortest buffer.

    Thread: the supervisor's.
    """

    def __init__(self, steps: int, kept: KeptSteps) -> None:
        """Start with the shortest of `steps` buffers."""
        self.latency_step = 0
        self._kept = kept
        self._top = steps - 1
        self._card = ""
        self._calm_s = CALM_S
        self._calm_since_s = 0.0
        self._settled_s = 0.0
        # Times and losses of the looks in the last minute.
        self._looks: deque[tuple[float, int]] = deque()

    def start(self, card: str, now_s: float) -> None:
        """Restart counting: streams were opened.

        Args:
            card: name of the card or cards.
            now_s: monotonic clock.
        """
        is_other = card != self._card
        if is_other:
            self._card, self._calm_s = card, CALM_S
            self.latency_step = min(max(self._kept.step(card), 0), self._top)
        self._calm_since_s = now_s
        self._settled_s = now_s + (SETTLED_S if is_other else REOPENED_S)
        self._looks.clear()

    def update(self, losses: int, now_s: float, *, is_idle: bool) -> bool:
        """Count losses, and return whether to reopen the streams with another buffer.

        Args:
            losses: losses since `start`.
            now_s: monotonic clock.
            is_idle: whether the interruption would be inaudible.
        """
        if now_s < self._settled_s:
            self._looks.clear()
        if self._looks and losses != self._looks[-1][1]:
            self._calm_since_s = now_s
        self._looks.append((now_s, losses))
        while now_s - self._looks[0][0] > SLOW_S:
            self._looks.popleft()
        if self.is_losing:
            is_longer = self._is_changed_to(self.latency_step + 1)
            if is_longer:
                self._calm_s = min(2 * self._calm_s, CALM_MOST_S)
            return is_longer
        is_calm = now_s - self._calm_since_s >= self._calm_s
        return is_calm and is_idle and self._is_changed_to(self.latency_step - 1)

    @property
    def is_losing(self) -> bool:
        """Whether the present buffer is too short."""
        if not self._looks:
            return False
        now_s, losses = self._looks[-1]
        recent = next(lost for at_s, lost in self._looks if now_s - at_s <= BURST_S)
        return (
            losses - recent >= BURST_LOSSES or losses - self._looks[0][1] >= SLOW_LOSSES
        )

    def _is_changed_to(self, latency_step: int) -> bool:
        """Change the step, within its limits, and return whether it is another one."""
        step = min(max(latency_step, 0), self._top)
        if step == self.latency_step:
            return False
        self.latency_step = step
        self._kept.keep(self._card, step)
        return True
