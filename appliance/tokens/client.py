"""HTTP client of a token source: bounded response, few redirects, plain errors.

Importing httpx takes 0.1 s, so this module is imported when a token is first fetched.
"""

import asyncio
import contextlib
import logging
import ssl
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from http.cookiejar import CookieJar
from typing import Final

import httpx

from appliance.core.events import Cause
from appliance.errors import TokenUnreachable
from appliance.tokens.http_failure import date_s, no_response_error, status_error
from appliance.tokens.redirect import redirected
from appliance.tokens.request import Request

CONNECT_S: Final = 5.0
"""Our choice: enough for three retransmissions of the first packet on bad Wi-Fi."""
TOTAL_S: Final = 10.0
"""Our choice: enough for a serverless function with a cold start."""
MAX_BODY: Final = 64 * 1024
"""Bytes, also after decompression; the longest accepted token is a quarter of it."""
ERROR_BODY_S: Final = 1.0
"""Our choice: what an error's body adds is worth no longer wait."""
MAX_REDIRECTS: Final = 3
MAX_COOKIES: Final = 50
"""Cookies of all token sources together."""

# Both log whole addresses, including the query, which may contain keys.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

_SENT: Final = "http11.send_request_body.complete"
"""Source: httpcore's documentation, "Extensions", `trace`."""
_GZIP_OR_ZLIB: Final = 47
"""Source: zlib's documentation, `windowBits`: 32 + 15 detects the format."""


@dataclass(frozen=True, slots=True)
class HttpReply:
    """Body and clock of a 2xx response."""

    body: bytes
    date_s: float | None
    """The server's clock (header `Date`), seconds since the epoch; None: unknown."""


class TokenClient:
    """Client that keeps the cookies of the token sources as long as it exists.

    A token source may recognise the box by them and give it the same identity again.
    """

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        total_s: float = TOTAL_S,
        sent: Callable[[], None] | None = None,
    ) -> None:
        """Start without cookies.

        Args:
            transport: replaces the network, for tests.
            total_s: time limit for everything.
            sent: called when a request has been sent and the response is awaited.
        """
        self._transport = transport
        self._total_s = total_s
        self._sent = sent
        self._cookies = CookieJar()

    async def send(self, request: Request) -> HttpReply:
        """Send the request and return the 2xx response.

        Each request opens a new connection: requests are minutes apart, and a
        connection kept open would be dead after a network outage.

        Raises:
            TokenRefused: 401 or 403.
            TokenUnreachable: any other status, no response, or one that is too long.
        """
        if len(self._cookies) > MAX_COOKIES:
            self._cookies.clear()
        where = request.where
        try:
            async with asyncio.timeout(self._total_s):
                for _ in range(MAX_REDIRECTS + 1):
                    reply = await self._exchange(request)
                    if isinstance(reply, HttpReply):
                        return reply
                    request = reply
        except TimeoutError as exc:
            sentence = f"{request.where} did not answer within {self._total_s:.0f} s."
            raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence) from exc
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as exc:
            raise no_response_error(exc, request.where) from exc
        sentence = f"{where} redirects more than {MAX_REDIRECTS} times."
        raise TokenUnreachable(Cause.TOKEN_SOURCE, f"{sentence} Check room.token_url.")

    async def _exchange(self, request: Request) -> HttpReply | Request:
        """Return the response, or the request to send in its place."""
        url = httpx.URL(request.url)
        if request.query:
            url = url.copy_merge_params(request.query)
        fields = [(name.encode(), value) for name, value in request.headers.items()]
        async with (
            httpx.AsyncClient(
                # A compressed response is understood, but not asked for.
                headers={"accept-encoding": "identity", "user-agent": "ptt-appliance"},
                cookies=self._cookies,
                timeout=httpx.Timeout(None, connect=CONNECT_S),
                transport=self._transport,
                # No proxies and no .netrc of the environment: only the configuration.
                trust_env=False,
                verify=_trust(is_used=url.scheme == "https"),
            ) as client,
            client.stream(
                request.method,
                url,
                headers=fields,
                content=request.body,
                extensions={"trace": self._trace},
            ) as response,
        ):
            if response.is_success:
                body = await _body(response, request.where)
                return HttpReply(body, date_s(response.headers.get("date", "")))
            if response.has_redirect_location:
                location = response.headers["location"]
                return redirected(request, response.status_code, location)
            raise status_error(request, response, await _error_body(response))

    async def _trace(self, event: str, _: object) -> None:
        if self._sent is not None and event == _SENT:
            self._sent()


@cache
def _trust(*, is_used: bool) -> ssl.SSLContext:
    """Return the TLS context with the system's CA certificates, or with none.

    Users can add a private CA to the system's. Reading them takes 30 ms, which is saved
    where they are not used.
    """
    if is_used:
        return ssl.create_default_context()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


async def _body(response: httpx.Response, where: str) -> bytes:
    raw = await _first_bytes(response)
    coding = response.headers.get("content-encoding", "identity").lower()
    match coding.strip():
        case "identity" | "":
            body = raw
        case "gzip" | "x-gzip" | "deflate":
            body = _decompressed(raw, where)
        case _:
            sentence = f"{where} sent a compressed response, which was not requested."
            raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence)
    if max(len(raw), len(body)) > MAX_BODY:
        most = f"{MAX_BODY // 1024} KiB"
        sentence = f"{where} answered more than {most}. Is it a token source?"
        raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence)
    return body


async def _first_bytes(response: httpx.Response) -> bytes:
    """Return the body as sent, cut off soon after `MAX_BODY`."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_BODY:
            break
    return bytes(body)


def _decompressed(raw: bytes, where: str) -> bytes:
    """Return at most one byte more than `MAX_BODY`, whatever the rest would become."""
    decompress = zlib.decompressobj(_GZIP_OR_ZLIB)
    with contextlib.suppress(zlib.error):
        body = decompress.decompress(raw, MAX_BODY + 1)
        if decompress.eof or len(body) > MAX_BODY:
            return body
    sentence = f"{where} sent a compressed response that is damaged."
    raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence)


async def _error_body(response: httpx.Response) -> bytes:
    """Return the body of an error, or nothing: the status alone says enough."""
    try:
        async with asyncio.timeout(ERROR_BODY_S):
            return await _body(response, "")
    except (TimeoutError, httpx.HTTPError, TokenUnreachable):
        return b""
