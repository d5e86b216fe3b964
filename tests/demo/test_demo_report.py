import msgspec
import pytest

from appliance.demo.companion_words import LONGEST_QUOTE, answer, is_answer
from appliance.demo.report import Answered, Heard, Joined, Lost, Said, decoded, encoded


@pytest.mark.parametrize(
    "report",
    [
        Joined(),
        Heard(1, 12.5, bytes(range(256))),
        Said(1, 13.25, 480, 96_000),
        Answered(),
        Lost("nobody is\nthere"),
    ],
)
def test_a_report_is_one_line_and_comes_back_as_it_was(report):
    line = encoded(report)
    assert line.count(b"\n") == 1
    assert decoded(line) == report


def test_what_is_no_report_is_refused():
    with pytest.raises(msgspec.MsgspecError):
        decoded(b'{"type": "something else"}')


def test_an_answer_is_known_as_one_and_has_a_bound():
    assert is_answer(answer("hello"))
    assert not is_answer("hello")
    assert len(answer("x" * 10_000)) < LONGEST_QUOTE + 20
