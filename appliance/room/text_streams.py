"""Text streams on one topic of a room, read within limits: anybody in it sends them."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
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
"""Time that a complete text waits for the end of the sender's earlier one."""

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
        """Start receiving, in tasks that `spawn` starts.

        Only the limit `each` applies to trusted senders.
        """
        self._topic = topic
        self._spawn = spawn
        self._opened = opened
        self._is_trusted = is_trusted
        self._streams: dict[asyncio.Task[Any], str] = {}
        """Tasks that read a stream, the oldest first, and its sender."""
        self._rate = Buckets(MESSAGES)
        self._log_limit = LogLimit()
        room.register_text_stream_handler(topic.name, self._receive)

    def _receive(self, reader: rtc.TextStreamReader, identity: str) -> None:
        own = [task for task, sender in self._streams.items() if sender == identity]
        if len(own) < self._topic.each and self._may_read(identity):
            report = self._opened(reader.info, identity)
        else:
            report = None
            message = "text stream dropped  from=%s reason=%r"
            facts = (short_id(identity), TOO_MANY)
            self._log_limit.log(_log, logging.WARNING, message, *facts)
        if report is None:
            reader.close()
            return
        task = self._spawn(self._read(reader, report, own[-1:]))
        self._streams[task] = identity
        task.add_done_callback(self._streams.pop)

    def _may_read(self, identity: str) -> bool:
        if self._is_trusted(identity):
            return True
        is_free = len(self._streams) < self._topic.total
        return is_free and self._rate.may(identity, time.monotonic())

    async def _read(
        self,
        reader: rtc.TextStreamReader,
        report: Report,
        earlier: list[asyncio.Task[Any]],
    ) -> None:
        """Receive the stream, and report what came, whether or not it is complete."""
        text, fault = "", "too long"
        try:
            while len(text) < self._topic.characters:
                async with asyncio.timeout(SILENCE_S):
                    chunk = await anext(reader, None)
                if chunk is None:
                    fault = ""
                    break
                text = (text + chunk)[: self._topic.characters]
                report(text, None)
        except TimeoutError:
            fault = "incomplete after the time-out"
        except rtc.StreamError:
            fault = "aborted or too long"
        finally:
            reader.close()
        if earlier:
            # The SDK reads each stream in its own task: the second may end first.
            await asyncio.wait(earlier, timeout=ORDER_S)
        report(text, fault)
