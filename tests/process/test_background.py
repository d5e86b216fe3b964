"""Life cycle of background tasks."""

import asyncio
from typing import Self

import pytest

from appliance.process.background import Background, Work


class Adapter:
    """Adapter with the given background tasks."""

    def __init__(self, *works: Work) -> None:
        self._works = works
        self.background = Background()

    async def __aenter__(self) -> Self:
        await self.background.open(*self._works)
        return self

    async def __aexit__(self, *failure: object) -> None:
        async with asyncio.timeout(30):
            await self.background.close(*failure)


class Endless:
    """Work that runs until it is cancelled."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.was_cancelled = False

    async def run(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.was_cancelled = True


async def fail() -> None:
    raise ZeroDivisionError


async def test_a_failing_task_ends_the_block_that_opened_the_adapter():
    endless = Endless()
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(10), Adapter(endless.run(), fail()):
            await asyncio.Event().wait()
    assert caught.group_contains(ZeroDivisionError)
    assert endless.was_cancelled


async def test_a_task_that_is_started_later_ends_the_block_too():
    async def use() -> None:
        async with asyncio.timeout(10), Adapter() as adapter:
            adapter.background.start(fail())
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        await use()
    assert caught.group_contains(ZeroDivisionError)


async def test_a_task_that_has_ended_leaves_the_adapter_open():
    async def end() -> None:
        pass

    async with Adapter() as adapter:
        await adapter.background.start(end())
        assert adapter.background.is_open


async def test_closing_cancels_the_tasks_and_waits_for_them():
    endless = Endless()
    async with Adapter(endless.run()) as adapter:
        await endless.started.wait()
        assert adapter.background.is_open
    assert endless.was_cancelled
    assert not adapter.background.is_open


async def test_closing_twice_or_unopened_does_nothing():
    adapter = Adapter()
    await adapter.background.close()
    async with adapter:
        pass
    await adapter.background.close()
    assert not adapter.background.is_open


async def test_an_error_of_the_block_is_raised_as_it_is():
    endless = Endless()

    async def use() -> None:
        async with Adapter(endless.run()):
            await endless.started.wait()
            raise KeyError

    with pytest.raises(KeyError):
        await use()
    assert endless.was_cancelled


async def test_cancelling_the_block_cancels_the_tasks_and_is_passed_on():
    endless = Endless()

    async def use() -> None:
        async with Adapter(endless.run()):
            await asyncio.Event().wait()

    task = asyncio.create_task(use())
    await endless.started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert endless.was_cancelled
