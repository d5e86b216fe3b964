"""Responses and failures of a token source."""

import asyncio
import gzip
import socket
import ssl
import subprocess
import time
import tracemalloc
import zlib
from contextlib import ExitStack
from email.utils import formatdate

import httpx
import pytest

from appliance.config import RoomConfig
from appliance.core.events import Cause
from appliance.errors import TokenError, TokenRefused, TokenUnreachable
from appliance.tokens.adapter import Request, token_request
from appliance.tokens.client import MAX_BODY, TokenClient
from tests.tokens.fake_server import (
    Answer,
    begins,
    endless,
    http,
    says,
    says_each,
    serving,
)
from tests.tokens.token_texts import NOW_S

SECRETS = {"X-User-Id": "SECRET"}


def request_to(url: str) -> Request:
    room = RoomConfig(
        token_url=f"{url}/api?a=1", token_headers=SECRETS, token_query={"key": "SECRET"}
    )
    return token_request(room, "box", "Kitchen")


async def trouble_with(answer: Answer) -> TokenError:
    async with serving(answer, []) as url:
        with pytest.raises(TokenError) as caught:
            await TokenClient().send(request_to(url))
    # Generators inside httpx end in the next iteration of the event loop.
    await asyncio.sleep(0)
    assert "SECRET" not in caught.value.reason
    return caught.value


async def test_the_body_of_any_2xx_is_the_answer():
    seen: list[bytes] = []
    async with serving(
        says(http("201 Created", b"{}", "Content-Type: x")), seen
    ) as url:
        assert (await TokenClient().send(request_to(url))).body == b"{}"
    line, *headers = seen[0].decode().lower().split("\r\n")
    assert line == "post /api?a=1&key=secret http/1.1"
    assert "x-user-id: secret" in headers
    assert "content-type: application/json" in headers
    assert "accept-encoding: identity" in headers


@pytest.mark.parametrize(
    ("date", "date_s"),
    [("Tue, 14 Nov 2023 22:13:20 GMT", 1_700_000_000), ("soon", None), ("", None)],
)
async def test_the_servers_clock_is_returned_if_it_can_be_parsed(date, date_s):
    answer = says(http("200 OK", b"{}", f"Date: {date}"))
    async with serving(answer, []) as url:
        assert (await TokenClient().send(request_to(url))).date_s == date_s


@pytest.mark.parametrize(
    ("status", "kind", "cause", "end"),
    [
        (
            "401 No",
            TokenRefused,
            Cause.REFUSED,
            ("answered unauthorized (401): check room.token_headers."),
        ),
        (
            "403 No",
            TokenRefused,
            Cause.REFUSED,
            (
                "answered forbidden (403): check room.identity, token_headers, "
                "token_query and token_body."
            ),
        ),
        (
            "404 No",
            TokenUnreachable,
            Cause.TOKEN_SOURCE,
            "answered not found (404): check room.token_url.",
        ),
        (
            "400 No",
            TokenUnreachable,
            Cause.TOKEN_SOURCE,
            "answered 400 instead of a token. See its own log.",
        ),
        (
            "500 No",
            TokenUnreachable,
            Cause.TOKEN_SOURCE,
            "answered 500 instead of a token. See its own log.",
        ),
    ],
)
async def test_a_status_is_explained(status, kind, cause, end):
    exc = await trouble_with(says(http(status, b"SECRET")))
    assert exc.reason.endswith(f"/api {end}")
    assert (type(exc), exc.cause) == (kind, cause)


def redirect(location: str, status: str = "302 Found") -> bytes:
    return http(status, b"", f"Location: {location}")


OK = http("200 OK", b"{}")


@pytest.mark.parametrize(
    ("status", "method"),
    [
        ("301 x", "post"),
        ("302 x", "post"),
        ("303 x", "get"),
        ("307 x", "post"),
        ("308 x", "post"),
    ],
)
async def test_a_redirect_on_the_same_host_is_followed_with_all_headers(status, method):
    seen: list[bytes] = []
    answer = says_each(redirect("/api/?b=2", status), OK)
    async with serving(answer, seen) as url:
        assert (await TokenClient().send(request_to(url))).body == b"{}"
    line, *headers = seen[1].decode().lower().split("\r\n")
    assert line == f"{method} /api/?b=2 http/1.1"
    assert "x-user-id: secret" in headers
    has_body = any(header.startswith("content-length: ") for header in headers)
    assert has_body == (method == "post")


async def test_another_host_gets_no_configured_headers():
    seen: list[bytes] = []
    async with (
        serving(says(OK), seen) as there,
        serving(says(redirect(f"{there}/other")), []) as here,
    ):
        assert (await TokenClient().send(request_to(here))).body == b"{}"
    (asked,) = seen
    assert asked.lower().startswith(b"post /other http/1.1")
    assert b"content-type: application/json" in asked.lower()
    assert b"secret" not in asked.lower()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize(
    "body", [{"key": "SECRET"}, {"data": [{"pin": 123456}]}, {"room": "x", "key": "K"}]
)
@pytest.mark.parametrize("other", ["https://other.example.com", "https://h:8443"])
async def test_another_host_does_not_get_a_body_of_the_configuration(
    status, body, other
):
    client, seen = answering(reply(status, location=f"{other}/api"))
    room = RoomConfig(token_url="https://h/api", token_body=body)
    with pytest.raises(TokenUnreachable, match=r"room\.token_body says") as caught:
        await client.send(token_request(room, "box", "Kitchen"))
    assert len(seen) == 1
    assert "SECRET" not in caught.value.reason


async def test_another_host_is_asked_without_values_of_the_configuration():
    client, seen = answering(
        reply(303, location="https://other.example.com"), reply(200, b"{}")
    )
    room = RoomConfig(token_url="https://h/api", token_body={"key": "SECRET"})
    await client.send(token_request(room, "box", "Kitchen"))
    assert seen[1].url.host == "other.example.com"
    assert b"SECRET" not in seen[1].content


@pytest.mark.parametrize("location", ["/new", "https://h/new"])
async def test_the_same_host_gets_the_body_of_the_configuration_again(location):
    client, seen = answering(reply(308, location=location), reply(200, b"{}"))
    room = RoomConfig(token_url="https://h/api", token_body={"key": "SECRET"})
    await client.send(token_request(room, "box", "Kitchen"))
    assert b"SECRET" in seen[1].content


async def test_three_redirects_are_followed_and_a_fourth_is_not():
    turns = [redirect(f"/{number}") for number in range(3)]
    async with serving(says_each(*turns, OK), []) as url:
        assert (await TokenClient().send(request_to(url))).body == b"{}"
    exc = await trouble_with(says(redirect("/again")))
    assert exc.reason.endswith(
        "/api redirects more than 3 times. Check room.token_url."
    )


@pytest.mark.parametrize(
    ("location", "end"),
    [
        (
            "http://new.example.com/x?SECRET",
            (
                "/api redirects to http://new.example.com/x, which is not followed: "
                "http://new.example.com/x would go over the network in the clear. "
                "Write https://new.example.com/x, or add new.example.com to "
                "room.allow_insecure."
            ),
        ),
        (
            "ftp://h/SECRET",
            (
                "/api redirects to ftp://h/<hidden>, which is not followed: expected "
                "https://, found ftp://h/<hidden>. Write https://h/<hidden>."
            ),
        ),
    ],
)
async def test_a_redirect_that_is_not_followed_is_explained(location, end):
    exc = await trouble_with(says(redirect(location)))
    assert exc.reason.endswith(end)
    assert (type(exc), exc.cause) == (TokenUnreachable, Cause.TOKEN_SOURCE)


async def test_the_sentence_about_a_redirect_is_bounded():
    exc = await trouble_with(says(redirect(f"http://h/{'x' * 20_000}")))
    assert len(exc.reason) < 800


def answering(*responses: httpx.Response) -> tuple[TokenClient, list[httpx.Request]]:
    """Return a client that gets these responses, and the list of its requests."""
    seen: list[httpx.Request] = []
    waiting = list(responses)

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return waiting.pop(0)

    return TokenClient(httpx.MockTransport(handle)), seen


def reply(status: int, body: bytes = b"", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=named, stream=httpx.ByteStream(body))


async def test_a_redirect_from_http_to_https_keeps_the_headers():
    client, seen = answering(
        reply(301, location="https://localhost/api"), reply(200, b"{}")
    )
    await client.send(request_to("http://localhost"))
    assert str(seen[1].url) == "https://localhost/api"
    assert seen[1].headers["x-user-id"] == "SECRET"


async def test_a_redirect_from_https_to_http_is_not_followed():
    client, seen = answering(reply(307, location="http://localhost/api"))
    with pytest.raises(TokenUnreachable, match="not followed: it is without TLS"):
        await client.send(request_to("https://localhost"))
    assert len(seen) == 1


@pytest.mark.parametrize("to", ["http://127.0.0.1:8080/api", "https://localhost/api"])
async def test_another_machine_cannot_redirect_to_a_service_on_this_one(to):
    client, seen = answering(reply(307, location=to))
    room = RoomConfig(token_url="http://tokens.lan/api", allow_insecure=("tokens.lan",))
    with pytest.raises(TokenUnreachable, match="only this machine itself may"):
        await client.send(token_request(room, "box", "Kitchen"))
    assert len(seen) == 1


async def test_cookies_are_kept_for_the_host_that_set_them():
    client, seen = answering(
        reply(200, b"{}", set_cookie="postfix=x7; Path=/; HttpOnly"),
        reply(200, b"{}"),
        reply(200, b"{}"),
    )
    for host in ("h.example.com", "h.example.com", "other.example.com"):
        await client.send(request_to(f"https://{host}"))
    sent = [request.headers.get("cookie") for request in seen]
    assert sent == [None, "postfix=x7", None]


@pytest.mark.parametrize("coding", ["gzip", "GZIP"])
async def test_a_response_in_gzip_is_understood(coding):
    client, _ = answering(reply(200, gzip.compress(b"{}"), content_encoding=coding))
    assert (await client.send(request_to("https://h"))).body == b"{}"


async def test_a_response_in_deflate_is_understood():
    client, _ = answering(reply(200, zlib.compress(b"{}"), content_encoding="deflate"))
    assert (await client.send(request_to("https://h"))).body == b"{}"


async def test_a_compressed_response_that_is_damaged_may_be_retried():
    client, _ = answering(reply(200, b"not gzip", content_encoding="gzip"))
    with pytest.raises(TokenUnreachable, match="a compressed response that is damaged"):
        await client.send(request_to("https://h"))


async def test_a_small_response_that_becomes_a_large_one_is_cut_off():
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < MAX_BODY
    client, _ = answering(reply(200, bomb, content_encoding="gzip"))
    tracemalloc.start()
    try:
        with pytest.raises(TokenUnreachable, match="more than 64 KiB"):
            await client.send(request_to("https://h"))
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("after", "wait_s"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("Tue, 14 Nov 2023 22:13:00 GMT", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("²", 0.0),
        ("", 0.0),
        ("9" * 5000, 999_999_999.0),
    ],
)
@pytest.mark.parametrize("status", ["429 x", "503 x", "404 x"])
async def test_the_wait_that_the_server_asks_for_is_reported(status, after, wait_s):
    exc = await trouble_with(says(http(status, b"", f"Retry-After: {after}")))
    assert exc.retry_after_s == wait_s


@pytest.mark.parametrize("has_date", [True, False])
async def test_a_server_may_ask_for_a_time_by_its_own_clock(has_date):
    now_s = NOW_S if has_date else time.time()
    headers = [f"Retry-After: {formatdate(now_s + 120, usegmt=True)}"]
    headers += [f"Date: {formatdate(now_s, usegmt=True)}"] * has_date
    exc = await trouble_with(says(http("503 x", b"", *headers)))
    assert 60 < exc.retry_after_s <= 120


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
async def test_what_an_error_response_says_is_in_the_sentence(status):
    body = b'{"error": {"message": "no seats left for SECRET"}}'
    client, _ = answering(reply(status, body))
    with pytest.raises(TokenError) as caught:
        await client.send(request_to("https://h"))
    assert caught.value.reason.endswith('. It says: "no seats left for <hidden>".')


@pytest.mark.parametrize(
    "raw",
    [
        http("302 Found"),
        http("302 Found", b"", "Location: http://[::"),
        http("302 Found", b"", "Location: http://[fe80::1%x]y]/"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        http("304 Not Modified"),
    ],
)
async def test_a_garbled_response_may_be_retried(raw):
    exc = await trouble_with(says(raw))
    assert (type(exc), exc.cause) == (TokenUnreachable, Cause.TOKEN_SOURCE)


async def test_a_body_without_end_is_cut_off():
    exc = await trouble_with(endless)
    assert exc.reason.endswith(
        f"more than {MAX_BODY // 1024} KiB. Is it a token source?"
    )


@pytest.mark.parametrize(
    "raw", [b"", b"HTTP/1.1 200 OK\r\n", http("200 OK", b"{}")[:-1]]
)
async def test_a_response_without_end_times_out(raw, monkeypatch):
    monkeypatch.setattr("appliance.tokens.client.TOTAL_S", 0.05)
    async with serving(begins(raw), []) as url:
        with pytest.raises(TokenUnreachable, match="did not answer within"):
            await TokenClient().send(request_to(url))


async def test_an_error_counts_even_if_its_body_has_no_end(monkeypatch):
    monkeypatch.setattr("appliance.tokens.client.ERROR_BODY_S", 0.05)
    exc = await trouble_with(begins(b"HTTP/1.1 401 Unauthorized\r\n\r\nno"))
    assert isinstance(exc, TokenRefused)


async def test_a_refused_connection_is_explained():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(TokenUnreachable) as caught:
            await TokenClient().send(request_to(url))
    assert caught.value.reason == (
        f"{url}/api refuses connections. Is the token source running?"
    )
    assert caught.value.cause == Cause.TOKEN_SOURCE


@pytest.fixture
def unanswered():
    """Return the URL of a port where each further connection waits for ever."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        with ExitStack() as waiting:
            for _ in range(4):
                client = waiting.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex(address)
            yield f"http://127.0.0.1:{address[1]}"


async def test_a_connection_that_nobody_answers_means_no_internet(
    unanswered, monkeypatch
):
    monkeypatch.setattr("appliance.tokens.client.CONNECT_S", 0.1)
    with pytest.raises(TokenUnreachable) as caught:
        await TokenClient().send(request_to(unanswered))
    assert caught.value.reason == (
        f"no connection to {unanswered}/api within 0.1 s. Check the network."
    )
    assert caught.value.cause == Cause.NO_INTERNET


async def test_a_name_lookup_that_nobody_answers_means_no_internet(monkeypatch):
    async def lookup(*_, **__):
        await asyncio.sleep(60)

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lookup)
    monkeypatch.setattr("appliance.tokens.client.CONNECT_S", 0.05)
    with pytest.raises(TokenUnreachable) as caught:
        await TokenClient().send(request_to("http://tokens.example.com"))
    assert caught.value.cause == Cause.NO_INTERNET


def raising(error: Exception) -> httpx.MockTransport:
    def handler(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(str(error)) from error

    return httpx.MockTransport(handler)


@pytest.mark.parametrize(
    ("error", "cause", "end"),
    [
        (
            socket.gaierror(-3, "x"),
            Cause.NO_INTERNET,
            (
                "the name in https://h/api cannot be resolved. "
                "Check its spelling and the network."
            ),
        ),
        (
            OSError(101, "x"),
            Cause.NO_INTERNET,
            "there is no route to https://h/api. Check the network.",
        ),
        (
            ExceptionGroup("all", [OSError(101, "a"), OSError(113, "b")]),
            Cause.NO_INTERNET,
            "there is no route to https://h/api. Check the network.",
        ),
        # A machine with IPv4 and IPv6 that a box without IPv6 asks.
        *(
            (
                ExceptionGroup("all", errors),
                Cause.TOKEN_SOURCE,
                "https://h/api refuses connections. Is the token source running?",
            )
            for errors in (
                [OSError(111, "a"), OSError(101, "b")],
                [OSError(113, "a"), OSError(111, "b")],
            )
        ),
        (
            ConnectionResetError(104, "x"),
            Cause.TOKEN_SOURCE,
            "https://h/api could not be reached (ConnectError).",
        ),
    ],
)
async def test_a_connection_that_fails_is_explained(error, cause, end):
    with pytest.raises(TokenUnreachable) as caught:
        await TokenClient(raising(error)).send(request_to("https://h"))
    assert (caught.value.reason, caught.value.cause) == (end, cause)


OTHER_CERTIFICATE = (
    "Use the name that it is for, and an authority that this box trusts. Or does this "
    "network require a login?"
)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (9, "Is the clock here right?"),
        (10, "Is the clock here right?"),
        (18, OTHER_CERTIFICATE),
        (62, OTHER_CERTIFICATE),
    ],
)
async def test_only_a_certificate_outside_its_time_asks_for_the_clock(code, advice):
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_code, error.verify_message = code, "because"
    with pytest.raises(TokenUnreachable) as caught:
        await TokenClient(raising(error)).send(request_to("https://h"))
    sentence = f"https://h/api has no valid certificate (because). {advice}"
    assert caught.value.reason == sentence


@pytest.fixture
def own_certificate(tmp_path):
    """Create a self-signed certificate."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 2"
    subprocess.run(
        [*command.split(), "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    return tls


async def test_a_self_signed_certificate_is_not_trusted(own_certificate):
    async with serving(says(b""), [], own_certificate) as url:
        with pytest.raises(TokenUnreachable, match="has no valid certificate"):
            await TokenClient().send(request_to(url))
