"""What other participants can do to the journal."""

import logging

import pytest

from appliance.core.events import ChatReceived
from appliance.room.log_limit import LINES, WINDOW_S, LogLimit, short_id

FOREIGN = 250
MOST_LINES = 10
SECRET = "chosen-by-a-stranger"


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def logger(caplog):
    caplog.set_level(logging.DEBUG)
    return logging.getLogger("appliance.room.test")


def test_a_few_lines_of_a_kind_are_admitted_and_the_others_counted(
    clock, logger, caplog
):
    limit = LogLimit(clock)
    for number in range(LINES + 5):
        limit.log(logger, logging.WARNING, "dropped  number=%d", number)
        limit.log(logger, logging.INFO, "ended")
    shown = [x for x in caplog.records if x.levelno > logging.DEBUG]
    assert len(shown) == 2 * LINES
    clock.now_s += WINDOW_S
    limit.log(logger, logging.WARNING, "dropped  number=%d", 99)
    limit.log(logger, logging.WARNING, "dropped  number=%d", 100)
    last = [x.getMessage() for x in caplog.records[-2:]]
    assert last == ["dropped  number=99 left_out=5", "dropped  number=100"]


def test_an_identity_cannot_forge_a_line():
    assert short_id("a\nroot: b") == "a root"
    assert short_id("") == "?"


async def test_a_stranger_does_not_fill_the_journal(server, box, caplog):
    caplog.set_level(logging.INFO)
    async with server.friend(SECRET) as friend:
        await box.join(server)
        me = friend.room.local_participant
        caplog.clear()
        for number in range(FOREIGN):
            await me.send_text(SECRET, topic=f"{SECRET}-{number}")
            writer = await me.stream_bytes(SECRET, topic="lk.agent.session")
            await writer.aclose()
        for number in range(30):
            await me.send_text(
                SECRET,
                topic="lk.transcription",
                attributes={"lk.segment_id": str(number)},
            )
        for number in range(100):
            await me.publish_data(f"{{{number}", topic="lk-chat-topic")
            await me.publish_data(SECRET, topic=f"{SECRET}-{number}")
        await me.send_text("the last", topic="lk.chat")
        await box.until(ChatReceived)
    lines = [x for x in caplog.records if x.levelno >= logging.INFO]
    assert len(lines) <= MOST_LINES
    assert all(SECRET not in line.getMessage() for line in lines)
    assert all(len(line.getMessage()) < 200 for line in lines)


async def test_a_track_that_comes_and_goes_does_not_fill_the_journal(
    server, box, caplog
):
    caplog.set_level(logging.INFO)
    async with server.friend("ann") as friend:
        await box.join(server)
        caplog.clear()
        for number in range(1, 7):
            track = await friend.say(700)
            await box.playback.count(1)
            await friend.room.local_participant.unpublish_track(track.sid)
            await box.playback.count(0)
            assert len(box.playback.removed) == number
    lines = [x.getMessage() for x in caplog.records if x.name.startswith("appliance")]
    assert len([line for line in lines if line.startswith("track ")]) <= 2 * LINES
