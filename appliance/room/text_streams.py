"""Text streams on one topic of a room, read within limits: anybody in it sends them."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from livekit import rtc

from appliance.net.rate_limit import Buckets, Rate
from appliance.process.background import Spawn
from appliance.process.logs import LogLimit
from appliance.room.chat_format import TEXT_CHARACTERS
from appliance.room.participants import short_id

MESSAGES: Final = Rate(burst=120, per_s=20)
"""Streams, or packets, of one sender; our choice: twenty lines that were typed in an
outage arrive at once, and nobody types twenty in a second."""
EACH: Final = 24
"""Streams of one sender that are read at once; more than such lines."""
TOTAL: Final = 200
"""Streams that are read at once; our choice: 3 MB of text at most."""
TOO_MANY: Final = "too many at once"
TOO_LONG: Final = "too long"
SILENCE_S: Final = 20.0
"""Time-out between two chunks; a language model writes one line for a minute."""
ORDER_S: Final = 0.2
"""Time that a text waits for the end of the sender's earlier one."""
GROWTH_S: Final = 0.1
"""Least interval between two reports of a text: the page has ten views a second."""

Report = Callable[[str, str | None], None]
"""Take the text received so far, and at the end of the stream why it may be incomplete;
empty: it is complete; None: it goes on."""
Opened = Callable[[rtc.TextStreamInfo, str], Report | None]
"""Take the header of a new stream and its sender; None: it is not to be read."""

_log = logging.getLogger(__name__)


class TextStreams:
    """Streams on one topic of one room, with texts of at most `TEXT_CHARACTERS`."""

    def __init__(
        self, room: rtc.Room, topic: str, spawn: Spawn, opened: Opened
    ) -> None:
        """Start receiving, in tasks that `spawn` starts."""
        self._spawn = spawn
        self._opened = opened
        self._streams: dict[asyncio.Task[Any], str] = {}
        """Tasks that read a stream, the oldest first, and its sender."""
        self._rate = Buckets(MESSAGES)
        self._log_limit = LogLimit()
        room.register_text_stream_handler(topic, self._receive)

    def _receive(self, reader: rtc.TextStreamReader, identity: str) -> None:
        own = [task for task, sender in self._streams.items() if sender == identity]
        is_free = len(own) < EACH and len(self._streams) < TOTAL
        if is_free and self._rate.may(identity, time.monotonic()):
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

    async def _read(
        self,
        reader: rtc.TextStreamReader,
        report: Report,
        earlier: list[asyncio.Task[Any]],
    ) -> None:
        """Receive the stream, and report what came, whether or not it is complete."""
        loop = asyncio.get_running_loop()
        text = reported = fault = ""
        report_s = 0.0
        try:
            while not fault:
                has_grown = text != reported
                until_s = report_s if has_grown else loop.time() + SILENCE_S
                try:
                    async with asyncio.timeout_at(until_s):
                        chunk = await anext(reader, None)
                except TimeoutError:
                    if has_grown:
                        report(text, None)
                        reported, report_s = text, loop.time() + GROWTH_S
                    else:
                        fault = "incomplete after the time-out"
                    continue
                if chunk is None:
                    break
                if earlier and not text:
                    # The SDK reads each stream in its own task: the second may be read
                    # first.
                    await asyncio.wait(earlier, timeout=ORDER_S)
                fault = TOO_LONG if len(text + chunk) > TEXT_CHARACTERS else ""
                text = (text + chunk)[:TEXT_CHARACTERS]
        except rtc.StreamError:
            fault = "aborted or too long"
        finally:
            reader.close()
        report(text, fault)
