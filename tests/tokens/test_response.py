import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import RoomConfig, RoomKind
from appliance.core.events import Cause
from appliance.errors import TokenError, TokenRefused, TokenUnreachable
from appliance.tokens.response import (
    MAX_TOKEN_CHARACTERS,
    Claims,
    TokenAnswer,
    fixed_answer,
    read_answer,
    read_claims,
)
from tests.tokens.papers import NOW_S, ROOM, answer_of, grant, jwt_of, part

WHERE = "https://tokens.example.com/api"


def read(body: bytes, room: RoomConfig = ROOM) -> TokenAnswer:
    return read_answer(body, room, WHERE, NOW_S)


def trouble(body: bytes, room: RoomConfig = ROOM) -> TokenError:
    with pytest.raises(TokenError) as caught:
        read(body, room)
    assert jwt_of() not in caught.value.reason
    return caught.value


@pytest.mark.parametrize(
    "keys",
    [
        # One per row of the table of answers that are in use.
        {
            "serverUrl": "URL",
            "roomName": "r",
            "participantName": "n",
            "participantToken": "TOKEN",
        },
        {"server_url": "URL", "participant_token": "TOKEN"},
        {"token": "TOKEN", "wsUrl": "URL"},
        {"session_id": "s", "token": "TOKEN", "ws_url": "URL", "expires_at": 5},
    ],
)
def test_every_known_answer_is_understood(keys):
    told = {"TOKEN": jwt_of(), "URL": "wss://lk.example.com"}
    body = json.dumps({key: told.get(value, value) for key, value in keys.items()})
    assert read(body.encode()) == TokenAnswer(
        "wss://lk.example.com", jwt_of(), "box", "kitchen"
    )


def test_the_configured_server_is_used_when_the_response_names_none():
    room = replace(ROOM, url="wss://mine.example.com")
    body = json.dumps({"accessToken": jwt_of()}).encode()
    assert read(body, room).url == "wss://mine.example.com"


def test_the_server_in_the_response_overrides_the_configured_one():
    room = replace(ROOM, url="wss://mine.example.com")
    assert read(answer_of(), room).url == "wss://lk.example.com"


def test_empty_values_are_skipped():
    body = {
        "participant_token": "",
        "token": jwt_of(),
        "server_url": None,
        "wsUrl": "wss://lk.example.com",
    }
    assert read(json.dumps(body).encode()).url == "wss://lk.example.com"


def test_an_https_server_address_is_used_as_wss():
    assert read(answer_of(server_url="https://h:1")).url == "wss://h:1"
    assert read(answer_of(server_url="http://127.0.0.1:1")).url == "ws://127.0.0.1:1"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "answered with nothing, where JSON was expected."),
        (b"  \n", "answered with nothing, where JSON was expected."),
        (
            b"<!doctype html><html>",
            (
                "answered with a web page (wrong address, or a network that "
                "requires a login?), where JSON was expected."
            ),
        ),
        (
            b"hello",
            (
                "answered with something that is not a JSON object, where JSON was "
                "expected."
            ),
        ),
        (
            b"[1]",
            (
                "answered with something that is not a JSON object, where JSON was "
                "expected."
            ),
        ),
        (
            b"\xff\xfe",
            (
                "answered with something that is not a JSON object, where JSON was "
                "expected."
            ),
        ),
        (
            b'{"error": "x", "code": 1}',
            (
                "answered without a token. Expected one of these keys: "
                "participant_token, "
                "participantToken, token, accessToken; found code, error."
            ),
        ),
        (
            b"{}",
            (
                "answered without a token. Expected one of these keys: "
                "participant_token, participantToken, token, accessToken; found none."
            ),
        ),
        (b'{"token": "abc"}', "gave a text that is not a JSON Web Token."),
        (
            answer_of(participant_token=jwt_of(video=grant(""))),
            "gave a token without a room (its claim video.room is empty).",
        ),
        (
            answer_of(participant_token=jwt_of(video=grant(may_join=False))),
            "gave a token that cannot join (its claim video.roomJoin is not true).",
        ),
        (
            answer_of(participant_token=jwt_of(sub="")),
            "gave a token without an identity (its claim sub is empty).",
        ),
        (
            answer_of(participant_token=jwt_of(exp=NOW_S - 30)),
            "gave a token that expired 30 s ago. Is the clock here right?",
        ),
    ],
)
def test_a_response_without_a_usable_token_may_be_retried(body, sentence):
    exc = trouble(body)
    assert exc.reason == f"{WHERE} {sentence}"
    assert (type(exc), exc.cause) == (TokenUnreachable, Cause.TOKEN_SOURCE)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            answer_of(server_url=None),
            f"{WHERE} names no server. Write its address to room.url.",
        ),
        (
            answer_of(server_url="ws://lk.example.com:7880?access_token=SECRET"),
            (
                f"the server that {WHERE} names cannot be used: "
                "ws://lk.example.com:7880 would go over the network in the clear. "
                "Write wss://lk.example.com:7880, "
                "or add lk.example.com to room.allow_insecure."
            ),
        ),
        (
            answer_of(server_url="lk.example.com"),
            (
                f"the server that {WHERE} names cannot be used: "
                "expected an address like "
                "wss://host/path, found something else."
            ),
        ),
        (
            answer_of(participant_token=jwt_of(alg="EdDSA")),
            f"{WHERE} gave a token for dTelecom, whose rooms are not supported.",
        ),
    ],
)
def test_a_response_that_cannot_be_used_is_final(body, sentence):
    exc = trouble(body)
    assert exc.reason == sentence
    assert (type(exc), exc.cause) == (TokenRefused, Cause.MISCONFIGURED)


def test_an_allowed_host_may_be_unencrypted():
    room = replace(ROOM, allow_insecure=("nas.local",))
    assert read(answer_of(server_url="ws://nas.local:7880"), room).url.startswith("ws:")


def test_a_livekit_room_refuses_a_token_signed_with_eddsa():
    room = replace(ROOM, kind=RoomKind.LIVEKIT)
    exc = trouble(answer_of(participant_token=jwt_of(alg="EdDSA")), room)
    sentence = "gave a token signed with EdDSA, but room.kind is livekit."
    assert exc.reason == f"{WHERE} {sentence}"
    assert (type(exc), exc.cause) == (TokenRefused, Cause.MISCONFIGURED)


@pytest.mark.parametrize("kind", [RoomKind.AUTO, RoomKind.LIVEKIT])
def test_a_token_signed_with_hs256_is_accepted_for_every_kind(kind):
    assert read(answer_of(), replace(ROOM, kind=kind)).token


def test_a_fixed_token_needs_no_request():
    room = RoomConfig(url="ws://127.0.0.1:7880", token=jwt_of())
    assert fixed_answer(room, NOW_S) == TokenAnswer(
        "ws://127.0.0.1:7880", jwt_of(), "box", "kitchen"
    )


@pytest.mark.parametrize(
    ("token", "start"),
    [
        (jwt_of(exp=NOW_S - 1), "room.token is a token that expired 1 s ago."),
        ("a.b.c", "room.token is a text that is not a JSON Web Token."),
        (jwt_of(alg="EdDSA"), "room.token is a token for dTelecom"),
    ],
)
def test_a_fixed_token_that_cannot_be_used_is_final(token, start):
    with pytest.raises(TokenRefused) as caught:
        fixed_answer(RoomConfig(url="wss://h", token=token), NOW_S)
    assert caught.value.reason.startswith(start)
    assert caught.value.cause == Cause.MISCONFIGURED


def answer_or_trouble(body: bytes) -> TokenAnswer | TokenError:
    try:
        return read(body)
    except TokenError as exc:
        return exc


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.just(jwt_of()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
known = st.sampled_from(["token", "participant_token", "wsUrl", "server_url", "x"])


@given(
    st.binary()
    | anything.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(known, anything).map(lambda value: json.dumps(value).encode())
    | st.sampled_from([b"[" * 60_000, b'{"a":' * 10_000, b'{"token":' + b"[" * 50_000])
)
def test_any_response_is_a_token_or_a_one_line_error(body):
    outcome = answer_or_trouble(body)
    if isinstance(outcome, TokenError):
        assert outcome.reason.isprintable()
        assert jwt_of() not in outcome.reason


def test_the_claims_of_a_token_are_read():
    assert read_claims(jwt_of(sub="Küche")) == Claims(
        identity="Küche",
        room="kitchen",
        may_join=True,
        expires_at_s=NOW_S + 600,
        not_before_s=0,
        is_ed25519=False,
    )


def test_a_token_of_dtelecom_is_recognised_by_its_algorithm():
    claims = read_claims(jwt_of(alg="EdDSA"))
    assert claims is not None
    assert claims.is_ed25519


def test_missing_claims_are_empty():
    claims = read_claims(f"{part({'alg': 'HS256'})}.{part({})}.x")
    assert claims == Claims(
        "", "", may_join=False, expires_at_s=None, not_before_s=0, is_ed25519=False
    )


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        f"{part([])}.{part({})}.x",
        f"{part({'alg': 5})}.{part({})}.x",
        f"{part({'alg': 'HS256'})}.{part({'exp': 'soon'})}.x",
        f"{part({'alg': 'HS256'})}.{part({'video': []})}.x",
        f"é.{part({})}.x",
        jwt_of(sub="x" * MAX_TOKEN_CHARACTERS),
    ],
)
def test_anything_else_is_not_a_token(token):
    assert read_claims(token) is None


@given(st.text() | st.binary().map(lambda raw: f"{raw.hex()}.{raw.hex()}.x"))
def test_any_text_is_a_token_or_none(text):
    assert read_claims(text) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_claims_are_read_or_refused(video):
    read_claims(jwt_of(video={"room": video, "roomJoin": video}))
    read_claims(jwt_of(exp=video))
    assert read_claims(jwt_of(video=grant()))


@pytest.mark.parametrize(
    ("room_config", "is_expected"),
    [
        ({"agents": [{"agentName": "helper"}]}, True),
        ({"agents": [{}]}, True),
        ({"agents": []}, False),
        ({"departureTimeout": 1}, False),
        (None, False),
        ("agents", False),
        ([1], False),
    ],
)
def test_a_token_that_names_agents_lets_the_box_expect_one(room_config, is_expected):
    token = jwt_of(roomConfig=room_config)
    answer = read(answer_of(participant_token=token))
    assert answer.expects_agent == is_expected
    fixed = replace(ROOM, token=token, url="wss://h.example.com")
    assert fixed_answer(fixed, NOW_S).expects_agent == is_expected


def test_the_configuration_may_expect_an_agent_that_the_token_does_not_name():
    assert read(answer_of(), replace(ROOM, expect_agent=True)).expects_agent
