"""Causes and sentences for what the SDK reports."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.rtc import DisconnectReason

from appliance.core.events import Cause
from appliance.room.connection import connect_failure, disconnect_failure

INVALID = "client error: 401 Unauthorized - invalid token: x, error: go-jose/jwt"
SAID = {
    f"{INVALID}: validation failed, token is expired (exp)": (Cause.REFUSED, False),
    f"{INVALID}: validation failed, token not valid yet (nbf)": (Cause.REFUSED, False),
    "IO error: invalid peer certificate: certificate not valid yet: now 1, not 2": (
        Cause.SERVER_LOST,
        False,
    ),
    "engine: signal failure: client error: 401 Unauthorized - invalid API key: x": (
        Cause.REFUSED,
        True,
    ),
    "engine: signal failure: client error: 401 Unauthorized - permissions denied": (
        Cause.REFUSED,
        True,
    ),
    "engine: signal failure: client error: 403 Forbidden - ": (Cause.REFUSED, True),
    "engine: signal failure: access token has invalid characters": (
        Cause.REFUSED,
        True,
    ),
    "engine: signal failure: failed to parse the url: relative URL": (
        Cause.MISCONFIGURED,
        True,
    ),
    "engine: signal failure: client error: 404 Not Found - ": (
        Cause.SERVER_LOST,
        False,
    ),
    "IO error: failed to lookup address information": (Cause.NO_INTERNET, False),
    "IO error: Network is unreachable (os error 101)": (Cause.NO_INTERNET, False),
    "IO error: Connection refused (os error 111)": (Cause.SERVER_LOST, False),
    "IO error: invalid peer certificate: UnknownIssuer": (Cause.SERVER_LOST, False),
    "engine: signal failure: transport timed out": (Cause.SERVER_LOST, False),
    "server error: 503 Service Unavailable - ": (Cause.SERVER_LOST, False),
    "something new": (Cause.SERVER_LOST, False),
}


@pytest.mark.parametrize("message", SAID)
def test_every_message_of_the_sdk_has_a_cause(message):
    found = connect_failure(message)
    assert (found.cause, found.is_final) == SAID[message]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("error for url (wss://tls.example.org/rtc): something new", "restarting"),
        ("error for url (wss://refused.org/rtc): something new", "restarting"),
        ("something new: eyJhbGciOiJIUzI1NiJ9.eyJTLSI.tls", "restarting"),
        ("something new: subtle", "restarting"),
        (f"{INVALID}: validation failed, token is expired (exp)", "clocks of token"),
        ("IO error: TLS error: native-tls error", "clock"),
        ("server error: 502 Bad Gateway - connection refused, tls", "server's log"),
        ("error for url (wss://a.org/rtc): client error (Connect): refused", "answers"),
        ("client error (Connect)", "server's log"),
    ],
)
def test_address_token_and_page_of_a_proxy_do_not_decide_the_cause(message, words):
    assert words in connect_failure(message).reason


@given(st.text())
def test_any_message_of_the_sdk_has_a_sentence(message):
    assert connect_failure(message).reason


def test_a_token_in_the_message_is_not_in_the_sentence():
    said = "client error: 401 Unauthorized - invalid token: eyJhbGciOiJIUzI1NiJ9.e.s"
    assert "eyJ" not in connect_failure(said).reason


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        (DisconnectReason.DUPLICATE_IDENTITY, Cause.REPLACED),
        (DisconnectReason.ROOM_DELETED, Cause.ROOM_CLOSED),
        (DisconnectReason.ROOM_CLOSED, Cause.ROOM_CLOSED),
        (DisconnectReason.PARTICIPANT_REMOVED, Cause.ROOM_CLOSED),
        (DisconnectReason.SERVER_SHUTDOWN, Cause.SERVER_LOST),
        (DisconnectReason.SIGNAL_CLOSE, Cause.SERVER_LOST),
        (DisconnectReason.UNKNOWN_REASON, Cause.SERVER_LOST),
    ],
)
def test_every_disconnect_reason_has_a_cause(reason, cause):
    assert disconnect_failure(reason).cause is cause


@pytest.mark.parametrize("reason", DisconnectReason.values())
def test_every_disconnect_reason_has_a_sentence_and_none_is_final(reason):
    found = disconnect_failure(reason)
    assert found.reason
    assert not found.is_final
