"""HTTP client of a token source: bounded response, few redirects, plain errors.

Importing httpx takes 0.1 s, so this module is imported when a token is first fetched.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar
from typing import Final, NamedTuple

import httpx

from appliance.core.events import Cause
from appliance.errors import TokenError, TokenRefused, TokenUnreachable
from appliance.net.http_client import certificate_advice, trust
from appliance.net.url import address_fault, is_local, without_query
from appliance.process.logs import redacted
from appliance.tokens.adapter import Request
from appliance.tokens.token_parser import LONGEST_SHOWN, remark

CONNECT_S: Final = 5.0
"""Our choice: enough for three retransmissions of the first packet on bad Wi-Fi."""
TOTAL_S: Final = 10.0
"""Our choice: enough for a serverless function with a cold start."""
MAX_BODY: Final = 64 * 1024
"""Bytes, also after decompression; the longest accepted token is a quarter of it."""
ERROR_BODY_S: Final = 1.0
"""Our choice: what an error's body adds is worth no longer wait."""
MAX_REDIRECTS: Final = 3

# Both log whole addresses, including the query, which may contain keys.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

_SENT: Final = "http11.send_request_body.complete"
"""Source: httpcore's documentation, "Extensions", `trace`."""
_COMPRESSED: Final = {"gzip", "x-gzip", "deflate"}
_GZIP_OR_ZLIB: Final = 47
"""Source: zlib's documentation, `windowBits`: 32 + 15 detects the format."""
_SEE_OTHER: Final = 303
_ANONYMOUS_HEADERS: Final = ("accept", "content-type")
"""Headers that say nothing about the sender, so that any host may get them."""
_WITHOUT_CERTIFICATES: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_NOT_FOUND: Final = 404
_ADVICE: Final = {
    401: "unauthorized (401): check room.token_headers",
    403: "forbidden (403): check room.identity, token_headers, token_query and "
    "token_body",
    _NOT_FOUND: "not found (404): check room.token_url",
}
_NO_ROUTE: Final = {errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH}


class HttpReply(NamedTuple):
    """Body and clock of a 2xx response."""

    body: bytes
    date_s: float | None
    """The server's clock (header `Date`), seconds since the epoch; None: unknown."""


class TokenClient:
    """Client that keeps cookies: a token source may recognise the box by them."""

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport | None = None,
        sent: Callable[[], None] = lambda: None,
    ) -> None:
        """Start without cookies; `sent` is called when a request has been sent."""
        self._transport = transport
        self._sent = sent
        self._cookies = CookieJar()

    async def send(self, request: Request) -> HttpReply:
        """Send the request over a new connection, and return the 2xx response.

        Raises:
            TokenRefused: 401 or 403.
            TokenUnreachable: any other status, no response, or one that is too long.
        """
        where = request.where
        try:
            async with asyncio.timeout(TOTAL_S):
                for _ in range(MAX_REDIRECTS + 1):
                    reply = await self._exchange(request)
                    if isinstance(reply, HttpReply):
                        return reply
                    request = reply
        except TimeoutError as exc:
            sentence = f"{request.where} did not answer within {TOTAL_S:.0f} s."
            raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence) from exc
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as exc:
            raise no_response_error(exc, request.where) from exc
        sentence = f"{where} redirects more than {MAX_REDIRECTS} times."
        raise TokenUnreachable(Cause.TOKEN_SOURCE, f"{sentence} Check room.token_url.")

    async def _exchange(self, request: Request) -> HttpReply | Request:
        """Return the response, or the request to send in its place."""
        url = httpx.URL(request.url)
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
                # Reading the certificates takes time, so only if they are used.
                verify=trust() if url.scheme == "https" else _WITHOUT_CERTIFICATES,
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
            body = b""
            # Without it the status says enough.
            with contextlib.suppress(httpx.HTTPError, TimeoutError, TokenUnreachable):
                async with asyncio.timeout(ERROR_BODY_S):
                    body = await _body(response, request.where)
            raise status_error(request, response, body)

    async def _trace(self, event: str, _: object) -> None:
        if event == _SENT:
            self._sent()


async def _body(response: httpx.Response, where: str) -> bytes:
    """Return the body, of at most `MAX_BODY` bytes also after decompression."""
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_BODY:
            break
    if response.headers.get("content-encoding", "").strip().lower() in _COMPRESSED:
        try:
            # Limited here: httpx would make 64 MB of 64 KiB.
            body = zlib.decompressobj(_GZIP_OR_ZLIB).decompress(body, MAX_BODY + 1)
        except zlib.error as exc:
            sentence = f"{where} sent a compressed response that is damaged."
            raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence) from exc
    if len(body) > MAX_BODY:
        most = f"{MAX_BODY // 1024} KiB"
        sentence = f"{where} answered more than {most}. Is it a token source?"
        raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence)
    return body


def redirected(request: Request, status: int, location: str) -> Request:
    """Return the request to the address to which the response redirects.

    The method is kept except after 303. Another host gets neither headers nor body of
    the configuration.

    Raises:
        TokenUnreachable: the address must not be followed.
    """
    before = httpx.URL(request.url)
    after = before.join(location)
    where = redacted(without_query(str(after)), request.secrets)[:LONGEST_SHOWN]
    is_get = status == _SEE_OTHER or request.method == "GET"
    # The same host, or the same one with TLS.
    is_same = after.host == before.host and (
        after.port == before.port or after.scheme != before.scheme
    )
    fault = address_fault(str(after), "https", request.room.allow_insecure)
    if fault is None and before.scheme == "https" != after.scheme:
        fault = "it is without TLS."
    elif fault is None and is_local(str(after)) and not is_local(str(before)):
        fault = "only this machine itself may name a service on it."
    elif fault is None and request.room.token_body and not (is_same or is_get):
        fault = (
            "another host would get what room.token_body says. If it should, write its "
            "address to room.token_url."
        )
    if fault is not None:
        reason = redacted(fault, request.secrets)[:LONGEST_SHOWN]
        sentence = f"{request.where} redirects to {where}, which is not followed: "
        raise TokenUnreachable(Cause.TOKEN_SOURCE, f"{sentence}{reason}")
    kept = request.headers.keys() if is_same else _ANONYMOUS_HEADERS
    return replace(
        request,
        where=where,
        method="GET" if is_get else request.method,
        url=str(after),
        headers={x: value for x, value in request.headers.items() if x in kept},
        body=None if is_get else request.body,
    )


def date_s(text: str) -> float | None:
    """Return a date of HTTP in seconds since the epoch; None if it is not one."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def status_error(request: Request, response: httpx.Response, body: bytes) -> TokenError:
    """Return the error for a response other than 2xx."""
    said, status = remark(body, request.secrets), response.status_code
    known = _ADVICE.get(status)
    sentence = f"{request.where} answered {known or f'{status} instead of a token'}."
    # A proxy may answer 404 while the server behind it is starting: not final.
    if known and status != _NOT_FOUND:
        return TokenRefused(Cause.REFUSED, sentence, remark=said)
    return TokenUnreachable(
        Cause.TOKEN_SOURCE,
        sentence,
        remark=said or ("" if known else "See its own log."),
        retry_after_s=_retry_after_s(response.headers),
    )


def no_response_error(exc: Exception, where: str) -> TokenError:
    """Return the error for a request without a response."""
    if isinstance(exc, httpx.ConnectTimeout):
        # The name lookup is part of it.
        sentence = f"no connection to {where} within {CONNECT_S:g} s."
        return TokenUnreachable(Cause.NO_INTERNET, f"{sentence} Check the network.")
    causes = list(_causes(exc))
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        # It has been reached; its other addresses may be IPv6, which is missing here.
        sentence = f"{where} refuses connections. Is the token source running?"
        return TokenUnreachable(Cause.TOKEN_SOURCE, sentence)
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            advice = "Check its spelling and the network."
            sentence = f"the name in {where} cannot be resolved. {advice}"
            return TokenUnreachable(Cause.NO_INTERNET, sentence)
        if isinstance(cause, OSError) and cause.errno in _NO_ROUTE:
            sentence = f"there is no route to {where}. Check the network."
            return TokenUnreachable(Cause.NO_INTERNET, sentence)
        if isinstance(cause, ssl.SSLCertVerificationError):
            why, advice = cause.verify_message, certificate_advice(cause)
            sentence = f"{where} has no valid certificate ({why}). {advice}"
            return TokenUnreachable(Cause.TOKEN_SOURCE, sentence)
    fault = f"could not be reached ({type(exc).__name__})."
    if isinstance(exc, httpx.RemoteProtocolError | httpx.ReadError):
        fault = "closed the connection or is not an HTTP server."
    return TokenUnreachable(Cause.TOKEN_SOURCE, f"{where} {fault}")


def _retry_after_s(headers: httpx.Headers) -> float:
    """Return the wait that the server asks for; 0: none. A date is by its own clock.

    Source: RFC 9110, section 10.2.3.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    until_s = date_s(text)
    now_s = date_s(headers.get("date", "")) or time.time()
    return 0.0 if until_s is None else max(0.0, until_s - now_s)


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and its causes, including those in exception groups."""
    while exc is not None:
        yield exc
        if isinstance(exc, BaseExceptionGroup):
            for inner in exc.exceptions:
                yield from _causes(inner)
        exc = exc.__cause__ or exc.__context__
