"""Detection of rooms without audio; `test_join_again` has one of a real library."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from livekit.rtc._proto.stats_pb2 import RtcStats

from appliance.room.failures import NOT_SENT
from appliance.room.ffi import ffi_events
from appliance.room.stats import nothing_sent
from tests.room.fakes import DEADLINE_S

EVERY_S = 0.02
READINGS = 12


class Library:
    """Room and track of a library, whose counts rise whenever they are read."""

    def __init__(self, *, blocks=100, packets=1, is_unmuted=True, is_paused=False):
        self.is_unmuted = is_unmuted
        self.is_paused = is_paused
        self._blocks = self.packets = 0
        self._steps = blocks, packets
        self.readings = asyncio.Semaphore(0)

    @property
    def encoded_blocks(self):
        self._blocks += self._steps[0]
        self.readings.release()
        return self._blocks

    async def get_rtc_stats(self):
        self.packets += self._steps[1]
        report = RtcStats()
        report.outbound_rtp.sent.packets_sent = self.packets
        return SimpleNamespace(publisher_stats=[report], subscriber_stats=[])

    def watch(self):
        either: Any = self
        watch = nothing_sent(either, either, lambda: self.is_paused, EVERY_S)
        return asyncio.ensure_future(watch)


@pytest.fixture(autouse=True)
def first_time():
    ffi_events().has_been_mute = False


async def test_a_library_that_encodes_and_sends_no_packets_is_noticed():
    async with asyncio.timeout(DEADLINE_S):
        assert await Library(packets=0).watch() is NOT_SENT


async def test_one_that_is_mute_in_the_next_room_has_to_be_started_again():
    async with asyncio.timeout(DEADLINE_S):
        await Library(packets=0).watch()
        with pytest.raises(RuntimeError, match="sends nothing"):
            await Library(packets=0).watch()


async def test_one_that_has_sent_packets_since_has_not():
    async with asyncio.timeout(DEADLINE_S):
        await Library(packets=0).watch()
        library = Library(packets=1)
        watch = library.watch()
        for _ in range(READINGS):
            await library.readings.acquire()
        watch.cancel()
        assert await Library(packets=0).watch() is NOT_SENT


@pytest.mark.parametrize(
    "library",
    [
        {"packets": 1},
        {"packets": 0, "blocks": 0},
        {"packets": 0, "is_unmuted": False},
        {"packets": 0, "is_paused": True},
    ],
)
async def test_sent_packets_no_sound_a_mute_and_an_interruption_are_no_failure(library):
    library = Library(**library)
    watch = library.watch()
    async with asyncio.timeout(DEADLINE_S):
        for _ in range(READINGS):
            await library.readings.acquire()
    assert not watch.done()
    watch.cancel()


async def test_a_real_library_sends_packets_of_silence_into_an_empty_room(server, box):
    await box.join(server)
    box.feed.is_open = False
    own = box.room.session.own
    assert own.is_unmuted
    watch = asyncio.ensure_future(nothing_sent(box.sdk_room, own, lambda: False, 1.0))
    async with asyncio.timeout(DEADLINE_S):
        while own.encoded_blocks < 450:
            await asyncio.sleep(0.05)
    assert not watch.done()
    watch.cancel()
