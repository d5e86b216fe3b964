"""Reopen policy: when to search for sound cards again; time is an argument.

A search initialises PortAudio again, which interrupts the sound and costs memory. It is
done when ALSA's list has changed, and with growing intervals without a change, because
a card may be listed before it can be opened, or be busy. While a stream is open, time
alone is no reason: the kernel must list a card that would be an improvement.
"""

from collections.abc import Callable
from typing import Final

SOON_S: Final = 1.0
"""Sound must return within 3 s of the card's return; opening takes up to 1 s."""
LATEST_S: Final = 30.0
EARLY_SEARCHES: Final = 4
"""Searches for a missing direction or the first choice 1, 2, 4 and 8 s after each
change of the list."""
LATER_S: Final = 60.0
"""Interval of later searches for a first choice."""
PARTIAL_LATEST_S: Final = 3600.0
"""Longest interval of later searches for a missing direction, which is doubled each
time: the card that is listed for it may be one that can never be opened."""
BLIND_LATEST_S: Final = 10.0
BLIND_TRIES: Final = 60
"""Without ALSA's list a new card is not noticed: search each second for a minute."""


class ReopenPolicy:
    """Back-off of the searches for sound cards."""

    def __init__(self, is_better_listed: Callable[[], bool] = lambda: True) -> None:
        """Start with a search that is due at once.

        Args:
            is_better_listed: returns whether a card may be there for a missing
                direction, or a better one than the open one.
        """
        self._is_better_listed = is_better_listed
        self._searched_at_s = float("-inf")
        self._searches = 0
        self._cards = ""

    def reset(self) -> None:
        """Make a search due at once: on a command, or when a good card was lost."""
        self._searched_at_s = float("-inf")
        self._searches = 0

    def note(self, cards: str, now_s: float) -> None:
        """Record a search.

        Args:
            cards: ALSA's list from before the search; empty where there is none.
            now_s: monotonic clock, after the search.
        """
        self._searches = 1 if cards != self._cards else self._searches + 1
        self._cards = cards
        self._searched_at_s = now_s

    def is_due(
        self,
        cards: str,
        now_s: float,
        *,
        is_open: bool,
        is_lost: bool,
        is_best: bool,
    ) -> bool:
        """Return whether to search now.

        Args:
            cards: ALSA's list now.
            now_s: monotonic clock.
            is_open: whether a stream is open.
            is_lost: whether microphone or speaker is missing.
            is_best: whether the open devices are the first choice.
        """
        waited_s = now_s - self._searched_at_s
        if not is_open:
            is_changed = cards != self._cards
            return waited_s >= (SOON_S if is_changed else self._closed_wait_s(cards))
        if is_best and not is_lost:
            return False
        if cards != self._cards:
            return waited_s >= SOON_S
        if waited_s < self._open_wait_s(is_lost=is_lost):
            return False
        is_early = not is_lost and self._searches <= EARLY_SEARCHES
        if is_early or self._is_better_listed():
            return True
        self._searched_at_s = now_s
        self._searches += 1
        return False

    def _closed_wait_s(self, cards: str) -> float:
        """Return the time between two searches while nothing is open."""
        if cards:
            return float(min(SOON_S * 2**self._doublings, LATEST_S))
        return SOON_S if self._searches < BLIND_TRIES else BLIND_LATEST_S

    def _open_wait_s(self, *, is_lost: bool) -> float:
        """Return the time between two searches that would interrupt a stream."""
        if self._searches <= EARLY_SEARCHES:
            return float(SOON_S * 2**self._doublings)
        if not is_lost:
            return LATER_S
        later = self._doublings - EARLY_SEARCHES
        return float(min(LATER_S * 2**later, PARTIAL_LATEST_S))

    @property
    def _doublings(self) -> int:
        return max(0, min(self._searches - 1, 10))
