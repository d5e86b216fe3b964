"""Bounded reading of HTTP request bodies, for the page and the token server."""

import asyncio
from typing import TYPE_CHECKING

from appliance.errors import ApplianceError

if TYPE_CHECKING:
    from starlette.requests import Request

BODY_S = 10.0
"""Longest time for a whole body; our choice: far more than 32 KiB take on the worst
Wi-Fi."""


class BodyTooLongError(ApplianceError):
    """A request body longer than the limit."""


class BodyTooSlowError(ApplianceError):
    """A request body that is not complete in time."""


async def read_body(
    request: "Request", limit_bytes: int, within_s: float = BODY_S
) -> bytes:
    """Return the body of a request, without trusting its announced length.

    Args:
        request: its body has not been read yet.
        limit_bytes: longest body.
        within_s: longest time for all of it.

    Raises:
        BodyTooLongError: as soon as it is too long, or is announced to be.
        BodyTooSlowError: it is not complete in time.
        starlette.requests.ClientDisconnect: the client closed the connection.
    """
    announced = request.headers.get("content-length", "0")
    # Nine digits are enough to see that it is too long; int() of many takes long.
    if not announced.isdecimal() or int(announced[:9]) > limit_bytes:
        raise BodyTooLongError
    body = bytearray()
    try:
        async with asyncio.timeout(within_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit_bytes:
                    raise BodyTooLongError
    except TimeoutError as exc:
        raise BodyTooSlowError from exc
    return bytes(body)
