"""Fixtures: a served page, a paired client and a real browser."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.clock import Clock
from tests.page.fake_app import Served, serving


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def served(tmp_path: Path, clock: Clock) -> AsyncIterator[Served]:
    async with serving(tmp_path, clock) as page:
        yield page


@pytest.fixture
async def paired(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a session."""
    cookie = await served.cookie()
    async with served.client(headers={"cookie": cookie}) as client:
        yield client
