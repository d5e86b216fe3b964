"""Room with more tracks than are mixed at once; most of them are muted."""

import asyncio
from contextlib import AsyncExitStack

import numpy as np

from appliance.audio.mixer import MAX_TALKERS, Mixer
from appliance.core.events import ConnectionMeasured, PeopleChanged
from appliance.pcm import SILENCE
from appliance.room.subscriber import TRACKS_EACH
from tests.room.conftest import open_box
from tests.room.fakes import DEADLINE_S, FakePlayback, strongest_hz

PERIODS = 50
PEOPLE = MAX_TALKERS // TRACKS_EACH + 1
TRACKS = MAX_TALKERS + 1
SILENT_PEOPLE = 4
SILENT_BLOCKS = 100 * SILENT_PEOPLE
"""One second of each."""


async def played(playback):
    """Return half a second of what a sound card would play."""
    parts = []
    for _ in range(PERIODS):
        await asyncio.sleep(0.01)
        part = playback.next()
        parts.append(np.zeros(480, np.int16) if part is None else part.copy())
    return np.concatenate(parts)


async def is_heard(playback, hz):
    """Wait until this tone is played."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            sound = await played(playback)
            if np.abs(sound).max() > 1000 and abs(strongest_hz(sound) - hz) < 15:
                return


class NamedMixer(Mixer):
    """Mixer that keeps the names of the talkers."""

    def __init__(self):
        super().__init__()
        self.talkers: set[str] = set()

    def add(self, talker):
        self.talkers.add(talker)
        return super().add(talker)

    def remove(self, talker):
        self.talkers.discard(talker)
        super().remove(talker)


async def test_the_first_of_many_is_heard_and_shown_when_it_unmutes(server):
    playback = NamedMixer()
    playback.set_volume(100)
    async with open_box(playback=playback) as box, AsyncExitStack() as stack:
        await box.join(server)
        first = await stack.enter_async_context(
            server.friend("first", name="First", listens=False)
        )
        track = await first.say(700)
        await is_heard(playback, 700)
        track.mute()
        # A connection for each track would cost much more.
        for number in range(PEOPLE - 1):
            friend = server.friend(f"other-{number}", listens=False)
            other = await stack.enter_async_context(friend)
            for _ in range(TRACKS_EACH):
                await other.stay_muted()
        async with asyncio.timeout(DEADLINE_S):
            while len(playback.talkers) < TRACKS:
                await played(playback)
        track.unmute()
        await is_heard(playback, 700)
        await box.until(
            PeopleChanged,
            lambda event: [x.name for x in event.people if x.is_speaking] == ["First"],
        )


async def test_silent_participants_deliver_nothing_but_silence_and_cause_no_events(
    server,
):
    playback = FakePlayback()
    counted = Counted(SILENT_BLOCKS)
    playback.sink = counted.take
    async with open_box(playback=playback) as box, AsyncExitStack() as stack:
        await box.join(server)
        for number in range(SILENT_PEOPLE):
            friend = server.friend(f"silent-{number}", listens=False)
            await (await stack.enter_async_context(friend)).stay_muted()
        await box.until(
            PeopleChanged,
            lambda event: [x.is_muted for x in event.people] == [True] * SILENT_PEOPLE,
        )
        await playback.count(SILENT_PEOPLE)
        before = len(box.events)
        await asyncio.wait_for(counted.start(), DEADLINE_S)
        # Statistics come every ten seconds, whoever is in the room.
        events = box.events[before:]
    assert [x for x in events if not isinstance(x, ConnectionMeasured)] == []
    assert counted.sounding == 0


class Counted:
    """Sink that counts blocks, those that are not the one block of silence apart."""

    def __init__(self, blocks):
        self._left = blocks
        self.sounding = 0
        self._is_started = False
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()

    async def start(self):
        """Count this many blocks."""
        self._is_started = True
        await self._over.wait()

    def take(self, block):
        """Count one block. Thread: the library's."""
        if not self._is_started:
            return
        self._left -= 1
        self.sounding += block is not SILENCE
        if self._left == 0:
            self._loop.call_soon_threadsafe(self._over.set)


async def test_a_participant_who_is_not_played_is_not_shown_as_speaking(server, box):
    box.playback.is_quiet = True
    async with server.friend("ann") as friend:
        await box.join(server)
        await friend.say(700)
        speaking = asyncio.Event()
        friend.room.on(
            "active_speakers_changed",
            lambda speakers: speaking.set() if "ann" in names(speakers) else None,
        )
        await asyncio.wait_for(speaking.wait(), DEADLINE_S)
        await box.talker()
        await asyncio.to_thread(box.playback.sound, await box.talker(), 1.0)
        assert not any(map(anybody_speaks, box.events))
        box.playback.is_quiet = False
        await box.until(PeopleChanged, anybody_speaks)
        box.playback.is_quiet = True
        await box.until(PeopleChanged, lambda event: not anybody_speaks(event))


def names(speakers):
    return {speaker.identity for speaker in speakers}


def anybody_speaks(event):
    people = event.people if isinstance(event, PeopleChanged) else ()
    return any(person.is_speaking for person in people)
