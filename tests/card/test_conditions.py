"""Smoke test of the table of conditions: three rows of it, without their times."""

from dataclasses import replace

import pytest

from appliance.demo.build_server import find_or_build
from appliance.demo.livekit_server import LocalServer
from tests.card.conditions import CONDITIONS, LINES, Begin, Condition, line, measured
from tests.card.faults import FAULTS

LOST = next(x for x in CONDITIONS if x.fault == "unplugged")
BUSY = next(x for x in CONDITIONS if x.fault == "microphone-busy")
GOOD = Condition("name-bytes", Begin.START)


@pytest.mark.parametrize("condition", [LOST, BUSY], ids=lambda x: x.fault)
async def test_a_fault_is_named_and_disturbs_nothing_else_and_heals(
    tmp_path, condition
):
    async with LocalServer(find_or_build(print)) as server:
        row = await measured(replace(condition, lasts_s=0.0), server, tmp_path)
    assert row.said.startswith("microphone: ")
    assert row.named_s is not None
    assert row.healed_s is not None
    assert row.lines <= LINES
    assert row.disturbed == ()
    assert condition.name in line(row)


async def test_a_card_that_only_has_an_odd_name_works_as_any_other(tmp_path):
    async with LocalServer(find_or_build(print)) as server:
        row = await measured(GOOD, server, tmp_path)
    assert row.said == ""
    assert row.healed_s is not None
    assert row.disturbed == ()


def test_every_fault_of_the_card_is_a_condition():
    assert {x.fault for x in CONDITIONS} == FAULTS.keys()
