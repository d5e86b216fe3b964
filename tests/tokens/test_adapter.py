"""The token source: one request and one event for each fetch."""

import asyncio
import logging
from dataclasses import replace
from email.utils import formatdate

import httpx
import pytest

from appliance.config import Config, Preset, RoomConfig
from appliance.core.commands import FetchToken
from appliance.core.events import Cause, ConnectionDetails, TokenFailed, TokenReady
from appliance.tokens.adapter import TokenAdapter
from tests.tokens.token_texts import NOW_S, ROOM, answer_of, jwt_of

CONFIG = Config(
    name="Kitchen",
    room=replace(ROOM, presets=(Preset(name="lab", token_url="https://lab/api"),)),
)
PATIENCE_S = 60.0
READY = TokenReady(1, ConnectionDetails("wss://lk.example.com", jwt_of(), "box"))


class Office:
    """A token source that records requests and events."""

    def __init__(self, *answers: httpx.Response | httpx.HTTPError) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.events: asyncio.Queue[object] = asyncio.Queue()

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, httpx.Response):
            # A body that the client reads in chunks, as from the network.
            return httpx.Response(
                answer.status_code,
                headers=answer.headers,
                stream=httpx.ByteStream(answer.content),
            )
        raise answer

    def source(self, config: Config = CONFIG) -> TokenAdapter:
        return TokenAdapter(
            config,
            identity="box-1",
            post=self.events.put_nowait,
            transport=httpx.MockTransport(self.handle),
            now_s=lambda: NOW_S,
        )


def ignore(_event: object) -> None:
    """Return at once."""


def ok(
    body: bytes = answer_of(), headers: dict[str, str] | None = None
) -> httpx.Response:
    return httpx.Response(200, content=body, headers=headers)


def at(now_s: float) -> dict[str, str]:
    """Return a `Date` header with the token source's clock."""
    return {"date": formatdate(now_s, usegmt=True)}


async def fetch(office: Office, command: FetchToken, config: Config = CONFIG) -> object:
    async with office.source(config) as source:
        source.do(command)
        return await office.events.get()


async def test_a_fetch_is_answered_with_a_token():
    office = Office(ok())
    assert await fetch(office, FetchToken(1, None, None)) == READY
    (request,) = office.requests
    assert request.url == "https://tokens.example.com/api?key=SECRET"
    assert b'"participant_identity":"box-1"' in request.content
    assert b'"participant_name":"Kitchen"' in request.content


async def test_the_display_name_from_the_page_overrides_the_configured_one():
    office = Office(ok())
    await fetch(office, FetchToken(1, None, "Grandma"))
    assert b'"participant_name":"Grandma"' in office.requests[0].content


async def test_a_preset_has_its_own_source():
    office = Office(ok())
    await fetch(office, FetchToken(1, "lab", None))
    assert office.requests[0].url == "https://lab/api"


async def test_a_refusal_is_final_and_anything_else_is_not():
    office = Office(httpx.Response(403), httpx.Response(500))
    async with office.source() as source:
        source.do(FetchToken(1, None, None))
        refused = await office.events.get()
        source.do(FetchToken(2, None, None))
        failed = await office.events.get()
    assert isinstance(refused, TokenFailed)
    assert isinstance(failed, TokenFailed)
    assert (refused.ticket, failed.ticket) == (1, 2)
    assert (refused.failure.cause, refused.failure.is_final) == (Cause.REFUSED, True)
    assert failed.failure.cause is Cause.TOKEN_SOURCE
    assert not failed.failure.is_final


async def test_a_token_that_becomes_valid_soon_is_used_then():
    office = Office(ok(answer_of(participant_token=jwt_of(nbf=NOW_S + 0.2))))
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    answer = await fetch(office, FetchToken(1, None, None))
    assert isinstance(answer, TokenReady)
    assert loop.time() - start_s > 0.19


@pytest.mark.parametrize("skew_s", [-3600.0, 3600.0])
async def test_validity_is_checked_by_the_clock_of_the_token_source(skew_s):
    there_s = NOW_S + skew_s
    token = jwt_of(nbf=there_s - 1, exp=there_s + 60)
    office = Office(ok(answer_of(participant_token=token), at(there_s)))
    answer = await fetch(office, FetchToken(1, None, None))
    assert isinstance(answer, TokenReady)


async def test_the_wait_that_the_source_asks_for_is_reported():
    office = Office(httpx.Response(429, headers={"retry-after": "120"}))
    failed = await fetch(office, FetchToken(1, None, None))
    assert isinstance(failed, TokenFailed)
    assert failed.failure.retry_after_s == 120.0
    assert not failed.failure.is_final


async def test_cookies_are_sent_with_the_next_request():
    office = Office(ok(headers={"set-cookie": "postfix=x7; Path=/"}), ok())
    async with office.source() as source:
        for ticket in range(2):
            source.do(FetchToken(ticket, None, None))
            await office.events.get()
    assert office.requests[1].headers["cookie"] == "postfix=x7"


async def test_a_failure_that_the_source_words_anew_each_time_is_logged_once(caplog):
    bodies = [b'{"error": "request %d failed"}' % number for number in range(3)]
    office = Office(*[httpx.Response(500, content=body) for body in bodies])
    async with office.source() as source:
        for ticket in range(3):
            source.do(FetchToken(ticket, None, None))
            await office.events.get()
    (line,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert line.endswith('It says: "request 0 failed".')


@pytest.mark.parametrize(
    "claims",
    [
        [{"exp": NOW_S - late_s} for late_s in (5, 35, 65)],
        [{"nbf": NOW_S + early_s} for early_s in (90, 60, 30)],
    ],
    ids=["expired", "not yet valid"],
)
async def test_a_token_that_stays_unusable_is_one_fault_and_one_line(caplog, claims):
    """Although its age grows from one to the next."""
    tokens = [jwt_of(**each) for each in claims]
    office = Office(*[ok(answer_of(participant_token=token)) for token in tokens])
    async with office.source() as source:
        reasons = set[str]()
        for ticket in range(3):
            source.do(FetchToken(ticket, None, None))
            failed = await office.events.get()
            assert isinstance(failed, TokenFailed)
            reasons.add(failed.failure.reason)
    assert len(reasons) == 1
    assert [r.levelname for r in caplog.records].count("WARNING") == 1


async def test_a_fixed_token_that_has_expired_is_one_fault_and_one_line(caplog):
    room = RoomConfig(url="wss://h.example.com", token=jwt_of(exp=NOW_S - 1))
    now_s = iter((NOW_S, NOW_S + 600))
    office = Office()
    source = TokenAdapter(
        Config(room=room),
        identity="box-1",
        post=office.events.put_nowait,
        now_s=lambda: next(now_s),
    )
    async with source:
        failures = []
        for ticket in range(2):
            source.do(FetchToken(ticket, None, None))
            failures.append(await office.events.get())
    first, second = failures
    assert isinstance(first, TokenFailed)
    assert second == replace(first, ticket=1)
    assert "a token that has expired" in caplog.text
    assert [r.levelname for r in caplog.records].count("WARNING") == 1


async def test_a_fixed_token_sends_no_request():
    office = Office()
    config = Config(room=RoomConfig(url="wss://lk.example.com", token=jwt_of()))
    assert await fetch(office, FetchToken(1, None, None), config) == READY
    assert office.requests == []


@pytest.mark.parametrize(
    ("config", "preset"),
    [(Config(), None), (CONFIG, "nowhere")],
    ids=["none", "preset"],
)
async def test_a_missing_configuration_is_a_failed_fetch(config, preset):
    answer = await fetch(Office(), FetchToken(7, preset, None), config)
    assert isinstance(answer, TokenFailed)
    assert answer.ticket == 7
    assert answer.failure.cause is Cause.MISCONFIGURED
    assert answer.failure.is_final


async def test_a_fetch_that_the_next_one_replaces_is_not_answered():
    office = Office(ok(), ok())
    async with office.source() as source:
        source.do(FetchToken(1, None, None))
        source.do(FetchToken(2, None, None))
        answer = await office.events.get()
    assert isinstance(answer, TokenReady)
    assert answer.ticket == 2
    assert office.events.empty()


async def test_closing_cancels_running_requests():
    office = Office(ok())
    async with office.source() as source:
        source.do(FetchToken(1, None, None))
    assert office.events.empty()


async def test_asked_returns_when_the_first_request_has_been_sent():
    received = asyncio.Event()

    async def hold(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        received.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = Config(room=RoomConfig(token_url=f"http://127.0.0.1:{port}/token"))
    async with server, TokenAdapter(config, identity="b", post=ignore) as source:
        source.do(FetchToken(1, None, None))
        await source.asked(PATIENCE_S)
        # Never answered.
        await received.wait()


@pytest.mark.parametrize("answer", [ok(), httpx.ConnectError("away")])
async def test_asked_returns_when_the_first_request_has_failed(answer):
    office = Office(answer)
    async with office.source() as source:
        source.do(FetchToken(1, None, None))
        await source.asked(PATIENCE_S)
        assert not office.events.empty()


async def test_an_unexpected_error_ends_the_process():
    office = Office()
    with pytest.raises(ExceptionGroup) as caught:
        await fetch(office, FetchToken(1, None, None))
    assert isinstance(caught.value.exceptions[0], IndexError)


async def test_a_failure_is_logged_once_and_its_end_too(caplog):
    caplog.set_level(logging.INFO, "appliance")
    office = Office(*[httpx.Response(500)] * 3, ok())
    async with office.source() as source:
        for ticket in range(4):
            source.do(FetchToken(ticket, None, None))
            await office.events.get()
    assert [
        (r.levelname, r.getMessage())
        for r in caplog.records
        if r.name.startswith("appliance")
    ] == [
        ("INFO", "token fetch started  url=https://tokens.example.com/api"),
        (
            "WARNING",
            (
                "token fetch failed  cause=token_source reason=https://tokens.example.com"
                "/api answered 500 instead of a token. See its own log."
            ),
        ),
        ("INFO", "token fetched  room=kitchen"),
    ]


async def test_no_log_line_contains_a_secret(caplog):
    caplog.set_level(logging.DEBUG)
    room = RoomConfig(
        token_url="https://h/api?key=SECRET",
        token_headers={"X-User-Id": "SECRET"},
        token_query={"voice_id": "SECRET"},
        token_body={"a": "SECRET"},
    )
    office = Office(ok(), httpx.Response(401), ok(b"<html>SECRET"))
    async with office.source(Config(room=room)) as source:
        for ticket in range(3):
            source.do(FetchToken(ticket, None, None))
            await office.events.get()
    assert "SECRET" not in caplog.text
    assert jwt_of() not in caplog.text
