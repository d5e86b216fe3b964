import asyncio
import time
from contextlib import asynccontextmanager

import numpy as np
import pytest
from livekit import rtc

from appliance.demo.build_server import find_or_build
from appliance.demo.companion import LONGEST_BLOCKS, Companion, Listener
from appliance.demo.livekit_server import LocalServer
from appliance.demo.simulated_card import phrase
from appliance.errors import DemoError
from appliance.tokens.issue import issue
from tests.room.friend import Friend

QUIET = np.zeros(480, np.int16)
LOUD = np.full(480, 3000, np.int16)
DEADLINE_S = 30.0


def talks(*runs):
    """Give runs of (block, count) to a listener; return the talks it detected."""
    listener = Listener()
    found = [listener.take(block) for block, count in runs for _ in range(count)]
    return [talk for talk in found if talk is not None]


def test_a_talk_ends_with_half_a_second_of_silence_and_keeps_a_tenth():
    (talk,) = talks((QUIET, 100), (LOUD, 80), (QUIET, 60))
    assert len(talk) == (10 + 80 + 10) * 480
    assert not talk[: 10 * 480].any()
    assert talk[10 * 480 : 90 * 480].all()


def test_pauses_between_words_do_not_end_a_talk():
    assert len(talks((LOUD, 20), (QUIET, 40), (LOUD, 20), (QUIET, 60))) == 1


def test_silence_separates_two_talks():
    assert len(talks((LOUD, 20), (QUIET, 60), (LOUD, 20), (QUIET, 60))) == 2


def test_an_endless_talk_is_split():
    first, second = talks((LOUD, 2 * LONGEST_BLOCKS))
    assert len(first) == len(second) == LONGEST_BLOCKS * 480


def test_silence_is_no_talk():
    assert talks((QUIET, 500)) == []


@asynccontextmanager
async def guest(server, repeats):
    """A companion and another participant in its room."""
    async with Companion(repeats.set) as companion:
        await companion.join(server.url, token(server, "companion"))
        guest_token = token(server, "guest")
        async with Friend(server.url, guest_token, rtc.RoomOptions()) as friend:
            yield friend


def token(server, name):
    key, secret = server.api_key, server.api_secret
    return issue(key, secret, name, name, "kitchen", 60, int(time.time()))


async def test_the_companion_repeats_talks_and_answers_chat():
    repeats = asyncio.Event()
    async with (
        LocalServer(find_or_build(print)) as server,
        guest(server, repeats) as me,
    ):
        source = rtc.AudioSource(48_000, 1, queue_size_ms=100)
        track = rtc.LocalAudioTrack.create_audio_track("voice", source)
        await me.room.local_participant.publish_track(track)
        await me.room.local_participant.send_text("hello", topic="lk.chat")
        samples = np.concatenate((np.zeros(24_000, np.int16), phrase()))
        async with asyncio.timeout(DEADLINE_S):
            for start in range(0, len(samples), 480):
                block = np.resize(samples[start : start + 480], 480)
                await source.capture_frame(
                    rtc.AudioFrame(block.tobytes(), 48_000, 1, 480)
                )
            await repeats.wait()
            heard = await me.hear(2.0)
            sender, _, text = await me.streams.get()
        await source.aclose()
    assert np.abs(heard).max() > 3000
    assert (sender, text) == ("companion", "You wrote: hello")


async def test_a_message_whose_sender_leaves_in_the_middle_is_not_answered():
    failed = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, what: failed.append(what))
    binary = find_or_build(print)
    async with (
        asyncio.timeout(DEADLINE_S),
        LocalServer(binary) as server,
        Companion(lambda: None) as companion,
    ):
        await companion.join(server.url, token(server, "companion"))
        async with Friend(server.url, token(server, "guest"), rtc.RoomOptions()) as me:
            person = me.room.local_participant
            half = await person.stream_text(topic="lk.chat")
            await half.write("hel")
            # The answer to a complete message arrives after the incomplete one.
            assert await answer_to("hello", me) == "You wrote: hello"
        async with Friend(server.url, token(server, "other"), rtc.RoomOptions()) as me:
            assert await answer_to("ah", me) == "You wrote: ah"
    assert failed == []


async def answer_to(text, person):
    await person.room.local_participant.send_text(text, topic="lk.chat")
    _, _, answer = await person.streams.get()
    return answer


async def test_a_companion_that_cannot_join_is_an_error():
    with pytest.raises(DemoError, match="companion cannot join"):
        async with Companion(lambda: None) as companion:
            await companion.join("ws://127.0.0.1:9", "no token")
