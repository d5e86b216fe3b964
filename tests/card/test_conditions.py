"""Smoke test of the table of conditions: some rows of it, without their times."""

from dataclasses import replace

import pytest

from appliance.demo.livekit_server import LocalServer, find_or_build
from tests.card import machine, machine_conditions, running_box, simulated_box
from tests.card.conditions import CONDITIONS, Begin, Condition, measured
from tests.card.faults import FAULTS
from tests.card.machine_conditions import MACHINE_CONDITIONS
from tests.card.table import LINES, line

LOST = next(x for x in CONDITIONS if x.fault == "unplugged")
BUSY = next(x for x in CONDITIONS if x.fault == "microphone-busy")
GOOD = Condition("name-bytes", Begin.START)


@pytest.fixture(autouse=True)
def busy_machine(monkeypatch):
    """Let the box lose sound while other tests are run."""
    monkeypatch.setattr(running_box, "MAY_LOSE_SOUND", True)


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


@pytest.mark.parametrize("fault", ["oled-unplugged", "oled-lossy", "mixer-20-db-down"])
async def test_a_fault_of_the_machine_is_named_or_invisible_and_heals(tmp_path, fault):
    condition = next(x for x in MACHINE_CONDITIONS if x.fault == fault)
    async with LocalServer(find_or_build(print)) as server:
        row = await machine_conditions.measured(condition, server, tmp_path)
    assert bool(row.said) is bool(condition.words)
    assert row.healed_s is not None
    assert row.lines <= LINES
    assert row.disturbed == ()


def test_every_fault_of_panel_and_machine_is_a_condition():
    known = {*simulated_box.FAULTS, *machine.FAULTS}
    assert {x.fault for x in MACHINE_CONDITIONS} == known
