"""Text streams on one topic of a room, read within limits: anybody in it sends them."""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from livekit import rtc

from appliance.net.rate_limit import Buckets, Rate
from appliance.process.background import Spawn
from appliance.process.logs import LogLimit
from appliance.room.participants import short_id

MESSAGES: Final = Rate(burst=120, per_s=20)
"""Streams, or packets, of one sender; our choice: twenty lines that were typed in an
outage arrive at once, and nobody types twenty in a second."""
TOO_MANY: Final = "too many at once"
SILENCE_S: Final = 20.0
"""Time-out between two chunks; a language model writes one line for a minute."""
ORDER_S: Final = 0.2
"""Time a text waits for the beginning of an earlier one of the same sender."""

Report = Callable[[str, str | None], None]
"""Take the text received so far, and at the end of the stream why it may be incomplete;
empty: it is complete; None: it goes on."""
Opened = Callable[[rtc.TextStreamInfo, str], Report | None]
"""Take the header of a new stream and its sender; None: it is not to be read."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTopic:
    """Topic of text streams, and their limits."""

    name: str
    total: int
    """Streams read at once."""
    each: int
    """Of one sender."""
    characters: int
    """A longer text is cut, and its stream closed."""
    growth_s: float
    """Interval at which a growing text is reported; chunks may come every few ms."""


@dataclass(slots=True)
class _Stream:
    """Stream that is being received."""

    reader: rtc.TextStreamReader
    identity: str
    report: Report
    earlier: "_Stream | None"
    """The stream of the same sender that was opened before."""
    text: str = ""
    reported_characters: int = 0
    is_in_order: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once later texts cannot come before this one any more."""
    timer: asyncio.TimerHandle | None = None
    task: asyncio.Task[Any] | None = None


class TextStreams:
    """Streams on one topic of one room."""

    def __init__(
        self,
        room: rtc.Room,
        topic: StreamTopic,
        spawn: Spawn,
        opened: Opened,
        is_trusted: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Start receiving; only the limit `each` applies to trusted senders."""
        self._topic = topic
        self._spawn = spawn
        self._opened = opened
        self._is_trusted = is_trusted
        self._open: list[_Stream] = []
        self._is_closed = False
        self._rate = Buckets(MESSAGES)
        self._log_limit = LogLimit()
        room.register_text_stream_handler(topic.name, self._receive)

    def close(self) -> None:
        """Stop reading; streams that are opened later are closed at once."""
        self._is_closed = True
        for stream in tuple(self._open):
            self._break_off(stream)

    def _receive(self, reader: rtc.TextStreamReader, identity: str) -> None:
        if self._is_closed:
            reader.close()
            return
        report = None
        if self._make_slot(identity):
            report = self._opened(reader.info, identity)
        else:
            message = "text stream dropped  from=%s reason=%r"
            facts = (short_id(identity), TOO_MANY)
            self._log_limit.log(_log, logging.WARNING, message, *facts)
        if report is None:
            reader.close()
            return
        own = self._streams_of(identity)
        stream = _Stream(reader, identity, report, own[-1] if own else None)
        self._open.append(stream)
        stream.task = self._spawn(self._read_to_end(stream))

    def _streams_of(self, identity: str) -> list[_Stream]:
        return [stream for stream in self._open if stream.identity == identity]

    def _make_slot(self, identity: str) -> bool:
        """Make a slot for one more stream of this sender; return whether it has one.

        Beyond `total` the oldest stream of the sender that has most is broken off for
        it, so that a few senders cannot keep the others from being read.
        """
        own = len(self._streams_of(identity))
        if own >= self._topic.each:
            return False
        if self._is_trusted(identity):
            return True
        if not self._rate.may(identity, time.monotonic()):
            return False
        if len(self._open) < self._topic.total:
            return True
        senders = (stream.identity for stream in self._open)
        counts = Counter(x for x in senders if not self._is_trusted(x))
        if not counts or max(counts.values()) <= own + 1:
            return False
        oldest = self._streams_of(counts.most_common(1)[0][0])[0]
        self._break_off(oldest)
        oldest.report(oldest.text, TOO_MANY)
        return True

    def _break_off(self, stream: _Stream) -> None:
        if stream.task is not None:
            stream.task.cancel()
        # A task that has not run yet closes nothing when it is cancelled.
        self._close(stream)

    def _close(self, stream: _Stream) -> None:
        stream.reader.close()
        if stream in self._open:
            self._open.remove(stream)
        if stream.timer is not None:
            stream.timer.cancel()
        stream.is_in_order.set()

    async def _read_to_end(self, stream: _Stream) -> None:
        """Receive the stream, and report what came, whether or not it is complete."""
        try:
            fault = await self._read_chunks(stream)
        except TimeoutError:
            fault = "incomplete after the time-out"
        except rtc.StreamError:
            fault = "aborted or too long"
        finally:
            self._close(stream)
        await self._wait_for_order(stream)
        stream.report(stream.text, fault)

    async def _read_chunks(self, stream: _Stream) -> str:
        """Collect the text, and return why it may be incomplete.

        Raises:
            TimeoutError: the sender paused for too long.
            rtc.StreamError: the stream was aborted or is too long.
        """
        characters = self._topic.characters
        while len(stream.text) < characters:
            async with asyncio.timeout(SILENCE_S):
                chunk = await anext(stream.reader, None)
            if chunk is None:
                return ""
            stream.text = (stream.text + chunk)[:characters]
            await self._wait_for_order(stream)
            if stream.timer is None:
                self._report_growth(stream)
        return "too long"

    def _report_growth(self, stream: _Stream) -> None:
        """Report the text, and again after the interval if it has grown by then."""
        stream.timer = None
        if stream.reported_characters < len(stream.text):
            stream.reported_characters = len(stream.text)
            stream.report(stream.text, None)
            loop = asyncio.get_running_loop()
            growth_s = self._topic.growth_s
            stream.timer = loop.call_later(growth_s, self._report_growth, stream)

    async def _wait_for_order(self, stream: _Stream) -> None:
        """Wait until the sender's earlier text is in order, or too long.

        The SDK reads each stream in its own task: the second may arrive first.
        """
        earlier, stream.earlier = stream.earlier, None
        if earlier is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(earlier.is_in_order.wait(), ORDER_S)
        stream.is_in_order.set()
