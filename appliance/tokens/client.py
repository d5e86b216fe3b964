"""HTTP client of a token source: one request, a bounded response, plain errors.

Importing httpx takes 0.1 s, so this module is imported when a token is first fetched.
"""

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache

import httpx

from appliance.core.events import Cause
from appliance.errors import TokenError, TokenRefused, TokenUnreachable
from appliance.net.url import without_query
from appliance.tokens.request import Request

CONNECT_S = 5.0
"""Our choice: enough for three retransmissions of the first packet on bad Wi-Fi."""
TOTAL_S = 10.0
"""Our choice: enough for a serverless function with a cold start."""
MAX_BODY = 64 * 1024
"""Bytes; the longest accepted token is a quarter of it."""

# Both log whole addresses, including the query, which may contain keys.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

_SENT = "http11.send_request_body.complete"
"""Source: httpcore's documentation, "Extensions", `trace`."""
_REFUSALS = {
    401: "unauthorized (401): check room.token_headers",
    403: "forbidden (403): check room.identity, token_headers and token_query",
}
_NOT_FOUND = 404
_NO_ROUTE = {errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH}


@dataclass(frozen=True, slots=True)
class HttpReply:
    """Body and clock of a 2xx response."""

    body: bytes
    date_s: float | None
    """The server's clock (header `Date`), seconds since the epoch; None: unknown."""


async def send(
    request: Request,
    transport: httpx.AsyncBaseTransport | None = None,
    *,
    total_s: float = TOTAL_S,
    sent: Callable[[], None] | None = None,
) -> HttpReply:
    """Send the request and return the 2xx response.

    Each request opens a new connection: requests are minutes apart, and a connection
    kept open would be dead after a network outage.

    Args:
        request: to the token source.
        transport: replaces the network, for tests.
        total_s: time limit for everything.
        sent: called when the request has been sent and the response is awaited.

    Raises:
        TokenRefused: 401 or 403.
        TokenUnreachable: any other status, no response, or one that is too long.
    """
    try:
        async with asyncio.timeout(total_s):
            return await _exchange(request, transport, sent)
    except TimeoutError as exc:
        sentence = f"{request.where} did not answer within {total_s:.0f} s."
        raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence) from exc
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as exc:
        raise _error(exc, request.where) from exc


async def _exchange(
    request: Request,
    transport: httpx.AsyncBaseTransport | None,
    sent: Callable[[], None] | None,
) -> HttpReply:
    async def trace(event: str, _: object) -> None:
        if sent is not None and event == _SENT:
            sent()

    url = httpx.URL(request.url).copy_merge_params(request.query)
    # No compression, so that 64 KiB on the wire cannot become 64 MiB in memory.
    own = {"accept-encoding": "identity", "user-agent": "ptt-appliance"}
    fields = [(name.encode(), value) for name, value in request.headers.items()]
    async with (
        httpx.AsyncClient(
            headers=own,
            timeout=httpx.Timeout(None, connect=CONNECT_S),
            transport=transport,
            # No proxies and no .netrc of the environment: only the configuration.
            trust_env=False,
            verify=_trust(is_used=url.scheme == "https"),
        ) as client,
        client.stream(
            request.method,
            url,
            headers=fields,
            content=request.body,
            extensions={"trace": trace},
        ) as response,
    ):
        _check_status(response, request.where)
        body = await _body(response, request.where)
        return HttpReply(body, _date_s(response.headers.get("date", "")))


def _date_s(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


@cache
def _trust(*, is_used: bool) -> ssl.SSLContext:
    """Return the TLS context with the system's CA certificates, or with none.

    Users can add a private CA to the system's. Reading them takes 30 ms, which is saved
    where they are not used.
    """
    if is_used:
        return ssl.create_default_context()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _check_status(response: httpx.Response, where: str) -> None:
    status = response.status_code
    if response.is_success:
        return
    if status in _REFUSALS:
        sentence = f"{where} answered {_REFUSALS[status]}."
        raise TokenRefused(Cause.REFUSED, sentence)
    if status == _NOT_FOUND:
        # A proxy may answer 404 while the server behind it is starting.
        sentence = f"{where} answered not found (404): check room.token_url."
        raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence)
    if response.next_request is not None:
        target = without_query(str(response.next_request.url))
        sentence = f"{where} redirects to {target}. Write that address if it is right."
        raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence)
    sentence = f"{where} answered {status} instead of a token. See its own log."
    raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence)


async def _body(response: httpx.Response, where: str) -> bytes:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        sentence = f"{where} sent a compressed response, which was not requested."
        raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence)
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_BODY:
            break
    if len(body) > MAX_BODY:
        most = f"{MAX_BODY // 1024} KiB"
        sentence = f"{where} answered more than {most}. Is it a token source?"
        raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence)
    return bytes(body)


def _error(exc: Exception, where: str) -> TokenError:
    """Return the error for a request without a response."""
    causes = list(_causes(exc))
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            sentence = f"the name in {where} cannot be resolved. Check the network."
            return TokenUnreachable(Cause.NO_INTERNET, sentence)
        if isinstance(cause, OSError) and cause.errno in _NO_ROUTE:
            sentence = f"there is no route to {where}. Check the network."
            return TokenUnreachable(Cause.NO_INTERNET, sentence)
        if isinstance(cause, ssl.SSLCertVerificationError):
            why = cause.verify_message
            sentence = (
                f"{where} has no valid certificate ({why}). Is the clock here right?"
            )
            return TokenUnreachable(Cause.TOKEN_SOURCE, sentence)
    return TokenUnreachable(Cause.TOKEN_SOURCE, f"{where} {_failure(causes)}")


def _failure(causes: list[BaseException]) -> str:
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "refuses connections. Is the token source running?"
    if isinstance(causes[0], httpx.ConnectTimeout):
        return f"was not reached within {CONNECT_S:.0f} s."
    if isinstance(causes[0], httpx.RemoteProtocolError | httpx.ReadError):
        return "closed the connection or is not an HTTP server."
    return f"could not be reached ({type(causes[0]).__name__})."


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and its causes, including those in exception groups."""
    while exc is not None:
        yield exc
        if isinstance(exc, BaseExceptionGroup):
            for inner in exc.exceptions:
                yield from _causes(inner)
        exc = exc.__cause__ or exc.__context__
