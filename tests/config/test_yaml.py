"""The strict subset of YAML that the configuration is written in."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config.yaml import MAX_BYTES, read_mapping, read_yaml
from appliance.errors import ConfigError


def fault_of(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read_mapping(text, "config.yaml")
    (fault,) = caught.value.faults
    return str(fault)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# only a comment", None),
        ("~", None),
        ("yes", True),
        ("Off", False),
        ("17", 17),
        ("-3", -3),
        ("0x3C", 60),
        ("1.5", 1.5),
        ("017", "017"),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        (".nan", ".nan"),
        ("1e5", "1e5"),
        ('"17"', "17"),
        ("'yes'", "yes"),
        ("|\n  yes\n", "yes\n"),
        ("[1, [a, b], {c: null}]", [1, ["a", "b"], {"c": None}]),
        ("on: 1\n1: 2\n", {"on": 1, "1": 2}),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_a_value_has_its_obvious_meaning(text, value):
    assert read_yaml(text, "config.yaml") == value


def test_a_repeated_key_is_reported_with_both_lines():
    assert fault_of("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n") == (
        "config.yaml: b.c: given twice, in lines 3 and 5. Keep one."
    )


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("a: b: c", "config.yaml: line 1, column 5: not YAML: mapping values"),
        ("a:\n\t- b", "config.yaml: line 2, column 1: not YAML: found character"),
        ("{a:b}", "config.yaml: line 1, column 2: found a colon without a space."),
        ("a:\n\xa0 b: c", "config.yaml: line 2, column 1: found a no-break space."),
        (
            "a:b",
            (
                'config.yaml: line 1, column 1: expected keys such as "room:", with a '
                "space after each colon, found something else."
            ),
        ),
        ("[1, 2]", 'config.yaml: line 1, column 1: expected keys such as "room:"'),
        ("hello", 'config.yaml: line 1, column 1: expected keys such as "room:"'),
        ("a: 1\n---\nb: 2", "config.yaml: line 3, column 1: found a second document"),
        ("a: &x 1", "config.yaml: line 1, column 4: found an anchor or alias"),
        ("a: *x", "config.yaml: line 1, column 4: found an anchor or alias"),
        ("a: !x 1", "config.yaml: line 1, column 4: found a tag"),
        ("a: !!python/object:os.system []", "config.yaml: line 1, column 4: found a"),
        ("a: !x {b: 1}", "config.yaml: line 1, column 4: found a tag"),
        ("[a]: b", "config.yaml: line 1, column 1: expected a key such as"),
        ("{a: 1", "config.yaml: line 2, column 1: not YAML"),
        ("a: \x07", "config.yaml: has characters that YAML forbids"),
        ("a: \ud800", "config.yaml: has characters that YAML forbids"),
        ("a\0b", "config.yaml: expected a short text"),
        ("#" * (MAX_BYTES + 1), "config.yaml: expected a short text"),
    ],
)
def test_other_yaml_is_reported_with_line_and_column(text, start):
    assert fault_of(text).startswith(start)


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 50_000, "{a: " * 50_000])
def test_a_hundred_thousand_brackets_are_a_fault_and_not_a_crash(text):
    # PyYAML's newer parser has a limit of its own.
    fault = fault_of(text)
    assert "nested too deeply" in fault or "maximum nesting depth" in fault


@given(st.text())
def test_any_text_is_a_value_or_a_fault(text):
    with contextlib.suppress(ConfigError):
        read_yaml(text, "config.yaml")
