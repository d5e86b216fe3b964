"""The limit on repeated log lines."""

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
