"""Sends one request to a token source and bounds what may come back.

httpx takes a tenth of a second to import, so only a fetched token pays for it.
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
"""Our choice: three losses of the first packet on a bad radio link."""
TOTAL_S = 10.0
"""Our choice: a function that has to start up first answers within this."""
MAX_BODY = 64 * 1024
"""Bytes; the largest token we take is a quarter of it."""

# Both write whole addresses, with the query in which keys may be, into the journal.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

_SENT = "http11.send_request_body.complete"
"""Source: httpcore's documentation, "Extensions", `trace`."""
_REFUSALS = {
    401: "unauthorized (401): check room.token_headers",
    403: "forbidden (403): check room.identity, token_headers and token_query",
}
_NOT_FOUND = 404
_NO_WAY = {errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH}


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A 2xx answer."""

    body: bytes
    date_s: float | None
    """The sender's clock (header `Date`), seconds since the epoch; None: not told."""


async def send(
    request: Request,
    transport: httpx.AsyncBaseTransport | None = None,
    *,
    total_s: float = TOTAL_S,
    sent: Callable[[], None] | None = None,
) -> HttpReply:
    """Return a 2xx answer.

    A new connection each time: tokens are minutes apart, and a link that came back
    would find the old connection dead.

    Args:
        request: what to ask, and whom.
        transport: instead of the network.
        total_s: for everything.
        sent: called when the request has left and the answer is waited for.

    Raises:
        TokenRefused: 401 or 403.
        TokenUnreachable: anything else that is no answer.
    """
    try:
        async with asyncio.timeout(total_s):
            return await _exchange(request, transport, sent)
    except TimeoutError as exc:
        sentence = f"{request.where} did not answer within {total_s:.0f} s."
        raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence) from exc
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as exc:
        raise _trouble(exc, request.where) from exc


async def _exchange(
    request: Request,
    transport: httpx.AsyncBaseTransport | None,
    sent: Callable[[], None] | None,
) -> HttpReply:
    async def trace(event: str, _: object) -> None:
        if sent is not None and event == _SENT:
            sent()

    url = httpx.URL(request.url).copy_merge_params(request.query)
    # Undecoded, so that 64 KiB on the wire cannot become 64 MiB in memory.
    own = {"accept-encoding": "identity", "user-agent": "ptt-appliance"}
    fields = [(name.encode(), value) for name, value in request.headers.items()]
    async with (
        httpx.AsyncClient(
            headers=own,
            timeout=httpx.Timeout(None, connect=CONNECT_S),
            transport=transport,
            # No proxies and no .netrc from the environment: only what is configured.
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
    """Return whom to trust: the system's list, so that a private CA can be added there.

    Reading the list takes 30 ms, which plain http to loopback need not wait for.
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
        # A proxy answers so while what stands behind it is starting.
        sentence = f"{where} answered not found (404): check room.token_url."
        raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence)
    if response.next_request is not None:
        target = without_query(str(response.next_request.url))
        sentence = f"{where} points to {target}. Write that address if it is right."
        raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence)
    sentence = f"{where} answered {status}, where a token was wanted. See its own log."
    raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence)


async def _body(response: httpx.Response, where: str) -> bytes:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        sentence = f"{where} answered compressed, which was not asked for."
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


def _trouble(exc: Exception, where: str) -> TokenError:
    """Return in plain words why there is no answer at all."""
    causes = list(_causes(exc))
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            sentence = f"the name in {where} cannot be resolved. Check the network."
            return TokenUnreachable(Cause.NO_INTERNET, sentence)
        if isinstance(cause, OSError) and cause.errno in _NO_WAY:
            sentence = f"there is no way to {where}. Check the network."
            return TokenUnreachable(Cause.NO_INTERNET, sentence)
        if isinstance(cause, ssl.SSLCertVerificationError):
            why = cause.verify_message
            sentence = (
                f"{where} has no valid certificate ({why}). Is the clock here right?"
            )
            return TokenUnreachable(Cause.TOKEN_SOURCE, sentence)
    return TokenUnreachable(Cause.TOKEN_SOURCE, f"{where} {_silence(causes)}")


def _silence(causes: list[BaseException]) -> str:
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "refuses connections. Does the token source run?"
    if isinstance(causes[0], httpx.ConnectTimeout):
        return f"was not reached within {CONNECT_S:.0f} s."
    if isinstance(causes[0], httpx.RemoteProtocolError | httpx.ReadError):
        return "broke off or does not speak HTTP."
    return f"could not be asked ({type(causes[0]).__name__})."


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and all that led to it, those in groups too."""
    while exc is not None:
        yield exc
        if isinstance(exc, BaseExceptionGroup):
            for inner in exc.exceptions:
                yield from _causes(inner)
        exc = exc.__cause__ or exc.__context__
