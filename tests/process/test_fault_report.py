"""Reports of a fault that comes and goes."""

import logging

import pytest

from appliance.core.events import Event, Part, PartFound, PartLost
from appliance.process.fault_report import FaultLog, FaultReport
from appliance.process.logs import FAULT_LINES, FAULT_WINDOW_S
from tests.clock import Clock

_log = logging.getLogger(__name__)


@pytest.fixture
def lines(caplog):
    """Return the level and the text of each line so far."""
    caplog.set_level("DEBUG")
    return lambda: [(x.levelname, x.getMessage()) for x in caplog.records]


def test_the_first_failure_is_a_warning_repeats_are_debug_the_recovery_is_info(lines):
    fault = FaultLog(_log, "disk cannot be read", "disk is read again")
    fault.failed("busy")
    fault.failed("busy")
    fault.failed("gone")
    fault.worked()
    fault.worked()
    assert lines() == [
        ("WARNING", "disk cannot be read  reason=busy"),
        ("DEBUG", "disk cannot be read  reason=busy"),
        ("DEBUG", "disk cannot be read  reason=gone"),
        ("INFO", "disk is read again"),
    ]


def test_after_a_recovery_the_next_failure_is_a_warning_again(lines):
    fault = FaultLog(_log, "disk cannot be read")
    for _ in range(2):
        fault.failed("busy")
        fault.worked()
    assert lines() == [("WARNING", "disk cannot be read  reason=busy")] * 2


def test_a_fault_that_comes_and_goes_all_hour_is_a_few_lines_and_their_number(lines):
    clock = Clock()
    fault = FaultLog(_log, "disk cannot be read", "disk is read again", now_s=clock)
    for _ in range(1200):
        assert fault.failed("busy")
        assert fault.worked()
        clock.now_s += 3.0
    written = [line for line in lines() if line[0] != "DEBUG"]
    assert len(written) == 2 * FAULT_LINES
    fault.failed("busy")
    assert lines()[-1] == (
        "WARNING",
        f"disk cannot be read  reason=busy  left_out={1200 - FAULT_LINES}",
    )


def test_a_percent_sign_in_the_lines_is_no_placeholder(lines):
    clock = Clock()
    fault = FaultLog(_log, "not read  url=/a%20b", "read  url=/a%20b", now_s=clock)
    for _ in range(FAULT_LINES + 1):
        fault.failed("busy")
        fault.worked()
    clock.now_s += FAULT_WINDOW_S
    fault.failed("busy")
    fault.worked()
    assert lines()[:2] == [
        ("WARNING", "not read  url=/a%20b  reason=busy"),
        ("INFO", "read  url=/a%20b"),
    ]
    assert lines()[-2:] == [
        ("WARNING", "not read  url=/a%20b  reason=busy  left_out=1"),
        ("INFO", "read  url=/a%20b  left_out=1"),
    ]


def test_a_fault_log_returns_what_is_new():
    fault = FaultLog(_log, "disk cannot be read")
    assert not fault.worked()
    assert fault.failed("busy")
    assert not fault.failed("busy")
    assert fault.failed(OSError("gone"))
    assert fault.reason == "gone"
    assert fault.worked()
    assert fault.reason is None


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def report(events):
    return FaultReport(events.append, Part.SCREEN, "OLED", FaultLog(_log, "lost"))


def test_the_core_gets_each_new_reason_once_and_the_recovery_once(report, events):
    for reason in ("no bus", "no bus", "no device", "no device"):
        report.lost(reason)
        assert report.is_lost
    for _ in range(2):
        report.found()
        assert not report.is_lost
    report.lost("no device")
    assert events == [
        PartLost(Part.SCREEN, "OLED", "no bus"),
        PartLost(Part.SCREEN, "OLED", "no device"),
        PartFound(Part.SCREEN, "OLED"),
        PartLost(Part.SCREEN, "OLED", "no device"),
    ]


def test_a_part_that_was_never_missing_is_not_reported_as_found(report, events):
    report.found()
    assert events == []


def test_losses_at_the_start_are_ignored_as_often_as_wanted(events):
    log = FaultLog(_log, "lost")
    report = FaultReport(events.append, Part.SCREEN, "OLED", log, patience=2)
    for _ in range(2):
        report.lost("no bus")
    assert events == []
    report.lost("no bus")
    assert events == [PartLost(Part.SCREEN, "OLED", "no bus")]


def test_after_it_has_worked_the_first_loss_is_reported(events):
    log = FaultLog(_log, "lost")
    report = FaultReport(events.append, Part.SCREEN, "OLED", log, patience=2)
    report.found()
    report.lost("no bus")
    assert events == [PartLost(Part.SCREEN, "OLED", "no bus")]
