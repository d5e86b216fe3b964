"""Program that opens the adapter, goes on to a given moment, closes it and ends."""

import asyncio
import logging
import sys

from appliance.cli import end_process
from appliance.core.events import RoomFailed, RoomJoined, RoomLost
from tests.room.conftest import join_room, open_box


async def live(moment, url, token):
    async with open_box() as box:
        if moment == "opened":
            return
        box.room.do(join_room(1, url, "wrong" if moment == "failed" else token))
        if moment == "joining":
            return
        if moment == "failed":
            await box.until(RoomFailed)
            return
        await box.until(RoomJoined)
        sys.stdout.write("joined\n")
        sys.stdout.flush()
        if moment == "lost":
            await box.until(RoomLost)


if __name__ == "__main__":
    logging.disable()
    asyncio.run(live(*sys.argv[1:]))
    # As the appliance does.
    end_process(0)
