"""Program that joins until it succeeds, and says when it hears somebody."""

import asyncio
import sys

from livekit.rtc._ffi_client import FfiClient

from appliance.core.events import RoomFailed, RoomJoined, RoomLost
from appliance.room import stats
from appliance.room.ffi import connect_once
from tests.room.conftest import join_room, open_box
from tests.room.test_permissions import hears_friend


async def live(url, token, library):
    if library == "repeats":
        connect_once()
        del vars(FfiClient.instance)["request"]
        vars(stats).update(EVERY_S=1.0, BLOCKS_GIVEN=100)
    async with open_box() as box:
        ticket, event = 0, None
        while not isinstance(event, RoomJoined):
            ticket += 1
            box.room.do(join_room(ticket, url, token))
            event = await box.until((RoomFailed, RoomJoined))
        if library == "repeats":
            await box.until(RoomLost)
            box.room.do(join_room(ticket + 1, url, token))
            await box.until(RoomLost)
        await hears_friend(box)
        sys.stdout.write("heard\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    asyncio.run(live(*sys.argv[1:]))
