"""Reports of the join and leave counts, posted to a collector."""

import asyncio
import logging
from typing import Self

import msgspec

from appliance.core.view import View
from appliance.metrics.counters import Counters
from appliance.net.url import without_query
from appliance.process.background import Background
from appliance.process.fault_report import FaultLog

_log = logging.getLogger(__name__)

POST_S = 10.0
"""Longest time for one report; nothing waits for it."""
MAX_BODY = 64 * 1024
"""Bytes; nobody reads the answer, and a longer one comes from something else."""
LAST_S = 0.3
"""Longest time for the last report: the whole stop has 3 s."""


class MetricsPush:
    """Viewer that posts `{"name", "joins", "leaves"}` after each join and leave.

    The numbers are totals: the next report replaces a lost one.
    """

    def __init__(self, url: str, name: str, counts: Counters) -> None:
        """`name` is the appliance's."""
        self._url = url
        self._name = name
        self._counts = counts
        self._reported = (0, 0)
        self._changed = asyncio.Event()
        self._delivery = FaultLog(
            _log,
            f"report not delivered  url={without_query(url)}",
            "reports are delivered again",
        )
        self._background = Background()

    async def __aenter__(self) -> Self:
        await self._background.open(self._post_changes())
        return self

    async def __aexit__(self, *failure: object) -> None:
        """Stop the task and post the counts not reported yet, for at most `LAST_S`."""
        if not self._background.is_open:
            return
        await self._background.close(*failure)
        if self._numbers() != self._reported:
            await self._post(self._numbers(), LAST_S)

    def show(self, _view: View) -> None:
        """Report if the appliance has joined or left since the last report."""
        if self._numbers() != self._reported:
            self._changed.set()

    async def _post_changes(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            numbers = self._numbers()
            await self._post(numbers, POST_S)
            self._reported = numbers

    async def _post(self, numbers: tuple[int, int], timeout_s: float) -> None:
        # Imported late: it costs 5 MB and 0.1 s, only needed if reports are configured.
        from appliance.net.http_client import PostError, post_json

        counts = {"name": self._name, "joins": numbers[0], "leaves": numbers[1]}
        body = msgspec.json.encode(counts)
        try:
            await post_json(self._url, body, None, MAX_BODY, timeout_s)
        except PostError as exc:
            self._delivery.failed(exc)
        else:
            self._delivery.worked()

    def _numbers(self) -> tuple[int, int]:
        return self._counts.joins, self._counts.leaves
