"""Log lines of the SDK: redaction, level and rate limit."""

import logging
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.process.logs import LINES, redacted
from appliance.room import adapter

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJrIn0.c2lnbmF0dXJl-_"
SDK = "/somewhere/livekit/rtc/room.py"


@pytest.fixture
def say(caplog):
    """Log as the SDK does, and return what was written."""
    caplog.set_level(logging.DEBUG)
    adapter.limit_log()

    places = count(1)

    def say(name, level, message, *args, path=SDK, place=None):
        caplog.clear()
        logger = logging.getLogger(name)
        line = place or next(places)
        record = logger.makeRecord(
            name or "root", level, path, line, message, args, None
        )
        logger.handle(record)
        return [(x.levelname, x.getMessage()) for x in caplog.records]

    return say


def test_native_lines_are_demoted_and_redacted(say):
    native = ("livekit", 63, "signal", f"401 - invalid token: {TOKEN}, error")
    lines = say("livekit", logging.ERROR, "%s:%s:%s - %s", *native)
    assert lines == [
        ("DEBUG", "livekit:63:signal - 401 - invalid token: <hidden>, error")
    ]


def test_native_lines_are_left_out_unless_debug_is_on(say, caplog):
    caplog.set_level(logging.INFO)
    assert say("livekit", logging.ERROR, "%s:%s:%s - %s", "a", 1, "b", "c") == []


def test_the_sdks_own_lines_keep_their_level(say):
    lines = say("livekit", logging.ERROR, "lost at wss://host/rtc?access_token=x y")
    assert lines == [("ERROR", "lost at wss://host/rtc?<hidden> y")]


def test_events_are_not_logged(say):
    message = "error running user callback for %s: %s"
    lines = say("", logging.ERROR, message, "data", "chat text")
    assert lines == [("ERROR", "error running user callback")]


@pytest.mark.parametrize("kind", ["text", "byte"])
def test_streams_without_a_handler_are_logged_at_debug_only(say, caplog, kind):
    message = f"ignoring {kind} stream with topic '%s', no callback attached"
    found = [("DEBUG", message % "what a stranger chose")]
    assert say("", logging.INFO, message, "what a stranger chose") == found
    caplog.set_level(logging.INFO)
    assert say("", logging.INFO, message, "what a stranger chose") == []


def test_repeats_of_a_line_are_left_out(say):
    lines = [say("livekit", logging.ERROR, f"no {n}", place=77_000) for n in range(9)]
    assert lines == [
        *([("ERROR", f"no {n}")] for n in range(LINES)),
        *([] for _ in range(9 - LINES)),
    ]


def test_lines_of_other_modules_are_not_changed(say):
    lines = say("", logging.INFO, "what?why %s", TOKEN, path="/appliance/app.py")
    assert lines == [("INFO", f"what?why {TOKEN}")]


def test_the_filter_is_installed_once():
    adapter.limit_log()
    before = len(logging.getLogger("livekit").filters)
    adapter.limit_log()
    assert len(logging.getLogger("livekit").filters) == before


base64url = st.text("abcXYZ019-_", min_size=1, max_size=40)
header = st.text("abcXYZ019-_", min_size=5, max_size=40)
"""A shorter one could not name an algorithm."""


@given(header, base64url, base64url, st.text(max_size=10))
def test_no_part_of_a_token_stays(head, body, signature, around):
    token = f"eyJ{head}.eyJ{body}.{signature}"
    found = redacted(f"{around} {token} {around}")
    assert token not in found
    assert f"eyJ{body}" not in found
