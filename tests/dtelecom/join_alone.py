"""Joins a room with LiveKit's SDK alone; exits with 3 if the SDK cannot.

Usage: python -m tests.dtelecom.join_alone URL TOKEN
"""

import asyncio
import logging
import os
import sys

from livekit import rtc

CANNOT = 3


class Listener(logging.Handler):
    """Ends the process as soon as the SDK reports it; its time-outs take 20 s."""

    def emit(self, record: logging.LogRecord) -> None:
        if "failed to decode SignalResponse" in record.getMessage():
            os._exit(CANNOT)


async def main(url: str, token: str) -> int:
    logging.getLogger("livekit").addHandler(Listener())
    room = rtc.Room()
    options = rtc.RoomOptions(single_peer_connection=False)
    try:
        await room.connect(url, token, options)
    except rtc.ConnectError:
        return CANNOT
    await room.disconnect()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
