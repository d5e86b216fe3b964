"""The HTTP API in a real uvicorn."""

import asyncio
import json
import struct
import zlib
from dataclasses import replace

import httpx
import pytest

from appliance.core.events import (
    ChatTyped,
    GainAsked,
    JoinAsked,
    LeaveAsked,
    MuteAsked,
    TalkAsked,
    VolumeAsked,
)
from appliance.core.state import ScreenPage
from appliance.core.view import ConnectionState, TalkState
from appliance.net.rate_limit import Rate, RateLimit
from appliance.page.application import CONNECTIONS, default_limits
from tests.page.fake_app import serving
from tests.page.test_security import guest

LONG = "x" * 2001
NEVER = 1e-9
"""A rate per second so low that no test sees a bucket refill."""
DURING_AN_OUTAGE = {
    ConnectionState.RECONNECTING: (),
    ConnectionState.DISCONNECTED: ("room: disconnected",),
}
"""Connection during and between attempts, and the fault that `/health` has for it."""


async def test_the_view_has_the_documented_fields_and_never_the_pin(served, paired):
    answer = await paired.get("/api/view")
    view = answer.json()
    assert view["room"] == "workshop"
    assert view["connection"] == "connected"
    assert view["people"][0] == {
        "id": "anna",
        "name": "Anna",
        "is_speaking": True,
        "is_muted": False,
        "is_agent": False,
        "sound_fault": "",
    }
    assert view["chat"] == [
        {
            "id": "1",
            "senderId": "anna",
            "senderName": "Anna",
            "text": "The delivery is at the gate.",
            "ts": 1_760_000_000_000,
            "state": "received",
        }
    ]
    assert view["lamps"]["online"] is True
    assert view["rtt_ms"] == 23
    assert any("workshop" in line for line in view["screen"])
    assert "pin" not in view
    assert served.pin not in answer.text


@pytest.mark.parametrize(
    ("path", "body", "event"),
    [
        ("/api/mute", {"on": True}, MuteAsked(is_on=True)),
        ("/api/leave", {}, LeaveAsked()),
        ("/api/join", {}, JoinAsked(preset="workshop")),
        ("/api/join", {"preset": None}, JoinAsked(preset=None)),
        ("/api/join", {"preset": "garage"}, JoinAsked(preset="garage")),
        ("/api/join", {"display_name": "Box"}, JoinAsked("workshop", "Box")),
        ("/api/volume", {"percent": 35}, VolumeAsked(35)),
        ("/api/microphone_gain", {"db": -3.5}, GainAsked(-3.5)),
    ],
)
async def test_each_post_is_one_event(served, paired, path, body, event):
    answer = await paired.post(path, json=body)
    assert answer.status_code == 200
    assert served.inbox.events[-1] == event


async def test_joining_without_a_preset_rejoins_a_base_room_too(served, paired):
    served.inbox.show(preset=None)
    await paired.post("/api/join")
    assert served.inbox.events[-1] == JoinAsked(preset=None)


@pytest.mark.parametrize(
    ("presets", "known"), [((), "null"), (("garage",), "null, garage")]
)
async def test_an_unknown_preset_is_answered_with_those_there_are(
    served, paired, presets, known
):
    served.inbox.show(presets=presets)
    answer = await paired.post("/api/join", json={"preset": "attic"})
    assert answer.json()["error"] == f"Unknown preset. Known here: {known}."


async def test_leave_accepts_an_empty_body(served, paired):
    assert (await paired.post("/api/leave")).status_code == 200
    assert served.inbox.events[-1] == LeaveAsked()


async def test_a_chat_line_gets_an_id_and_waits_to_be_sent(served, paired):
    answer = await paired.post("/api/chat", json={"text": "  Grüße 👋 "})
    (event,) = served.inbox.of(ChatTyped)
    assert event.text == "Grüße 👋"
    assert answer.json() == {"id": event.id, "state": "queued"}


async def test_control_characters_are_removed_from_a_chat_line(served, paired):
    await paired.post("/api/chat", json={"text": "a\0\x1b[31mb\r\n\tc\x9b\u200d"})
    (event,) = served.inbox.of(ChatTyped)
    assert event.text == "a[31mb\n\tc\u200d"


async def test_the_longest_line_fits_however_a_script_escapes_it(served, paired):
    text = "\N{WAVING HAND SIGN}" * 2000
    content = json.dumps({"text": text}, ensure_ascii=True).encode()
    answer = await paired.post("/api/chat", content=content)
    assert answer.status_code == 200
    (event,) = served.inbox.of(ChatTyped)
    assert event.text == text


@pytest.mark.parametrize(
    ("path", "content", "key"),
    [
        ("/api/chat", b"{}", None),
        ("/api/chat", b'{"text": 5}', "text"),
        ("/api/chat", b'{"text": "   "}', "text"),
        ("/api/chat", b'{"text": "\\u0000\\u001b"}', "text"),
        ("/api/chat", b'{"text": "\\ud800"}', None),
        ("/api/chat", b'{"text": "a", "more": 1}', None),
        ("/api/chat", b'{"text": "a", "id": ""}', "id"),
        ("/api/chat", b'{"text": "a", "id": null}', "id"),
        ("/api/chat", b'{"text": "a", "id": "a b"}', "id"),
        ("/api/chat", b'{"text": "a", "id": "a\\n"}', "id"),
        ("/api/chat", b'{"text": "a", "id": "%b"}' % (b"a" * 65), "id"),
        ("/api/chat", b"not json", None),
        ("/api/chat", b'{"text": "\xff"}', None),
        ("/api/talk", b'{"on": 1}', "on"),
        ("/api/talk", b"[" * 9000, None),
        ("/api/volume", b'{"percent": 101}', "percent"),
        ("/api/microphone_gain", b'{"db": 1e999}', "db"),
        ("/api/join", b'{"preset": "attic"}', "preset"),
    ],
)
async def test_a_malformed_body_is_400_and_changes_nothing(
    served, paired, path, content, key
):
    before = list(served.inbox.events)
    answer = await paired.post(path, content=content)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert answer.json().get("key") == key
    assert served.inbox.events == before


async def test_a_line_that_cannot_be_queued_is_409_with_the_reason(served, paired):
    served.inbox.show(chat_refusal="20 lines are waiting to be sent already")
    answer = await paired.post("/api/chat", json={"text": "Hello"})
    assert answer.status_code == 409
    assert answer.json() == {"error": "20 lines are waiting to be sent already"}


@pytest.mark.parametrize("text", [LONG, "€" * 2000 + "x", "𝄞" * 1999 + "xxxx"])
async def test_a_long_line_is_413(served, paired, text):
    answer = await paired.post("/api/chat", json={"text": text})
    assert answer.status_code == 413
    assert not served.inbox.of(ChatTyped)


@pytest.mark.parametrize("is_released", [True, False])
async def test_a_talk_ends_when_its_release_is_beyond_the_rate_of_requests(
    tmp_path, clock, is_released
):
    few = RateLimit(Rate(burst=3, per_s=NEVER), Rate(burst=9, per_s=NEVER))
    limits = replace(default_limits(clock), requests=few)
    async with serving(tmp_path, clock, limits=limits) as served:
        cookie = await served.cookie()
        async with served.client(headers={"cookie": cookie}) as client:
            assert (await client.post("/api/talk", json={"on": True})).is_success
            assert (await client.get("/api/view")).is_success
            assert TalkAsked(is_on=False) not in served.inbox.events
            body = {"on": not is_released}
            answer = await client.post("/api/talk", json=body)
            assert answer.status_code == 429
            await served.inbox.has(TalkAsked(is_on=False))


async def test_a_talk_goes_on_while_requests_of_others_are_refused(tmp_path, clock):
    few = RateLimit(Rate(burst=3, per_s=NEVER), Rate(burst=9, per_s=NEVER))
    limits = replace(default_limits(clock), requests=few)
    async with serving(tmp_path, clock, limits=limits) as served:
        headers = {"cookie": await served.cookie()}
        async with (
            served.client(headers) as client,
            guest(served, "127.0.0.2") as other,
        ):
            assert (await client.post("/api/talk", json={"on": True})).is_success
            answers = [await other.get("/health") for _ in range(4)]
            assert answers[-1].status_code == 429
            assert TalkAsked(is_on=False) not in served.inbox.events


async def test_a_talk_ends_when_the_connection_of_its_release_is_refused(
    tmp_path, clock
):
    """One that opens a connection for each request, as curl does."""
    two = replace(CONNECTIONS, rate_each=Rate(burst=2, per_s=NEVER))
    limits = replace(default_limits(clock), connections=two)
    async with serving(tmp_path, clock, limits=limits) as served:
        headers = {"cookie": await served.cookie()}
        async with served.client(headers) as client:
            assert (await client.post("/api/talk", json={"on": True})).is_success
        assert TalkAsked(is_on=False) not in served.inbox.events
        async with served.client(headers) as client:
            with pytest.raises(httpx.TransportError):
                await client.post("/api/talk", json={"on": False})
        await served.inbox.has(TalkAsked(is_on=False))


async def test_chat_beyond_the_rate_is_429_for_some_time(served, paired):
    answers = [await paired.post("/api/chat", json={"text": "a"}) for _ in range(7)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
    assert answers[-1].headers["retry-after"]
    served.clock.now_s += 2
    assert (await paired.post("/api/chat", json={"text": "a"})).status_code == 200


async def test_the_chat_rate_is_limited_over_all_phones(served):
    statuses = []
    for _ in range(4):
        async with served.client(headers={"cookie": await served.cookie()}) as client:
            for _ in range(4):
                answer = await client.post("/api/chat", json={"text": "a"})
                statuses.append(answer.status_code)
    assert statuses.count(200) == 10


async def test_a_press_holds_until_its_release(served, paired):
    answer = await paired.post("/api/talk", json={"on": True})
    assert answer.json() == {"on": True, "lease_s": 30.0}
    await paired.post("/api/talk", json={"on": True})
    await paired.post("/api/talk", json={"on": False})
    await paired.post("/api/talk", json={"on": False})
    assert served.inbox.of(TalkAsked) == [TalkAsked(True), TalkAsked(False)]


@pytest.mark.parametrize(
    ("talk", "text"),
    [
        (TalkState.UNAVAILABLE, "cannot talk: nobody here"),
        (TalkState.LOCKED, "time is up: release the button"),
    ],
)
async def test_a_press_that_cannot_transmit_is_409_with_the_reason(
    served, paired, talk, text
):
    served.inbox.show(talk=talk, talk_text=text)
    answer = await paired.post("/api/talk", json={"on": True})
    assert (answer.status_code, answer.json()) == (409, {"error": text})
    assert not served.inbox.of(TalkAsked)
    served.inbox.show(talk=TalkState.MUTED, talk_text="muted")
    answer = await paired.post("/api/talk", json={"on": True})
    assert answer.json() == {"on": True, "lease_s": 30.0}
    assert served.inbox.of(TalkAsked) == [TalkAsked(True)]


async def test_a_script_that_repeats_talks_again_once_it_can(served, paired):
    statuses = []
    for talk in (None, TalkState.UNAVAILABLE, TalkState.MUTED):
        if talk is not None:
            served.inbox.show(talk=talk)
        answer = await paired.post("/api/talk", json={"on": True})
        statuses.append(answer.status_code)
    assert statuses == [200, 409, 200]
    talks = [event.is_on for event in served.inbox.of(TalkAsked)]
    assert talks == [True, False, True]


async def test_a_repeat_after_the_talk_limit_is_not_answered_with_on(served, paired):
    await paired.post("/api/talk", json={"on": True})
    served.inbox.show(talk=TalkState.MUTED)
    answer = await paired.post("/api/talk", json={"on": True})
    assert answer.json()["on"] is False
    assert len(served.inbox.of(TalkAsked)) == 1


async def test_after_the_talk_limit_a_repeat_is_refused_until_its_release(
    served, paired
):
    await paired.post("/api/talk", json={"on": True})
    served.inbox.show(talk=TalkState.MUTED, is_page_press_ignored=True)
    for _ in range(3):
        answer = await paired.post("/api/talk", json={"on": True})
        assert answer.status_code == 409
        assert "Release the talk button" in answer.json()["error"]
    assert [event.is_on for event in served.inbox.of(TalkAsked)] == [True]
    await paired.post("/api/talk", json={"on": False})
    assert [event.is_on for event in served.inbox.of(TalkAsked)] == [True, False]


async def test_a_talk_while_muted_on_the_page_is_refused_with_advice(served, paired):
    served.inbox.show(is_muted_on_page=True)
    answer = await paired.post("/api/talk", json={"on": True})
    assert answer.status_code == 409
    assert "unmute it first" in answer.json()["error"]
    assert not served.inbox.of(TalkAsked)


@pytest.mark.parametrize(("path", "on"), [("/api/talk", True), ("/api/mute", False)])
async def test_a_mute_at_the_box_wins(served, paired, path, on):
    served.inbox.show(is_muted_at_box=True)
    answer = await paired.post(path, json={"on": on})
    assert answer.status_code == 409
    assert "muted" in answer.json()["error"]
    assert not served.inbox.of(TalkAsked)
    assert not served.inbox.of(MuteAsked)


async def test_the_screen_is_a_png_of_the_right_size(paired):
    answer = await paired.get("/api/screen.png")
    assert answer.headers["content-type"] == "image/png"
    assert answer.content.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", answer.content[16:24]) == (128, 64)
    length = struct.unpack(">I", answer.content[33:37])[0]
    rows = zlib.decompress(answer.content[41 : 41 + length])
    assert len(rows) == 64 * 17
    assert any(rows)


async def test_the_pin_is_hidden_in_the_picture_of_the_screen(served, paired):
    served.inbox.show(screen_page=ScreenPage.PAIRING)
    before = (await paired.get("/api/screen.png")).content
    view = await paired.get("/api/view")
    assert any("PIN" in line for line in view.json()["screen"])
    assert served.pin not in view.text
    served.inbox.show(pin="271828")
    assert (await paired.get("/api/screen.png")).content == before
    assert "271828" not in (await paired.get("/api/view")).text


async def test_metrics_are_the_text_of_the_callback(paired):
    answer = await paired.get("/metrics")
    assert answer.text == "ptt_joins_total 1\n"
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


async def test_health_is_answered_without_a_host_header(served, paired):
    host, port = served.host.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /health HTTP/1.0\r\n\r\n")
    async with asyncio.timeout(10):
        assert b" 200 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("changes", "status", "faults"),
    [
        ({}, 200, []),
        ({"has_microphone": False}, 503, ["no microphone"]),
        ({"has_speaker": False}, 503, ["no speaker"]),
        ({"has_microphone": False, "is_listener": True}, 200, []),
        ({"has_speaker": False, "is_announcer": True}, 200, []),
        ({"connection": ConnectionState.LEFT, "has_microphone": False}, 200, []),
        (
            {"connection": ConnectionState.REFUSED, "has_microphone": False},
            200,
            ["room: refused"],
        ),
        *(
            ({"connection": out, "has_speaker": False}, 503, ["no speaker", *faults])
            for out, faults in DURING_AN_OUTAGE.items()
        ),
    ],
)
async def test_health_is_503_without_a_sound_device_and_contains_no_names(
    served, changes, status, faults
):
    served.inbox.show(faults=("microphone: Anna's headset: unplugged",), **changes)
    async with served.client() as client:
        answer = await client.get("/health")
    assert answer.status_code == status
    assert answer.json()["faults"] == faults
    assert "Anna" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("GET", "/api/chat", 405), ("PUT", "/api/view", 405)],
)
async def test_wrong_addresses_and_methods_are_answered_in_json(
    paired, method, path, status
):
    answer = await paired.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]


@pytest.mark.parametrize("name", ["..%2fserver.py", "pair.html", "%00", "app.py"])
async def test_only_the_pages_own_files_are_served(paired, name):
    assert (await paired.get(f"/static/{name}")).status_code == 404


async def test_a_line_that_is_sent_again_with_its_id_is_one_line(served, paired):
    line = {"id": "0a1b2c", "text": "Hello"}
    first = await paired.post("/api/chat", json=line)
    served.inbox.show(chat_refusal="20 lines are waiting to be sent already")
    again = [await paired.post("/api/chat", json=line) for _ in range(20)]
    (event,) = served.inbox.of(ChatTyped)
    assert (event.id, event.text) == ("0a1b2c", "Hello")
    assert first.json() == {"id": "0a1b2c", "state": "queued"}
    assert [answer.json() for answer in again] == [
        {"id": "0a1b2c", "state": "sent"}
    ] * 20


async def test_the_id_of_another_participants_line_is_free(served, paired):
    answer = await paired.post("/api/chat", json={"id": "1", "text": "Hello"})
    assert answer.json() == {"id": "1", "state": "queued"}
    assert len(served.inbox.of(ChatTyped)) == 1
