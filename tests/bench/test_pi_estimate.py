"""Instruction counts and the estimates for Raspberry Pis."""

import pytest

from tests.bench.pi_estimate import MODELS, instructions, table, work


def test_the_count_is_read_from_the_output_of_cachegrind():
    assert instructions("==12== \n==12== I   refs:      1,234,567\n") == 1_234_567


def test_an_output_without_a_count_is_an_error():
    with pytest.raises(ValueError, match="command not found"):
        instructions("sh: valgrind: command not found")


def test_a_faster_model_takes_a_smaller_share():
    shares = [model.percent(100e6) for model in MODELS]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == pytest.approx(100 * 100e6 / (1.0e9 * 0.6))


def test_shares_of_this_machine_become_shares_of_each_model():
    lines = table(60e6, 6e9, {"whole box": 10.0}).splitlines()
    assert [line.split()[-5:] for line in lines[1:]] == [
        ["60", "10", "7", "4", "1"],
        ["600", "100", "71", "36", "13"],
    ]


def test_the_counted_work_runs():
    assert work(3) > 0.0
