"""Debouncing of one contact by the kernel's time stamps; pure, time is an argument.

A stamp is the time of an edge. Edges arrive in order but late, because the threads that
deliver them wait for the processor. Decisions therefore compare stamps with stamps; the
present time only shows that no older edge can arrive any more.
"""

from dataclasses import dataclass, replace
from typing import Final

QUIET_S: Final = 0.008
"""A level that lasts this long is not bounce.

Our choice: contacts bounce with gaps of 1-2 ms, and a button pressed 50 times a second
stays 10 ms on each side.
"""
LATE_S: Final = 0.15
"""Longest time from an edge to its processing.

Our choice: well above the 100 ms by which a busy single-core board delays a thread.
Only decisions based on the absence of an edge wait for it: the release of a press
shorter than `QUIET_S`, and a lost edge.
"""


@dataclass(frozen=True, slots=True)
class ContactReport:
    """A press or a release."""

    is_pressed: bool
    at_s: float
    """Time of the edge on the kernel's clock (`time.monotonic`)."""
    is_resumed: bool = False
    """The release before it was bounce: the press before that continues."""


ContactReports = tuple[ContactReport, ...]
"""Oldest first; presses and releases alternate."""


@dataclass(frozen=True, slots=True)
class Contact:
    """State of one contact."""

    is_reported: bool
    """The newest report was a press."""
    is_closed: bool
    """Level after the newest edge, bounce or not."""
    changed_at_s: float
    """Stamp of the newest edge."""
    differs_since_s: float | None = None
    """First reading that differed from `is_closed`: an edge is late, or was lost."""

    @property
    def quiet_at_s(self) -> float:
        """Stamp from which another edge is not bounce of the newest one."""
        return self.changed_at_s + QUIET_S

    @property
    def due_s(self) -> float:
        """Time from which a reading may yield a report; infinity: none will."""
        is_settled = self.is_reported == self.is_closed
        settles_s = float("inf") if is_settled else self.quiet_at_s
        since_s = self.differs_since_s
        found_s = float("inf") if since_s is None else since_s
        return min(settles_s, found_s) + LATE_S


def opened(now_s: float, *, is_closed: bool) -> Contact:
    """Return the contact with the level that it had when its pin was opened."""
    return Contact(is_closed, is_closed, now_s - QUIET_S)


def after_edge(
    contact: Contact, at_s: float, *, is_closed: bool
) -> tuple[Contact, ContactReports]:
    """Return the contact after an edge: the first is reported, its bounce is not.

    Args:
        contact: before the edge.
        at_s: stamp of the edge, not the time of its arrival.
        is_closed: level after the edge.
    """
    reports: ContactReports = ()
    # The same level twice: an edge between them was lost, and how long the level stayed
    # is unknown.
    if is_closed != contact.is_closed:
        contact, reports = _settled(contact, at_s)
    if at_s >= contact.quiet_at_s and is_closed != contact.is_reported:
        contact = replace(contact, is_reported=is_closed)
        reports = (*reports, ContactReport(is_closed, at_s))
    changed = replace(
        contact, is_closed=is_closed, changed_at_s=at_s, differs_since_s=None
    )
    return changed, reports


def after_reading(
    contact: Contact, now_s: float, *, is_closed: bool
) -> tuple[Contact, ContactReports]:
    """Return the contact after its level was read, which finds lost edges.

    A different level counts as an edge if no edge arrives within `LATE_S`; until then
    the edge may still arrive, with a better stamp.
    """
    contact, reports = _settled(contact, now_s - LATE_S)
    if is_closed == contact.is_closed:
        return replace(contact, differs_since_s=None), reports
    since_s = contact.differs_since_s
    if since_s is None:
        return replace(contact, differs_since_s=now_s), reports
    if now_s < since_s + LATE_S:
        return contact, reports
    contact, found = after_edge(contact, since_s, is_closed=is_closed)
    return contact, (*reports, *found)


def _settled(contact: Contact, until_s: float) -> tuple[Contact, ContactReports]:
    """Report a level that lasted until this stamp and is not reported yet."""
    is_settled = contact.is_reported == contact.is_closed
    if is_settled or until_s < contact.quiet_at_s:
        return contact, ()
    # An edge that closes the contact is reported at once, unless it follows the edge of
    # a release by less than `QUIET_S`.
    is_closed = contact.is_closed
    report = ContactReport(is_closed, contact.changed_at_s, is_resumed=is_closed)
    return replace(contact, is_reported=is_closed), (report,)
