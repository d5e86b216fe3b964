"""Base58 texts of keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.dtelecom.base58 import decode, encode


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", ""),
        (b"\0", "1"),
        (b"\0\0\x01", "112"),
        (b"hello world", "StV1DL6CwTryKyV"),
        (bytes(32), "1" * 32),
    ],
)
def test_known_texts_are_read_and_written(raw, text):
    assert encode(raw) == text
    assert decode(text) == raw


@given(st.binary(max_size=80))
def test_what_is_written_can_be_read(raw):
    assert decode(encode(raw)) == raw


@pytest.mark.parametrize("sign", [*"0OIl +/=\n", "é", "\uff11"])
def test_a_character_outside_the_alphabet_is_refused_without_repeating_the_text(sign):
    with pytest.raises(ValueError, match="not base58") as caught:
        decode(f"2NEpo7TZRRrLZSi2U{sign}")
    assert "2NEpo" not in str(caught.value)


def test_an_endless_text_is_refused_before_it_is_decoded():
    with pytest.raises(ValueError, match="longer than"):
        decode("z" * 1_000_000)
