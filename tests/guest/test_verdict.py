"""Verdicts of the guest's checks."""

from tests.guest.verdict import Findings, Result, exit_status, line, summary

GOOD = Result("boot", 14.4, ("in the room 12.3 s",))
BAD = Result("mixer", 9.0, ("speaker at -20 dB",), ("nothing said",))


def test_a_line_has_name_verdict_seconds_and_figures():
    assert line(GOOD) == "boot           ok        14 s  in the room 12.3 s"


def test_what_is_wrong_comes_first():
    assert line(BAD).endswith("s  WRONG: nothing said; speaker at -20 dB")
    assert " FAILED " in line(BAD)


def test_the_summary_names_what_has_failed():
    assert summary([GOOD, BAD, GOOD]) == "2 passed, 1 failed (mixer)"
    assert summary([GOOD]) == "1 passed, 0 failed"


def test_the_exit_status_is_0_only_if_everything_passed():
    assert exit_status([GOOD]) == 0
    assert exit_status([GOOD, BAD]) == 1
    assert exit_status([]) == 1


def test_a_figure_that_is_not_as_expected_is_wrong():
    findings = Findings()
    findings.note("a")
    findings.expect(True, "b")
    findings.expect(False, "c")
    assert (findings.measured, findings.wrong) == (["a", "b"], ["c"])
