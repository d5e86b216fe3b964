"""Reports of joins and leaves to an address."""

import asyncio
import json
from contextlib import asynccontextmanager

from appliance.config import Config
from appliance.core.state import State
from appliance.core.view import view
from appliance.metrics.counters import Counters
from appliance.metrics.push import MetricsPush

VIEW = view(State(Config()), 0.0)


class Collector:
    """A real HTTP server that keeps the bodies of requests."""

    def __init__(self):
        self.bodies = asyncio.Queue[object]()
        self.status = 204
        self.url = ""

    async def answer(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r")[0])
        body = json.loads(await reader.readexactly(length))
        writer.write(f"HTTP/1.1 {self.status} x\r\ncontent-length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        self.bodies.put_nowait(body)


@asynccontextmanager
async def collecting():
    collector = Collector()
    server = await asyncio.start_server(collector.answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        collector.url = f"http://127.0.0.1:{port}/counts?key=hush"
        yield collector


async def test_each_join_and_leave_is_reported_and_nothing_else():
    counts = Counters()
    async with (
        collecting() as collector,
        MetricsPush(collector.url, "kitchen", counts) as report,
    ):
        report.show(VIEW)
        counts.joins = 1
        report.show(VIEW)
        body = await collector.bodies.get()
        assert body == {"name": "kitchen", "joins": 1, "leaves": 0}
        report.show(VIEW)
        counts.leaves = 1
        report.show(VIEW)
        body = await collector.bodies.get()
        assert body == {"name": "kitchen", "joins": 1, "leaves": 1}
        assert collector.bodies.empty()


async def test_no_proxy_from_the_environment_is_used(monkeypatch):
    for variable in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with collecting() as collector:
        counts = Counters()
        async with MetricsPush(collector.url, "kitchen", counts) as push:
            counts.joins = 1
            push.show(VIEW)
            assert await collector.bodies.get()


async def test_the_leave_at_the_end_of_the_process_is_reported():
    counts = Counters()
    async with collecting() as collector:
        async with MetricsPush(collector.url, "kitchen", counts):
            counts.joins = counts.leaves = 1
        assert collector.bodies.get_nowait() == {
            "name": "kitchen",
            "joins": 1,
            "leaves": 1,
        }


async def test_a_fault_is_a_warning_once_and_its_recovery_an_info_line(caplog):
    caplog.set_level("INFO")
    counts = Counters()
    async with collecting() as collector:
        report = MetricsPush(collector.url, "kitchen", counts)
        for status in (500, 500, 204):
            collector.status = status
            counts.joins += 1
            async with report:
                pass
    where = collector.url.partition("?")[0]
    assert [x.getMessage() for x in caplog.records if "appliance" in x.name] == [
        f"report not delivered  url={where}  reason=answered 500",
        "reports are delivered again",
    ]


async def test_an_unreachable_collector_costs_one_line(caplog):
    async with collecting() as collector:
        url = collector.url
    counts = Counters()
    report = MetricsPush(url, "kitchen", counts)
    for _ in range(3):
        counts.joins += 1
        async with report:
            pass
    assert caplog.text.count("report not delivered") == 1
    assert "hush" not in caplog.text
