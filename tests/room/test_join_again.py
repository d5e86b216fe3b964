"""A box whose first attempts to join fail."""

import asyncio
import sys
from asyncio.subprocess import PIPE

from appliance.room.connection import NO_AUDIO
from tests.room.fakes import DEADLINE_S
from tests.room.test_permissions import hears_tone
from tests.room.test_room_life import proxy

REFUSED = 2
"""Connections of one attempt: the WebSocket, and the request for the reason."""


async def box_of_its_own(server, port, library):
    """Start a box in a process of its own: with another room in it all is well."""
    url, token = f"ws://127.0.0.1:{port}", server.token("box")
    command = (sys.executable, "-m", "tests.room.join_again_run", url, token, library)
    return await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )


async def test_after_a_failed_attempt_a_box_hears_and_is_heard(server):
    async with server.friend("ann") as friend, proxy(server, refused=REFUSED) as port:
        await friend.say(700)
        box = await box_of_its_own(server, port, "tries once")
        async with asyncio.timeout(DEADLINE_S):
            assert await box.stdout.readline() == b"heard\n"
            await hears_tone(friend)
        _, errors = await box.communicate(b"\n")
    assert (box.returncode, errors.decode()) == (0, "")


async def test_a_box_without_audio_joins_again_and_then_ends_to_be_started_again(
    server,
):
    """A library that repeats attempts itself has no audio until it is restarted."""
    async with server.friend("ann") as friend, proxy(server, refused=REFUSED) as port:
        await friend.say(700)
        box = await box_of_its_own(server, port, "repeats")
        async with asyncio.timeout(DEADLINE_S):
            said, errors = await box.communicate()
    assert (box.returncode, said) == (1, b"")
    assert f"RuntimeError: {NO_AUDIO.reason}" in errors.decode()
