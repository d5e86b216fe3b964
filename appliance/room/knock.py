"""Looks whether a server that was away takes calls again."""

import asyncio
import contextlib
from typing import Final
from urllib.parse import urlsplit

EVERY_S: Final = 2.0
"""Our choice: a call a second or two after the server's return, and fifty boxes are no
load for it."""
PATIENCE_S: Final = 2.0
"""For one attempt."""
_PORTS: Final = {"ws": 80, "http": 80, "wss": 443, "https": 443}


async def is_back(url: str, every_s: float = EVERY_S) -> bool:
    """Wait until the server that does not answer does.

    Args:
        url: the server's.
        every_s: how long to wait between two attempts.

    Returns:
        False at once if it answers the first time: it was not away, and something else
        is wrong.
    """
    parts = urlsplit(url)
    port = parts.port or _PORTS.get(parts.scheme, 443)
    if await _answers(parts.hostname or "", port):
        return False
    while True:
        await asyncio.sleep(every_s)
        if await _answers(parts.hostname or "", port):
            return True


async def _answers(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(PATIENCE_S):
            _, writer = await asyncio.open_connection(host, port)
    except OSError:
        # TimeoutError is one of them.
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
