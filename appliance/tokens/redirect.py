"""Redirects of a token source: which are followed, and what the new address gets."""

from dataclasses import replace
from typing import Final

import httpx

from appliance.core.events import Cause
from appliance.errors import TokenUnreachable
from appliance.net.url import address_fault, is_local, without_query
from appliance.process.redaction import redacted
from appliance.tokens.request import Request

LONGEST_SHOWN: Final = 300
"""Characters of an error sentence that a redirect may determine."""
_SEE_OTHER: Final = 303
_ANONYMOUS_HEADERS: Final = ("accept", "content-type")
"""Headers that say nothing about the sender, so that any host may get them."""
_WITHOUT_TLS: Final = "it is without TLS."
_THIS_MACHINE: Final = "only this machine itself may name a service on it."
_OTHER_HOST: Final = (
    "another host would get what room.token_body says. If it should, write its address "
    "to room.token_url."
)


def redirected(request: Request, status: int, location: str) -> Request:
    """Return the request to the address to which the response redirects.

    The method is kept except after 303: the address has moved, and a GET would lose the
    body. Another host gets neither headers nor body of the configuration.

    Raises:
        TokenUnreachable: the address is not one to follow.
    """
    before = httpx.URL(request.url)
    after = before.join(location)
    shown = redacted(without_query(str(after)), request.secrets)[:LONGEST_SHOWN]
    is_get = status == _SEE_OTHER or request.method == "GET"
    # The same host, or the same one with TLS.
    is_same = after.host == before.host and (
        after.port == before.port or after.scheme != before.scheme
    )
    fault = address_fault(str(after), "https", request.allow_insecure)
    fault = fault or _fault(before, after)
    if request.is_body_private and not (is_same or is_get):
        fault = fault or _OTHER_HOST
    if fault is not None:
        sentence = (
            f"{request.where} redirects to {shown}, which is not followed: "
            f"{redacted(fault, request.secrets)[:LONGEST_SHOWN]}"
        )
        raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence)
    kept = {
        name: value
        for name, value in request.headers.items()
        if is_same or name in _ANONYMOUS_HEADERS
    }
    return replace(
        request,
        method="GET" if is_get else request.method,
        url=str(after),
        headers=kept,
        query={},
        body=None if is_get else request.body,
        shown=shown,
    )


def _fault(before: httpx.URL, after: httpx.URL) -> str | None:
    """Return why a redirect between these allowed addresses is not followed."""
    if before.scheme == "https" and after.scheme != "https":
        return _WITHOUT_TLS
    if is_local(str(after)) and not is_local(str(before)):
        return _THIS_MACHINE
    return None
