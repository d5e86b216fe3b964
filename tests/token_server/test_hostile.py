"""The token server with hostile clients."""

import asyncio
import gc
import logging
from contextlib import asynccontextmanager
from dataclasses import replace

from appliance.token_server.server import client_limits, listening_socket, server
from tests.net.hostile import WIDE, Target, assault, seeds, status_of, unlimited
from tests.token_server.clients import settings

DEFAULT = client_limits(settings().config)

COUNT = 1500
"""The page is attacked more often, behind the same HTTP parser."""


@asynccontextmanager
async def running(chosen):
    """Serve as the program does."""
    serves = server(settings(), chosen)
    with listening_socket("127.0.0.1:0") as listening:
        task = asyncio.create_task(serves.serve([listening]))
        try:
            yield Target(*listening.getsockname())
        finally:
            serves.should_exit = True
            await task


async def test_mutated_connections_write_three_lines_at_most(caplog):
    caplog.set_level(logging.INFO, logger="appliance")
    caplog.set_level(logging.ERROR, logger="uvicorn")
    async with running(
        replace(DEFAULT, connections=WIDE, requests=unlimited())
    ) as target:
        host = f"{target.host}:{target.port}"
        await assault(target, seeds(host, "/api/token", "/health"), COUNT)
        gc.collect()
        await asyncio.sleep(0)
        assert await status_of(target, "/health") == 200
    lines = [x for x in caplog.messages if not x.startswith("token issued")]
    assert len(lines) <= 3, lines


async def test_a_flood_of_token_requests_is_refused_and_writes_few_lines(caplog):
    caplog.set_level(logging.INFO, logger="appliance")
    async with running(client_limits(settings().config)) as target:
        statuses = []
        for number in range(100):
            source = f"127.0.0.{2 + number % 4}"
            statuses.append(await status_of(target, "/api/token", source))
    assert statuses[:80] == [200] * 80
    assert len(caplog.messages) <= 25


async def test_one_address_is_refused_before_it_takes_all_the_tokens():
    async with running(client_limits(settings().config)) as target:
        statuses = [await status_of(target, "/api/token") for _ in range(60)]
        assert statuses[:40] == [200] * 40
        assert {0, 429} & set(statuses[40:])
        assert await status_of(target, "/api/token", "127.0.0.2") == 200
