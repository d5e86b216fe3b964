"""The table of the benchmark: goals, verdicts and missing figures."""

import json
import math

import pytest

from tests.bench.report import (
    Goal,
    Row,
    Section,
    Verdict,
    as_json,
    is_complete,
    number,
    shown,
    table,
    verdict,
)
from tests.bench.spread import one, spread


def row(ours, goal=None, rival=None):
    return Row(name="mouth to ear", unit="ms", ours=ours, goal=goal, rival=rival)


@pytest.mark.parametrize(
    ("goal", "expected"),
    [
        (Goal(70.0), Verdict.MET),
        (Goal(60.0), Verdict.MET),
        (Goal(59.0), Verdict.MISSED),
        (Goal(79.0, "high"), Verdict.MISSED),
        (Goal(80.0, "high"), Verdict.MET),
        (None, Verdict.NONE),
    ],
)
def test_a_goal_is_the_largest_acceptable_value(goal, expected):
    assert verdict(row(spread([50.0, 60.0, 80.0]), goal)) is expected


def test_a_figure_that_could_not_be_measured_says_so():
    missing = row(None, Goal(70.0))
    assert verdict(missing) is Verdict.UNKNOWN
    assert not is_complete([Section("Delay", (row(one(1.0)), missing))])
    assert is_complete([Section("Delay", (row(one(1.0)),))])


def test_the_table_shows_goal_ours_and_the_sdks_side_by_side():
    fine = row(spread([50.0, 60.04, 80.0]), Goal(70.0), spread([400.0, 445.2]))
    lines = table([Section("Delay", (fine,))]).splitlines()
    assert lines[2] == "Delay"
    assert lines[3].split("  ") == [
        "",
        "mouth to ear [ms]",
        "<= 70",
        "50 / 60.0 / 80",
        "400 / 423 / 445",
        "met",
    ]


def test_a_browser_has_a_column_where_it_was_measured():
    plain = row(one(3.0))
    beside = Row(name="late", unit="ms", ours=one(1.0), browser=one(2.0))
    assert "Chromium" not in table([Section("Delay", (plain,))])
    lines = table([Section("Links", (beside, plain))]).splitlines()
    assert lines[0].split() == [
        "figure",
        "goal",
        "ours",
        "MediaDevices",
        "Chromium",
        "verdict",
    ]
    assert lines[3].split() == ["late", "[ms]", "-", "1", "-", "2"]
    assert lines[4].split()[-3:] == ["3", "-", "-"]


def test_a_note_stands_below_its_figure():
    noted = Row(name="packages", unit="", ours=one(1.0), note="starlette")
    assert table([Section("Memory", (noted,))]).splitlines()[-1].strip() == "starlette"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"),
        (70.0, "70"),
        (445.4, "445"),
        (53.26, "53.3"),
        (0.256, "0.26"),
        (math.inf, "inf"),
        (math.nan, "nan"),
    ],
)
def test_a_number_has_its_significant_digits_only(value, expected):
    assert number(value) == expected


def test_a_single_value_is_one_number_and_none_is_a_dash():
    assert shown(one(3.0)) == "3"
    assert shown(None) == "-"


def test_the_json_output_contains_every_value():
    found = as_json({"cores": 2}, [Section("Delay", (row(one(3.0), Goal(5.0)),))])
    figure = json.loads(json.dumps(found))["figures"][0]
    assert figure["ours"]["values"] == [3.0]
    assert figure["verdict"] == "met"
    assert figure["section"] == "Delay"
