"""The chat as one list: what came, what we typed, and how far that got."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from appliance.core.events import ChatMessage, ChatTyped

KEPT_LINES = 50
"""Lines kept; our choice: a phone's screen shows about ten."""
KEPT_BYTES = 32 * 1024
"""Text kept, in UTF-8: each view carries all of it to each phone, up to ten times a
second. Twice the longest line that can come."""
OUTBOX_LINES = 20
"""Own lines that may wait for the room; more would be a flood when it comes back."""
UNKNOWN_ID = "?"
"""Sender of lines that came without one; an empty one would make them ours."""


class Delivery(StrEnum):
    """How far a line got."""

    QUEUED = "queued"
    SENT = "sent"
    RECEIVED = "received"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ChatLine:
    """One line, as people see it."""

    id: str
    sender_id: str
    """Empty for our own lines."""
    sender_name: str
    text: str = field(repr=False)
    ts_ms: int
    state: Delivery
    reason: str = ""
    """Why it failed."""

    @property
    def is_own(self) -> bool:
        """Whether it was typed on this box's page."""
        return not self.sender_id


@dataclass(frozen=True, slots=True)
class ChatLog:
    """The newest lines, oldest first."""

    lines: tuple[ChatLine, ...] = ()

    def received(self, message: ChatMessage) -> "ChatLog":
        """Return the log with the message in it once, an edit in its place."""
        sender_id = message.sender_id or UNKNOWN_ID
        known = self._find(sender_id, message.id)
        if known is not None:
            return self._swapped(known, replace(known, text=message.text))
        if message.is_edit:
            return self
        line = ChatLine(
            id=message.id,
            sender_id=sender_id,
            sender_name=message.sender_name,
            text=message.text,
            ts_ms=message.ts_ms,
            state=Delivery.RECEIVED,
        )
        return self._grown(line)

    def typed(self, event: ChatTyped) -> "ChatLog":
        """Return the log with our new line, queued; once, even if posted twice."""
        if self._find("", event.id) is not None:
            return self
        return self._grown(
            ChatLine(
                id=event.id,
                sender_id="",
                sender_name="",
                text=event.text,
                ts_ms=event.ts_ms,
                state=Delivery.QUEUED,
            )
        )

    def marked(self, line_id: str, state: Delivery, reason: str = "") -> "ChatLog":
        """Return the log with our line in another state of delivery.

        What was sent stays sent: a line that went out twice around an outage has two
        answers, and the worse one may come last.
        """
        known = self._find("", line_id)
        if known is None or known.state is Delivery.SENT:
            return self
        return self._swapped(known, replace(known, state=state, reason=reason))

    def given_up(self, reason: str) -> "ChatLog":
        """Return the log with every line that still waited marked as failed."""
        lines = tuple(
            replace(line, state=Delivery.FAILED, reason=reason)
            if line.state is Delivery.QUEUED
            else line
            for line in self.lines
        )
        return ChatLog(_bounded(lines, lines[-1])) if lines else self

    @property
    def queued(self) -> tuple[ChatLine, ...]:
        """Our lines that still wait for the room, oldest first."""
        return self._where(lambda line: line.state is Delivery.QUEUED)

    @property
    def is_full(self) -> bool:
        """Whether another line would be one too many for the outbox."""
        return len(self.queued) >= OUTBOX_LINES

    def _find(self, sender_id: str, line_id: str) -> ChatLine | None:
        key = (sender_id, line_id)
        return next((x for x in self.lines if (x.sender_id, x.id) == key), None)

    def _where(self, is_wanted: Callable[[ChatLine], bool]) -> tuple[ChatLine, ...]:
        return tuple(line for line in self.lines if is_wanted(line))

    def _swapped(self, old: ChatLine, new: ChatLine) -> "ChatLog":
        lines = tuple(new if line is old else line for line in self.lines)
        return ChatLog(_bounded(lines, new))

    def _grown(self, line: ChatLine) -> "ChatLog":
        return ChatLog(_bounded((*self.lines, line), line))


def _bounded(lines: tuple[ChatLine, ...], newest: ChatLine) -> tuple[ChatLine, ...]:
    """Return the lines without the oldest that are too many or too long together.

    `newest` and what still waits to be sent always stay.
    """
    left = list(lines)
    size_bytes = sum(_size_bytes(line) for line in lines)
    for line in lines:
        if len(left) <= KEPT_LINES and size_bytes <= KEPT_BYTES:
            break
        if line is newest or line.state is Delivery.QUEUED:
            continue
        left.remove(line)
        size_bytes -= _size_bytes(line)
    return tuple(left)


def _size_bytes(line: ChatLine) -> int:
    return len(line.text.encode())
