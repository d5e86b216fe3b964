"""Log lines that other participants can cause."""

import logging

from appliance.core.events import ChatReceived
from appliance.process.logs import LINES
from appliance.room.participants import short_id

FOREIGN = 250
MAX_LINES = 10
SECRET = "chosen-by-a-stranger"


def test_an_identity_cannot_forge_a_log_line():
    assert short_id("a\nroot: b") == "a root"
    assert short_id("") == "?"


async def test_a_participant_cannot_fill_the_journal(server, box, caplog):
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
    assert len(lines) <= MAX_LINES
    assert all(SECRET not in line.getMessage() for line in lines)
    assert all(len(line.getMessage()) < 200 for line in lines)


async def test_a_track_that_is_published_again_and_again_does_not_fill_the_journal(
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
