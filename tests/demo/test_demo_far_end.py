import asyncio
from contextlib import asynccontextmanager

from appliance.demo.far_end import FarEnd
from appliance.demo.report import Lost, Order, Report

DEADLINE_S = 30.0


@asynccontextmanager
async def far_end(order):
    reports: asyncio.Queue[Report] = asyncio.Queue()
    async with FarEnd(order, reports.put_nowait) as running:
        async with asyncio.timeout(DEADLINE_S):
            yield running, reports


async def test_a_companion_that_cannot_join_says_so():
    async with far_end(Order("ws://127.0.0.1:9", "none")) as (_, reports):
        lost = await reports.get()
    assert isinstance(lost, Lost)
    assert "cannot join" in lost.sentence


async def test_leaving_ends_a_companion_that_still_tries():
    async with far_end(Order("ws://127.0.0.1:9", "none")) as (running, _):
        pid = running.pid
    assert pid is not None
    assert running.is_over
