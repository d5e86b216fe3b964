"""Chat log: received lines, own lines, and the delivery state of each own line."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import inf

from appliance.core.events import (
    Caption,
    ChatFailed,
    ChatMessage,
    ChatSent,
    ChatTyped,
    Participant,
)

KEPT_LINES = 50
"""Lines kept; our choice: the screen of a phone shows about ten."""
KEPT_BYTES = 32 * 1024
"""Text kept, in UTF-8: every view carries all of it. Twice the longest message that the
room accepts."""
OUTBOX_LINES = 20
"""Own lines that may be queued; all are sent at once after an outage."""
KEPT_CAPTIONS = 4
"""Our choice: one each of the agent, of this box and of two others."""
UNNOTICED_S = 30.0
"""Lines sent so long before an outage may be lost: LiveKit's library notices a network
that is cut after 10-25 s."""
DOUBTFUL = "the connection was lost right after it, so it may not have arrived"
"""Reason of such a line's failure. It is not sent again by itself: if it did arrive, a
voice agent would answer it twice."""
GIVEN_UP = "the box went to another room"
"""Reason of the failure of a line that was queued then."""
UNKNOWN_ID = "?"
"""Sender of messages without one; an empty id marks our own lines."""


class Delivery(StrEnum):
    """Delivery state of a line."""

    QUEUED = "queued"
    SENT = "sent"
    RECEIVED = "received"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ChatLine:
    """Line of the chat log."""

    id: str
    sender_id: str
    """Empty for our own lines."""
    sender_name: str
    text: str = field(repr=False)
    ts_ms: int
    state: Delivery
    reason: str = ""
    """Reason of the failure."""
    sent_at_s: float = -inf
    """Monotonic time at which the room accepted our line."""

    @property
    def is_own(self) -> bool:
        """Whether the line was typed on our page."""
        return not self.sender_id


@dataclass(frozen=True, slots=True)
class ChatLog:
    """Bounded log of the newest lines, oldest first."""

    lines: tuple[ChatLine, ...] = ()

    def received(self, message: ChatMessage) -> "ChatLog":
        """Return the log with the message; an edit replaces the earlier text."""
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
        return self._added(line)

    def typed(self, event: ChatTyped) -> "ChatLog":
        """Return the log with our new line queued; failed if the outbox is full."""
        state = Delivery.FAILED if self.refusal else Delivery.QUEUED
        line = ChatLine(
            event.id, "", "", event.text, event.ts_ms, state, reason=self.refusal
        )
        return self._added(line)

    def spoken(self, caption: Caption) -> "ChatLog":
        """Return the log with the words of a complete caption."""
        is_own = caption.is_own
        return self._added(
            ChatLine(
                id=caption.segment,
                sender_id="" if is_own else caption.talker_id,
                sender_name="" if is_own else caption.talker,
                text=caption.text,
                ts_ms=caption.ts_ms,
                state=Delivery.SENT if is_own else Delivery.RECEIVED,
            )
        )

    def named(self, people: Iterable[Participant]) -> "ChatLog":
        """Return the log with the names that these participants have now."""
        # Anybody may have the identity that stands for an unknown one.
        nobody = {"", UNKNOWN_ID}
        names = {person.id: person.name for person in people if person.id not in nobody}
        log = self
        for line in self.lines:
            name = names.get(line.sender_id, line.sender_name)
            if name != line.sender_name:
                log = log._swapped(line, replace(line, sender_name=name))
        return log

    def answered(self, event: ChatSent | ChatFailed, now_s: float) -> "ChatLog":
        """Return the log with our line sent or failed; a line that was sent stays so.

        One that is sent twice around an outage gets two answers.
        """
        known = self._find("", event.id)
        if known is None or known.state is Delivery.SENT:
            return self
        if isinstance(event, ChatSent):
            line = replace(known, state=Delivery.SENT, reason="", sent_at_s=now_s)
        else:
            line = replace(known, state=Delivery.FAILED, reason=event.reason)
        return self._swapped(known, line)

    def given_up(self, lines: tuple[ChatLine, ...]) -> "ChatLog":
        """Return the log with these queued lines marked as failed."""
        return self._failed(lines, GIVEN_UP)

    def cut(self, at_s: float) -> "ChatLog":
        """Return the log after an outage, noticed at this time, that may lose lines."""
        since_s = at_s - UNNOTICED_S
        doubtful = (line for line in self.lines if line.sent_at_s >= since_s)
        sent = tuple(line for line in doubtful if line.state is Delivery.SENT)
        return self._failed(sent, DOUBTFUL)

    @property
    def queued(self) -> tuple[ChatLine, ...]:
        """Our lines that are waiting to be sent (the outbox), oldest first."""
        return tuple(line for line in self.lines if line.state is Delivery.QUEUED)

    @property
    def refusal(self) -> str:
        """Why the outbox accepts no further line; empty: it does."""
        if len(self.queued) < OUTBOX_LINES:
            return ""
        return f"{OUTBOX_LINES} lines are waiting to be sent already"

    def _find(self, sender_id: str, line_id: str) -> ChatLine | None:
        key = (sender_id, line_id)
        return next((x for x in self.lines if (x.sender_id, x.id) == key), None)

    def _swapped(self, old: ChatLine, new: ChatLine) -> "ChatLog":
        lines = tuple(new if line is old else line for line in self.lines)
        return ChatLog(_bounded(lines, new))

    def _failed(self, failed: tuple[ChatLine, ...], reason: str) -> "ChatLog":
        log = self
        for line in failed:
            new = replace(line, state=Delivery.FAILED, reason=reason)
            log = log._swapped(line, new)
        return log

    def _added(self, line: ChatLine) -> "ChatLog":
        """Return the log with the line; one with an id that is known adds nothing."""
        if self._find(line.sender_id, line.id) is not None:
            return self
        return ChatLog(_bounded((*self.lines, line), line))


def with_caption(
    captions: tuple[Caption, ...], caption: Caption
) -> tuple[Caption, ...]:
    """Return the newest captions; one that may grow is replaced by its successor."""
    key = (caption.talker_id, caption.segment)
    for known in captions:
        if (known.talker_id, known.segment) == key:
            if known.is_final:
                return captions
            return tuple(caption if x is known else x for x in captions)
    return (*captions, caption)[-KEPT_CAPTIONS:]


def _bounded(lines: tuple[ChatLine, ...], newest: ChatLine) -> tuple[ChatLine, ...]:
    """Return the lines without the oldest ones above the limits.

    `newest` and queued lines are always kept.
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
