"""The limit on repeated log lines."""

import asyncio
import logging

import pytest

from appliance.process.logs import LINES, WINDOW_S, LogLimit
from tests.clock import Clock


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def logger(caplog):
    caplog.set_level(logging.DEBUG)
    return logging.getLogger("appliance.process.test")


def test_a_few_lines_of_a_kind_are_admitted_and_the_others_counted(
    clock, logger, caplog
):
    limit = LogLimit(now_s=clock)
    for number in range(LINES + 5):
        limit.log(logger, logging.WARNING, "dropped  number=%d", number)
        limit.log(logger, logging.INFO, "ended")
    shown = [x for x in caplog.records if x.levelno > logging.DEBUG]
    assert len(shown) == 2 * LINES
    clock.now_s += WINDOW_S
    limit.log(logger, logging.WARNING, "dropped  number=%d", 99)
    limit.log(logger, logging.WARNING, "dropped  number=%d", 100)
    last = [x.getMessage() for x in caplog.records[-2:]]
    assert last == ["dropped  number=99  left_out=5", "dropped  number=100"]


async def test_the_count_is_logged_at_the_end_of_the_window_without_another_line(
    logger, caplog
):
    limit = LogLimit(1, window_s=0.01)
    for number in range(10):
        limit.log(logger, logging.WARNING, "dropped  number=%d", number)
    async with asyncio.timeout(10):
        while not [x for x in caplog.messages if "left_out" in x]:
            await asyncio.sleep(0.001)
    shown = [x.getMessage() for x in caplog.records if x.levelno > logging.DEBUG]
    assert shown == ["dropped  number=0", "dropped  left_out=9"]
