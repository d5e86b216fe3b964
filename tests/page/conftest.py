"""Fixtures: a served page, a paired client and a real browser."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import async_playwright, expect

from tests.clock import Clock
from tests.page.fake_app import Served, serving
from tests.page.phone import CHROMIUM, PHONE, SWITCHES, OpenPage, opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def served(tmp_path: Path, clock: Clock) -> AsyncIterator[Served]:
    async with serving(tmp_path, clock) as page:
        yield page


@pytest.fixture
async def paired(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    """A paired client."""
    cookie = await served.cookie()
    async with served.client(headers={"cookie": cookie}) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser():
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=SWITCHES
        )
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture(loop_scope="module")
async def phone(browser, tmp_path):
    async with serving(tmp_path, Clock()) as served:
        page, problems = await opened(browser, viewport=PHONE, has_touch=True)
        name, _, value = (await served.cookie()).partition("=")
        cookie = {"name": name, "value": value, "url": served.url}
        await page.context.add_cookies([cookie])
        await page.goto(served.url)
        await expect(page.locator("#link-text")).to_have_text("live")
        phone = OpenPage(page, served, problems)
        yield phone
        await page.context.close()
        assert [each for each in problems if phone.expected not in each] == []
