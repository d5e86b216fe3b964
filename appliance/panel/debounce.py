"""Tells presses from bounce (R3.2); pure, time is an argument."""

from dataclasses import dataclass, replace

QUIET_S = 0.008
"""A level that stays this long is no bounce.

Our choice: contacts bounce with gaps of 1-2 ms, and a button pressed 50 times a second
stays 10 ms on each side.
"""

Reports = tuple[bool, ...]
"""What to tell, oldest first: True for pressed, False for released."""


@dataclass(frozen=True, slots=True)
class Contact:
    """One button's contact."""

    is_reported: bool
    """What was told last: pressed or not."""
    is_closed: bool
    """The newest level seen, bounce or not."""
    quiet_at_s: float
    """Until then, and while it bounces, edges are not believed."""

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing left to wait for."""
        return self.is_reported == self.is_closed


def opened(now_s: float, *, is_closed: bool) -> Contact:
    """Return the contact as it was found."""
    return Contact(is_closed, is_closed, now_s)


def after_edge(
    contact: Contact, now_s: float, *, is_closed: bool
) -> tuple[Contact, Reports]:
    """Take an edge; the first one counts at once, bounce after it does not.

    Edges that come late are told in order all the same, by their own times.
    """
    contact, reports = _settled(contact, now_s)
    if now_s >= contact.quiet_at_s and is_closed != contact.is_reported:
        contact = replace(contact, is_reported=is_closed)
        reports = (*reports, is_closed)
    return replace(contact, is_closed=is_closed, quiet_at_s=now_s + QUIET_S), reports


def after_reading(
    contact: Contact, now_s: float, *, is_closed: bool
) -> tuple[Contact, Reports]:
    """Take the level itself, which is the truth whatever edges were seen or lost."""
    return _settled(replace(contact, is_closed=is_closed), now_s)


def _settled(contact: Contact, now_s: float) -> tuple[Contact, Reports]:
    """Tell a level that has outlasted the bounce and was not told yet."""
    if contact.is_settled or now_s < contact.quiet_at_s:
        return contact, ()
    return replace(contact, is_reported=contact.is_closed), (contact.is_closed,)
