"""Every known form of a token source's response."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import RoomConfig, RoomKind
from appliance.core.events import Cause, ConnectionDetails
from appliance.errors import TokenError, TokenRefused, TokenUnreachable
from appliance.tokens.token_parser import (
    LONGEST_SHOWN,
    MAX_TOKEN_CHARACTERS,
    Clock,
    fixed_answer,
    read_answer,
    remark,
)
from tests.tokens.token_texts import (
    NOW_S,
    ROOM,
    answer_of,
    dtelecom_jwt,
    grant,
    jwt_of,
)

WHERE = "https://tokens.example.com/api"
DETAILS = ConnectionDetails("wss://lk.example.com", jwt_of(), "box")
STANDARD = {"serverUrl": "wss://lk.example.com", "token": jwt_of()}

THERE = Clock(NOW_S, "the token source")


def read(body: bytes, room: RoomConfig = ROOM, where: str = WHERE) -> ConnectionDetails:
    return read_answer(body, room, where, THERE).details


def fixed(room: RoomConfig) -> ConnectionDetails:
    return fixed_answer(room, NOW_S).details


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
    assert read(body.encode()) == DETAILS


@pytest.mark.parametrize("token_key", ["access_token", "jwt", "accessToken"])
@pytest.mark.parametrize("url_key", ["url", "livekitUrl", "livekit_url"])
def test_other_names_of_token_and_server_are_understood(token_key, url_key):
    body = {token_key: jwt_of(), url_key: "wss://lk.example.com"}
    assert read(json.dumps(body).encode()) == DETAILS


@pytest.mark.parametrize(
    "body",
    [
        jwt_of(),
        f"\ufeff{jwt_of()}\r\n",
        json.dumps(jwt_of()),
        json.dumps(json.dumps({"token": jwt_of()})),
        json.dumps({"result": jwt_of()}),
    ],
)
def test_a_response_that_is_only_the_token_is_understood(body):
    room = replace(ROOM, url="wss://lk.example.com")
    assert read(body.encode(), room) == DETAILS


@pytest.mark.parametrize(
    "values",
    [
        {"result": STANDARD},
        {"data": STANDARD},
        {"data": json.dumps(STANDARD)},
        {"statusCode": 200, "body": json.dumps(STANDARD)},
        {"serverUrl": "wss://lk.example.com", "data": {"token": jwt_of()}},
        {"error": None, "result": None, "data": STANDARD},
    ],
)
def test_one_level_of_wrapping_is_removed(values):
    assert read(json.dumps(values).encode()) == DETAILS
    assert read(b"\xef\xbb\xbf" + json.dumps(values).encode()) == DETAILS


def test_two_levels_of_wrapping_are_not_removed():
    body = json.dumps({"data": {"data": STANDARD}}).encode()
    assert "answered without a token" in trouble(body).reason


def test_a_token_that_is_too_long_is_refused():
    token = jwt_of(sub="x" * MAX_TOKEN_CHARACTERS)
    sentence = "a text that is not a JSON Web Token."
    for body in (answer_of(participant_token=token), f"{token}\n".encode()):
        assert str(trouble(body)) == f"{WHERE} gave {sentence}"
    with pytest.raises(TokenRefused) as caught:
        fixed_answer(RoomConfig(url="wss://h", token=token), NOW_S)
    assert caught.value.reason == f"room.token gave {sentence}"


def test_line_breaks_behind_values_are_removed():
    body = answer_of(
        server_url="wss://lk.example.com\r\n", participant_token=f"{jwt_of()}\n"
    )
    assert read(body) == DETAILS


def test_a_text_that_is_a_token_comes_before_one_that_is_not():
    assert read(json.dumps(STANDARD | {"token": "id", "jwt": jwt_of()}).encode()) == (
        DETAILS
    )


def test_a_token_that_brings_an_agent_is_reported():
    token = jwt_of(roomConfig={"agents": [{}]})
    assert read(answer_of(participant_token=token)).expects_agent
    assert fixed(RoomConfig(url="wss://h", token=token)).expects_agent


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"error": "no such room"}, "no such room"),
        ({"message": "no such room"}, "no such room"),
        ({"detail": "no such room"}, "no such room"),
        ({"error": {"message": "no such room", "status": "X"}}, "no such room"),
        ({"data": {"error": "no such room"}}, "no such room"),
        ({"error": "not known here", "key": "roomname"}, "roomname: not known here"),
        ({"error": "not known here", "key": 5}, "not known here"),
        ({"error": "wrong", "key": " a\n KEY1 "}, "a <hidden>: wrong"),
        ({"error": "wrong", "key": "x" * 500}, f"{'x' * 119}…"),
        ({"error": " no\n such\troom\u202e"}, "no such room"),
        ({"error": "x " * 500}, f"{'x ' * 59}x…"),
        ({"error": f"wrong token {jwt_of()}"}, "wrong token <hidden>"),
        ({"error": "key KEY1 is unknown"}, "key <hidden> is unknown"),
    ],
)
def test_what_the_token_source_says_is_in_the_sentence(values, said):
    body = json.dumps(values).encode()
    assert remark(body, frozenset({"KEY1"})) == f'It says: "{said}".'
    with pytest.raises(TokenUnreachable) as caught:
        read_answer(body, ROOM, WHERE, THERE, frozenset({"KEY1"}))
    assert caught.value.reason == f'{caught.value.sentence} It says: "{said}".'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"LIVEKIT_URL is not defined", "LIVEKIT_URL is not defined"),
        (b"\xef\xbb\xbfno such room\r\n", "no such room"),
        (b"\n no  such\troom \n  at server.js:12\n", "no such room"),
        (b'"no such room"', "no such room"),
        ("no\u202e r\u00f6om\x1b[31m".encode(), "no r\u00f6om[31m"),
        (b"x " * 500, f"{'x ' * 59}x\u2026"),
        (f"wrong token {jwt_of()}".encode(), "wrong token <hidden>"),
        (b"key KEY1 is unknown", "key <hidden> is unknown"),
        ("key KE\u200bY1 is unknown".encode(), "key <hidden> is unknown"),
    ],
)
def test_an_error_in_plain_text_is_in_the_sentence(body, said):
    assert remark(body, frozenset({"KEY1"})) == f'It says: "{said}".'


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b" \n",
            b"<p>error",
            b" \n<!doctype html>",
            b'{"error": 5}',
            b'{"key": "roomname"}',
            b"[]",
        ),
        *(b"\xff\xfe", b"\x00\x01", b'{"error": "cut o', jwt_of().encode()),
    ],
)
def test_an_error_that_says_nothing_adds_nothing(body):
    assert remark(body, frozenset()) == ""


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
    room = replace(ROOM, allow_insecure=("nas.local",))
    assert read(answer_of(server_url="http://nas.local:1"), room).url == (
        "ws://nas.local:1"
    )


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_only_a_token_source_on_this_machine_may_name_a_server_on_it(host):
    url = f"ws://{host}:7880"
    exc = trouble(answer_of(server_url=f"{url}?key=SECRET"))
    assert exc.reason == (
        f"the server that {WHERE} names cannot be used: {url} means this box itself. "
        "Write the address that the server has in the network there, for example in "
        "LIVEKIT_URL."
    )
    assert (type(exc), exc.cause) == (TokenUnreachable, Cause.TOKEN_SOURCE)
    body = answer_of(server_url=url, fallback_urls=[url])
    local = read(body, where="http://localhost:3000/api")
    assert (local.url, local.fallback_urls) == (url, (url,))
    assert read(answer_of(fallback_urls=[url])).fallback_urls == ()
    own = replace(ROOM, url=url)
    assert read(answer_of(server_url=None), own).url == url


NO_JSON = "Is the address wrong, or does the network require a login?"
NO_TOKEN = (
    "answered without a token. Expected one of the keys participant_token, "
    "participantToken, token, accessToken, access_token, jwt."
)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        *(
            (body, f"answered with something other than JSON. {NO_JSON}")
            for body in (
                *(
                    b"",
                    b"  \n",
                    b"<!doctype html><html>",
                    b"hello",
                    b"[1]",
                    b"\xff\xfe",
                ),
            )
        ),
        (b'{"error": "x", "code": 1}', f'{NO_TOKEN} It says: "x".'),
        (b"{}", NO_TOKEN),
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
            "gave a token that has expired. Is the clock of the token source right?",
        ),
        (
            answer_of(participant_token=jwt_of(nbf=NOW_S + 30)),
            (
                "gave a token that is not valid yet. Is the clock of the token source "
                "right?"
            ),
        ),
    ],
)
def test_a_response_without_a_usable_token_may_be_retried(body, sentence):
    exc = trouble(body)
    assert str(exc) == f"{WHERE} {sentence}"
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
    ],
)
def test_a_response_without_a_usable_server_may_be_retried(body, sentence):
    exc = trouble(body)
    assert exc.reason == sentence
    assert (type(exc), exc.cause) == (TokenUnreachable, Cause.TOKEN_SOURCE)


def test_the_sentence_about_a_server_is_bounded():
    reason = trouble(answer_of(server_url=f"ws://h/{'x' * 20_000}")).reason
    assert len(reason) < len(WHERE) + LONGEST_SHOWN + 100


def test_a_secret_that_the_response_repeats_is_hidden():
    body = answer_of(server_url="ws://h/KEY_1")
    with pytest.raises(TokenError) as caught:
        read_answer(body, ROOM, WHERE, THERE, frozenset({"KEY_1"}))
    assert "KEY_1" not in caught.value.reason
    assert "<hidden>" in caught.value.reason


@pytest.mark.parametrize(
    "values",
    [
        {"error": "wrong key SEC\u200bRET_1"},
        {"message": "SECR\x00ET_1"},
    ],
)
def test_a_secret_that_the_response_garbles_is_hidden(values):
    body = json.dumps(values).encode()
    with pytest.raises(TokenError) as caught:
        read_answer(body, ROOM, WHERE, THERE, frozenset({"SECRET_1"}))
    assert "SEC" not in caught.value.reason


def test_an_allowed_host_may_be_unencrypted():
    room = replace(ROOM, allow_insecure=("nas.local",))
    assert read(answer_of(server_url="ws://nas.local:7880"), room).url.startswith("ws:")


def test_a_livekit_room_does_not_use_a_token_signed_with_eddsa():
    room = replace(ROOM, kind=RoomKind.LIVEKIT)
    exc = trouble(answer_of(participant_token=dtelecom_jwt()), room)
    sentence = "gave an EdDSA token, for which room.kind must be auto."
    assert exc.reason == f"{WHERE} {sentence}"
    assert (type(exc), exc.cause) == (TokenUnreachable, Cause.TOKEN_SOURCE)


@pytest.mark.parametrize("kind", RoomKind)
def test_a_token_signed_with_hs256_is_accepted_for_every_kind(kind):
    assert read(answer_of(), replace(ROOM, kind=kind)).token


@pytest.mark.parametrize("kind", [RoomKind.AUTO, RoomKind.DTELECOM])
def test_a_token_for_dtelecom_is_accepted(kind):
    token = dtelecom_jwt()
    body = answer_of(participant_token=token)
    assert read(body, replace(ROOM, kind=kind)).token == token
    room = RoomConfig(url="wss://node.example.com", token=token, kind=kind)
    assert fixed(room).token == token


@pytest.mark.parametrize(
    ("named", "allowed"),
    [
        (["wss://b.example.com", "https://c.example.com"], ["b", "c"]),
        (["ws://b.example.com", "wss://c.example.com", "", 7, None], ["c"]),
        ([f"wss://{letter}.example.com" for letter in "bcdefg"], ["b", "c", "d", "e"]),
        ("wss://b.example.com", []),
        ({}, []),
        (None, []),
    ],
)
def test_servers_to_fall_back_to_are_those_that_are_allowed(named, allowed):
    wanted = tuple(f"wss://{letter}.example.com" for letter in allowed)
    assert read(answer_of(fallback_urls=named)).fallback_urls == wanted


@pytest.mark.parametrize(
    ("kind", "token", "is_dtelecom"),
    [
        (RoomKind.AUTO, dtelecom_jwt(), True),
        (RoomKind.AUTO, jwt_of(), False),
        (RoomKind.LIVEKIT, jwt_of(), False),
        (RoomKind.DTELECOM, dtelecom_jwt(), True),
        (RoomKind.DTELECOM, jwt_of(), True),
    ],
)
def test_the_configuration_says_the_kind_of_room_or_else_the_token(
    kind, token, is_dtelecom
):
    room = replace(ROOM, kind=kind)
    details = read(answer_of(participant_token=token), room)
    assert details.is_dtelecom == is_dtelecom
    room = replace(room, token=token, url="wss://h.example.com")
    assert fixed(room).is_dtelecom == is_dtelecom


def test_a_fixed_token_needs_no_request():
    room = RoomConfig(url="ws://127.0.0.1:7880", token=jwt_of())
    assert fixed(room) == replace(DETAILS, url="ws://127.0.0.1:7880")


def test_the_server_judges_when_a_fixed_token_becomes_valid():
    """A Pi has no clock of its own before it has reached a time server."""
    room = RoomConfig(url="wss://h", token=jwt_of(nbf=NOW_S + 90))
    assert fixed(room).token == room.token


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        (
            {"token": jwt_of(exp=NOW_S - 1)},
            "room.token gave a token that has expired. Is the clock of this box right",
        ),
        ({"token": "a.b.c"}, "room.token gave a text that is not a JSON Web Token."),
        (
            {"token": dtelecom_jwt(), "kind": RoomKind.LIVEKIT},
            "room.token gave an EdDSA token, for which room.kind must be auto.",
        ),
        ({"url": None}, "room.token names no server. Write its address to room.url."),
        ({"url": "ws://h"}, "the server that room.token names cannot be used: ws://h"),
    ],
)
def test_a_fixed_token_that_cannot_be_used_is_final(changes, start):
    room = replace(RoomConfig(url="wss://h", token=jwt_of()), **changes)
    with pytest.raises(TokenRefused) as caught:
        fixed_answer(room, NOW_S)
    assert caught.value.reason.startswith(start)
    assert caught.value.cause == Cause.MISCONFIGURED


def answer_or_trouble(body: bytes) -> ConnectionDetails | TokenError:
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
