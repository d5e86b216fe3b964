import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.events import Button
from appliance.demo.keys import LONGEST_LINE, Keyboard, Quit, Typed


@pytest.mark.parametrize(
    ("data", "deeds"),
    [
        (b" ", [Button.TALK]),
        (b"l", [Button.LEAVE]),
        (b"N", [Button.NEXT_PAGE]),
        (b"+=-", [Button.VOLUME_UP, Button.VOLUME_UP, Button.VOLUME_DOWN]),
        (b"q", [Quit()]),
        (b"\x04", [Quit()]),
        (b"xyz\r\t", []),
        (b"\x1b[A\x1b[1;5Cl\x1bOP\x1bq\x1b[3~", [Button.LEAVE]),
        (b"\xff\xfe l", [Button.TALK, Button.LEAVE]),
    ],
)
def test_keys_are_buttons(data, deeds):
    assert Keyboard().pressed(data) == deeds


def test_t_begins_a_line_and_enter_sends_it():
    keyboard = Keyboard()
    assert keyboard.pressed("t hello, qué tal? l\x7fn".encode()) == []
    assert keyboard.draft == " hello, qué tal? n"
    assert keyboard.pressed(b"\r ") == [Typed("hello, qué tal? n"), Button.TALK]
    assert keyboard.draft is None


def test_a_letter_that_comes_in_halves_is_one_letter():
    keyboard = Keyboard()
    first, second = "é"[:1].encode()[:1], "é".encode()[1:]
    keyboard.pressed(b"t" + first)
    keyboard.pressed(second)
    assert keyboard.draft == "é"


@pytest.mark.parametrize("end", [b"\x1b", b"\r", b"   \r", b"\x7f\x7f\r"])
def test_a_line_that_is_given_up_or_empty_is_not_sent(end):
    keyboard = Keyboard()
    assert keyboard.pressed(b"t") == []
    assert keyboard.pressed(end) == []
    assert keyboard.draft is None


def test_a_line_has_a_bound():
    keyboard = Keyboard()
    (deed,) = keyboard.pressed(b"t" + b"x" * 10_000 + b"\r")
    assert deed == Typed("x" * LONGEST_LINE)


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_no_bytes_confuse_the_keyboard(reads):
    keyboard = Keyboard()
    for data in reads:
        for deed in keyboard.pressed(data):
            assert isinstance(deed, Button | Typed | Quit)
        assert keyboard.draft is None or keyboard.draft.isprintable()
