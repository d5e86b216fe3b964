"""Policy of reopening: when to search for sound cards again.

A search initialises PortAudio again, which interrupts every stream. The next one comes

    after a change of the cards                  1 s
    nothing open, cards listed                   1, 2, 4 ... 30 s
    nothing open, no list of the cards           60 times 1 s, then 10 s
    nothing open, the last call did not return   60 times 0.5 s, then 1 s
    microphone, speaker or the first choice is   1 s, 8 times 2 s, then 60, 120 ...
    missing                                      3600 s

and in the last case only if the list gives hope, in a pause of speech.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isinf
from typing import Final

from appliance.sound_cards.alsa_devices import closed_pcms, without_closed

SOON_S: Final = 1.0
"""Sound must return within 3 s of the card's return; opening takes up to 1 s."""
STUCK_S: Final = 0.5
"""After a call that did not return, which has taken two more seconds."""
LATEST_S: Final = 30.0
EARLY_SEARCHES: Final = 8
EARLY_S: Final = 2.0
"""So many searches after a change of the cards, at this interval: for 15 s, a card that
was dead for a moment is back within 3 s. Each interrupts the other direction."""
LATER_S: Final = 60.0
LATER_LATEST_S: Final = 3600.0
"""First and longest interval of later ones, doubled each time: the card that is listed
may be one that can never be opened."""
LONGEST_WAIT_S: Final = 120.0
"""Longest time for which speech delays a search: a noisy room looks like speech."""
BLIND_LATEST_S: Final = 10.0
BLIND_TRIES: Final = 60
"""Without ALSA's list a new card is not noticed: search each second for a minute."""


@dataclass(frozen=True, slots=True)
class SoundState:
    """State of the streams, as far as a search depends on it."""

    is_open: bool
    is_stuck: bool = False
    """The card, or PortAudio, did not answer."""
    is_lost: bool = False
    """Microphone or speaker is missing."""
    has_no_samples: bool = False
    """The microphone is open and delivers nothing: opening it again may help."""
    is_best: bool = True
    """The open devices are the first choice."""
    is_talking: bool = False
    """Somebody at this box talks."""
    is_in_short_talk: bool = False
    """The same, or is about to: a held button may keep the gate open."""
    is_playing: bool = False
    """Somebody else is heard, or an earcon."""

    @property
    def is_idle(self) -> bool:
        """Whether an interruption would be inaudible."""
        return not (self.is_talking or self.is_in_short_talk or self.is_playing)


class ReopenPolicy:
    """Back-off of the searches for sound cards."""

    def __init__(
        self,
        is_better_listed: Callable[[], bool] = lambda: True,
        is_plugin_wanted: Callable[[], bool] = lambda: False,
    ) -> None:
        """`is_better_listed` returns whether a missing or better card may be there.

        `is_plugin_wanted` returns whether one may be there that is not in ALSA's list;
        asked only after a change of the cards, and for a missing direction when a card
        can be opened again.
        """
        self._is_better_listed = is_better_listed
        self._is_plugin_wanted = is_plugin_wanted
        self.reset()
        self._cards = ""
        self._unopened: frozenset[str] = frozenset()
        """PCMs that came with a change of the cards, or were back at once after a loss,
        and cannot be opened yet."""
        self._looked_at_s = float("-inf")
        self._waiting_since_s: float | None = None

    def reset(self) -> None:
        """Make a search due at once: on a command, or when a good card was lost.

        For a missing direction it is made although somebody is heard: a card that was
        unplugged for a moment is back, and its list is the same.
        """
        self._searched_at_s = float("-inf")
        self._closed_searches = self._interrupting_searches = 0

    def postpone(self, now_s: float) -> None:
        """Let a search that would interrupt a stream wait for `SOON_S` from now.

        The other direction has failed soon after a search. Its failure does not prolong
        a longer interval between two searches.
        """
        self._looked_at_s = now_s
        self._waiting_since_s = None

    def note(self, cards: str, now_s: float, *, is_open: bool) -> None:
        """Record a search, or that the list offers nothing to search for.

        `cards` is the list from before the search, `now_s` the time after it. Searches
        that would interrupt an open stream are counted apart.
        """
        if cards != self._cards:
            self._closed_searches = 0
        closed = closed_pcms(cards)
        if self._is_other_card(cards) or isinf(self._searched_at_s):
            self._interrupting_searches = 0
            # Those of the first list may have been in use for long.
            known = closed_pcms(self._cards) if self._cards else closed
            self._unopened |= closed - known
        self._unopened &= closed
        self._closed_searches += not is_open
        self._interrupting_searches += is_open
        self._cards = cards
        self._searched_at_s = now_s
        self._waiting_since_s = None

    def is_due(
        self, list_cards: Callable[[], str], now_s: float, state: SoundState
    ) -> bool:
        """Return whether to search now; `list_cards` is called only if it is needed."""
        if state.is_open and state.is_best and not state.is_lost:
            self._waiting_since_s = None
            return False
        is_early = state.is_open and now_s - self._looked_at_s < SOON_S
        # A pause in what is being said may be short.
        if is_early and self._waiting_since_s is None:
            return False
        self._looked_at_s = now_s
        waited_s, cards = now_s - self._searched_at_s, list_cards()
        if not state.is_open:
            is_same = cards == self._cards
            wait_s = self._closed_wait_s(cards, state) if is_same else SOON_S
            return waited_s >= wait_s
        is_other = self._is_other_card(cards)
        # The list also changes when another program begins to play a sound, which is
        # no reason to interrupt a stream.
        is_freed = bool(closed_pcms(self._cards) - closed_pcms(cards))
        if waited_s < (SOON_S if is_other or is_freed else self._open_wait_s()):
            return False
        is_for_plugin = is_other or (is_freed and state.is_lost)
        is_hopeful = self._is_better_listed()
        is_hopeful = is_hopeful or (is_for_plugin and self._is_plugin_wanted())
        if not (state.has_no_samples or is_hopeful):
            self.note(cards, now_s, is_open=True)
            return False
        # udev may set the permissions of a new card after the first search.
        is_new = is_other or bool(self._unopened - closed_pcms(cards))
        is_reset = isinf(self._searched_at_s)
        is_urgent = state.is_lost and (is_new or is_reset)
        return not self._has_to_wait(state, now_s, is_urgent=is_urgent)

    def _is_other_card(self, cards: str) -> bool:
        """Return whether a card was plugged in or unplugged since the last search."""
        return without_closed(cards) != without_closed(self._cards)

    def _has_to_wait(self, state: SoundState, now_s: float, *, is_urgent: bool) -> bool:
        """Return whether a search would interrupt what is being said.

        `is_urgent`: it is made unless somebody at this box talks just now.
        """
        if state.is_idle or (is_urgent and not state.is_talking):
            return False
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s
        return now_s - self._waiting_since_s < LONGEST_WAIT_S

    def _closed_wait_s(self, cards: str, state: SoundState) -> float:
        """Return the time between two searches while nothing is open."""
        searches = self._closed_searches
        if state.is_stuck:
            # The end of what keeps it from answering is not noticed either.
            return STUCK_S if searches < BLIND_TRIES else SOON_S
        if not cards:
            return SOON_S if searches < BLIND_TRIES else BLIND_LATEST_S
        return float(min(SOON_S * 2 ** _doublings(searches), LATEST_S))

    def _open_wait_s(self) -> float:
        """Return the time between two searches that would interrupt a stream."""
        if self._interrupting_searches <= EARLY_SEARCHES:
            return EARLY_S if self._interrupting_searches > 1 else SOON_S
        doublings = _doublings(self._interrupting_searches - EARLY_SEARCHES)
        return float(min(LATER_S * 2**doublings, LATER_LATEST_S))


def _doublings(searches: int) -> int:
    return max(0, min(searches - 1, 10))
