"""Reopen policy: when to search for sound cards again; time is an argument.

A search initialises PortAudio again, which interrupts the sound and costs memory. It is
done when ALSA's list has changed, and with growing intervals without a change, because
a card may be listed before it can be opened, or be busy.
"""

from collections.abc import Callable
from typing import Final

SOON_S: Final = 1.0
"""Sound must return within 3 s of the card's return; opening takes up to 1 s."""
LATEST_S: Final = 30.0
PARTIAL_SOON_S: Final = 5.0
"""For one missing direction; longer, because a search interrupts the other one."""
PARTIAL_LATEST_S: Final = 60.0
SECOND_CHOICE_SEARCHES: Final = 4
"""Searches for the first choice 1, 2, 4 and 8 s after each change of the list."""
SECOND_CHOICE_S: Final = 60.0
"""Interval of later searches, which need a better card that is listed and free."""
BLIND_LATEST_S: Final = 10.0
BLIND_TRIES: Final = 60
"""Without ALSA's list a new card is not noticed: search each second for a minute."""


class ReopenPolicy:
    """Back-off of the searches for sound cards."""

    def __init__(self, is_better_listed: Callable[[], bool] = lambda: True) -> None:
        """Start with a search that is due at once.

        Args:
            is_better_listed: returns whether a better card than the open one may be
                there; called once a minute.
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
        is_incomplete = not is_open or is_lost
        if cards != self._cards and (is_incomplete or not is_best):
            return waited_s >= SOON_S
        if is_incomplete:
            return waited_s >= self._wait_s(cards, is_open=is_open)
        is_early = self._searches <= SECOND_CHOICE_SEARCHES
        doublings = max(0, self._searches - 1)
        wait_s = SOON_S * 2**doublings if is_early else SECOND_CHOICE_S
        if is_best or waited_s < wait_s:
            return False
        if is_early or self._is_better_listed():
            return True
        self._searched_at_s = now_s
        return False

    def _wait_s(self, cards: str, *, is_open: bool) -> float:
        doublings = max(0, min(self._searches - 1, 10))
        if is_open:
            return float(min(PARTIAL_SOON_S * 2**doublings, PARTIAL_LATEST_S))
        if cards:
            return float(min(SOON_S * 2**doublings, LATEST_S))
        return SOON_S if self._searches < BLIND_TRIES else BLIND_LATEST_S
