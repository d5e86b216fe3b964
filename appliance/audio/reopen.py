"""When to look for sound cards again; time and ALSA's list are arguments.

Each look initialises PortAudio anew, which interrupts what plays and costs memory, so a
look needs a reason: the list has changed, or enough time has passed. Time alone is a
reason too, because a card may be listed before it may be opened, or be busy.
"""

from collections.abc import Callable
from typing import Final

SOON_S: Final = 1.0
"""R2.3 wants sound back 3 s after the card; opening takes up to one."""
LATEST_S: Final = 30.0
HALF_SOON_S: Final = 5.0
"""Where one half works, a look interrupts it."""
HALF_LATEST_S: Final = 60.0
SECOND_CHOICE_LOOKS: Final = 4
"""Looks for the first choice 1, 2, 4 and 8 s after each change of the list."""
SECOND_CHOICE_S: Final = 60.0
"""Between later looks, which are made where a better card is listed and free."""
BLIND_LATEST_S: Final = 10.0
BLIND_TRIES: Final = 60
"""Without ALSA's list nothing tells of a card that came: look often for a minute."""


class ReopenPolicy:
    """Counts looks in vain and says when the next one is due."""

    def __init__(self, is_better_listed: Callable[[], bool] = lambda: True) -> None:
        """Start with a look that is due at once.

        Args:
            is_better_listed: returns whether a better card than the open one could be
                there; asked once a minute.
        """
        self._is_better_listed = is_better_listed
        self._looked_at_s = float("-inf")
        self._looks = 0
        self._cards = ""

    def reset(self) -> None:
        """Forget earlier looks: somebody asked, or the card had worked for long."""
        self._looked_at_s = float("-inf")
        self._looks = 0

    def note(self, cards: str, now_s: float) -> None:
        """Remember a look.

        Args:
            cards: ALSA's list as it was before the look; empty where there is none.
            now_s: monotonic clock, after the look.
        """
        self._looks = 1 if cards != self._cards else self._looks + 1
        self._cards = cards
        self._looked_at_s = now_s

    def is_due(
        self,
        cards: str,
        now_s: float,
        *,
        is_open: bool,
        is_lost: bool,
        is_best: bool,
    ) -> bool:
        """Return whether to look now.

        Args:
            cards: ALSA's list now.
            now_s: monotonic clock.
            is_open: something plays or listens.
            is_lost: microphone or speaker is missing.
            is_best: what is open is what was wished for first.
        """
        waited_s = now_s - self._looked_at_s
        is_wanting = not is_open or is_lost
        if cards != self._cards and (is_wanting or not is_best):
            return waited_s >= SOON_S
        if is_wanting:
            return waited_s >= self._wait_s(cards, is_open=is_open)
        is_early = self._looks <= SECOND_CHOICE_LOOKS
        wait_s = SOON_S * 2 ** max(0, self._looks - 1) if is_early else SECOND_CHOICE_S
        if is_best or waited_s < wait_s:
            return False
        if is_early or self._is_better_listed():
            return True
        self._looked_at_s = now_s
        return False

    def _wait_s(self, cards: str, *, is_open: bool) -> float:
        doublings = max(0, min(self._looks - 1, 10))
        if is_open:
            return float(min(HALF_SOON_S * 2**doublings, HALF_LATEST_S))
        if cards:
            return float(min(SOON_S * 2**doublings, LATEST_S))
        return SOON_S if self._looks < BLIND_TRIES else BLIND_LATEST_S
