"""Errors for a token request that failed: a status other than 2xx, or no response."""

import errno
import socket
import ssl
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from appliance.core.events import Cause
from appliance.errors import TokenError, TokenRefused, TokenUnreachable
from appliance.tokens.request import Request
from appliance.tokens.response_body import remark

_REFUSALS: Final = {
    401: "unauthorized (401): check room.token_headers",
    403: "forbidden (403): check room.identity, token_headers and token_query",
}
# A proxy may answer 404 while the server behind it is starting: not final.
_NOT_FOUND: Final = 404
_NO_ROUTE: Final = {errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH}


def date_s(text: str) -> float | None:
    """Return a date of HTTP in seconds since the epoch; None if it is not one."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def status_error(request: Request, response: httpx.Response, body: bytes) -> TokenError:
    """Return the error for a response other than 2xx."""
    said, status = remark(body, request.secrets), response.status_code
    if status in _REFUSALS:
        sentence = f"{request.where} answered {_REFUSALS[status]}."
        return TokenRefused(Cause.REFUSED, sentence, remark=said)
    if status == _NOT_FOUND:
        sentence = f"{request.where} answered not found (404): check room.token_url."
    else:
        sentence = f"{request.where} answered {status} instead of a token."
    return TokenUnreachable(
        Cause.TOKEN_SOURCE,
        sentence,
        remark=said or ("" if status == _NOT_FOUND else "See its own log."),
        retry_after_s=_retry_after_s(response.headers),
    )


def no_response_error(exc: Exception, where: str) -> TokenError:
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


def _retry_after_s(headers: httpx.Headers) -> float:
    """Return the wait that the server asks for, in seconds or until a date; 0: none.

    Source: RFC 9110, section 10.2.3. Its own clock counts, if it is known.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    until_s = date_s(text)
    if until_s is None:
        return 0.0
    now_s = date_s(headers.get("date", ""))
    return max(0.0, until_s - (time.time() if now_s is None else now_s))


def _failure(causes: list[BaseException]) -> str:
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "refuses connections. Is the token source running?"
    if isinstance(causes[0], httpx.ConnectTimeout):
        return "was not reached in time."
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
