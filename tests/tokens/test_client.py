import asyncio
import socket
import ssl
import subprocess

import httpx
import pytest

from appliance.config import RoomConfig
from appliance.core.events import Cause
from appliance.errors import TokenError, TokenRefused, TokenUnreachable
from appliance.tokens.client import MAX_BODY, send
from appliance.tokens.request import Request, token_request
from tests.tokens.fake_server import Answer, begins, endless, http, says, serving

SECRETS = {"X-User-Id": "SECRET"}


def request_to(url: str) -> Request:
    room = RoomConfig(
        token_url=f"{url}/api?a=1", token_headers=SECRETS, token_query={"key": "SECRET"}
    )
    return token_request(room, "box", "Kitchen")


async def trouble_with(answer: Answer) -> TokenError:
    async with serving(answer, []) as url:
        with pytest.raises(TokenError) as caught:
            await send(request_to(url))
    # Generators inside httpx end in the next iteration of the event loop.
    await asyncio.sleep(0)
    assert "SECRET" not in caught.value.reason
    return caught.value


async def test_the_body_of_any_2xx_is_the_answer():
    seen: list[bytes] = []
    async with serving(
        says(http("201 Created", b"{}", "Content-Type: x")), seen
    ) as url:
        assert (await send(request_to(url))).body == b"{}"
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
        assert (await send(request_to(url))).date_s == date_s


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
                "answered forbidden (403): check room.identity, token_headers and "
                "token_query."
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


async def test_a_redirect_is_reported_and_not_followed():
    answer = says(http("302 Found", b"", "Location: https://new.example.com/x?SECRET"))
    exc = await trouble_with(answer)
    assert exc.reason.endswith(
        "redirects to https://new.example.com/x. Write that address if it is right."
    )


@pytest.mark.parametrize(
    "raw",
    [
        http("302 Found"),
        http("302 Found", b"", "Location: http://[::"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        http("200 OK", b"x", "Content-Encoding: gzip"),
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
async def test_a_response_without_end_times_out(raw):
    async with serving(begins(raw), []) as url:
        with pytest.raises(TokenUnreachable, match="did not answer within"):
            await send(request_to(url), total_s=0.05)


async def test_a_refused_connection_is_explained():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(TokenUnreachable) as caught:
            await send(request_to(url))
    assert caught.value.reason == (
        f"{url}/api refuses connections. Is the token source running?"
    )
    assert caught.value.cause == Cause.TOKEN_SOURCE


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
            "the name in https://h/api cannot be resolved. Check the network.",
        ),
        (
            OSError(101, "x"),
            Cause.NO_INTERNET,
            "there is no route to https://h/api. Check the network.",
        ),
        (
            ExceptionGroup("all", [OSError(111, "a"), OSError(113, "b")]),
            Cause.NO_INTERNET,
            "there is no route to https://h/api. Check the network.",
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
        await send(request_to("https://h"), raising(error))
    assert (caught.value.reason, caught.value.cause) == (end, cause)


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
            await send(request_to(url))
