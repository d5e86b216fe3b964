"""Reads request bodies without trusting their size or their haste."""

import asyncio
from http import HTTPStatus

from starlette.requests import Request

from appliance.page.refused import RequestRefused

LIMIT_BYTES = 32 * 1024
"""A chat line of 2000 emoji, each escaped as twelve ASCII characters, fits."""
PATIENCE_S = 10.0
"""Our choice: far more than 32 KiB take on the worst Wi-Fi."""


async def read(request: Request) -> bytes:
    """Return the body.

    Raises:
        Refused: 413 as soon as it is too long, 408 when it does not come.
    """
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced[:9]) > LIMIT_BYTES:
        raise _too_long()
    body = bytearray()
    try:
        async with asyncio.timeout(PATIENCE_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LIMIT_BYTES:
                    raise _too_long()
    except TimeoutError as problem:
        sentence = "The request came too slowly."
        raise RequestRefused(HTTPStatus.REQUEST_TIMEOUT, sentence) from problem
    return bytes(body)


def _too_long() -> RequestRefused:
    sentence = f"The body is too long; at most {LIMIT_BYTES} bytes are read."
    return RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence)
