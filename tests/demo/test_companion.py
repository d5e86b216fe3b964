"""The companion repeats talks and answers chat."""

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest
from livekit import rtc

from appliance.core.chat import ChatLine, Delivery
from appliance.core.view import ConnectionState, LampStates
from appliance.demo.companion import LONGEST_BLOCKS, Companion, Listener, Summary
from appliance.demo.livekit_server import LocalServer
from appliance.demo.simulated_card import phrase
from appliance.errors import DemoError
from appliance.page.messages import STARTING
from appliance.token_server.signing import Signer
from tests.room.friend import Friend

QUIET = np.zeros(480, np.int16)
LOUD = np.full(480, 3000, np.int16)
DEADLINE_S = 30.0
CONNECTED = replace(STARTING, connection=ConnectionState.CONNECTED)
TALKING = replace(CONNECTED, lamps=LampStates(talking=True))
SPEAKING = replace(CONNECTED, talkers=("Companion",), speaker_dbfs=-20)
CHAT = (
    ChatLine("1", "", "", "hello", 0, Delivery.SENT),
    ChatLine("2", "companion", "Companion", "You wrote: hello", 0, Delivery.RECEIVED),
)


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
    signer, now_s = Signer(server.api_key, server.api_secret), int(time.time())
    return signer.token(name, name, "kitchen", ttl_s=60, now_s=now_s)


async def test_the_companion_repeats_talks_and_answers_chat(binary):
    repeats = asyncio.Event()
    async with LocalServer(binary) as server, guest(server, repeats) as me:
        source = rtc.AudioSource(48_000, 1, queue_size_ms=100)
        track = rtc.LocalAudioTrack.create_audio_track("voice", source)
        await me.room.local_participant.publish_track(track)
        await me.room.local_participant.send_text("hello", topic="lk.chat")
        samples = np.concatenate((np.zeros(24_000, np.int16), phrase()[:48_000]))
        async with asyncio.timeout(DEADLINE_S):
            for start in range(0, len(samples), 480):
                block = np.resize(samples[start : start + 480], 480)
                await source.capture_frame(
                    rtc.AudioFrame(block.tobytes(), 48_000, 1, 480)
                )
            await repeats.wait()
            heard = await me.hear(1.0)
            sender, _, text = await me.streams.get()
        await source.aclose()
    assert np.abs(heard).max() > 3000
    assert (sender, text) == ("companion", "You wrote: hello")


async def test_a_message_whose_sender_leaves_in_the_middle_is_not_answered(binary):
    failed = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, what: failed.append(what))
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


def counted(*views, repeats_before=None):
    summary = Summary(has_companion=True)
    for number, view in enumerate(views):
        if number == repeats_before:
            summary.begin_repetition()
        summary.count(view)
    return summary.figures()


def test_a_complete_exchange_is_counted():
    figures = counted(
        STARTING,
        replace(CONNECTED, chat=CHAT),
        TALKING,
        TALKING,
        CONNECTED,
        SPEAKING,
        SPEAKING,
        repeats_before=5,
    )
    assert figures.pop("joined_after_s") >= 0
    assert figures == {
        "talks_sent": 1,
        "talks_heard_back": 1,
        "lines_sent": 1,
        "lines_answered": 1,
        "not_complete": "",
    }


@pytest.mark.parametrize(
    ("views", "missing"),
    [
        ((STARTING,), "the room was never joined"),
        ((CONNECTED,), "no talk came back"),
        ((CONNECTED, TALKING, CONNECTED), "no talk came back"),
        ((TALKING, SPEAKING), "no line of chat was answered"),
    ],
)
def test_the_summary_names_what_never_worked(views, missing):
    assert counted(*views, repeats_before=1)["not_complete"] == missing


def test_a_repetition_that_is_not_played_is_not_counted():
    silent = replace(SPEAKING, speaker_dbfs=-96)
    assert counted(TALKING, silent, repeats_before=1)["talks_heard_back"] == 0
    assert counted(TALKING, SPEAKING)["talks_heard_back"] == 0


def test_a_talk_that_is_repeated_in_parts_counts_once():
    summary = Summary(has_companion=True)
    summary.count(TALKING)
    for _ in range(2):
        summary.begin_repetition()
        summary.count(SPEAKING)
    assert summary.figures()["talks_heard_back"] == 1


def test_in_the_users_own_room_joining_is_enough():
    summary = Summary(has_companion=False)
    summary.count(CONNECTED)
    assert summary.figures()["not_complete"] == ""
