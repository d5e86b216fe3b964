"""Wire formats of chat."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.chat import UNKNOWN_ID
from appliance.core.events import ChatMessage
from appliance.room import chat_format, participants
from appliance.room.chat_format import Dropped
from appliance.room.participants import ChatSender

ANN = ChatSender("ann", "Ann")
NOW_MS = 1_700_000_000_000
SENT_MS = NOW_MS - 500
DAY_MS = 86_400_000
TOPICS = [chat_format.PACKET_TOPIC, chat_format.EDIT_TOPIC, chat_format.PLAIN_TOPIC, ""]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
KEYS = (
    "message text timestamp ts id ignoreLegacy ignore sender senderId senderName type"
)
shapes = st.dictionaries(st.sampled_from(KEYS.split()), json_values)
payloads = (
    st.binary(max_size=200)
    | json_values.map(lambda value: json.dumps(value).encode())
    | shapes.map(lambda value: json.dumps(value).encode())
    | shapes.map(lambda value: json.dumps(value, ensure_ascii=False)).map(
        lambda text: text.encode("utf-8", "surrogatepass")
    )
)


def read(topic, payload, sender=ANN, *, takes_streams=True):
    encoded = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return chat_format.read_packet(
        topic, encoded, sender, now_ms=NOW_MS, takes_streams=takes_streams
    )


def read_stream(text, **facts):
    line = chat_format.ReceivedLine("a", text, SENT_MS, **facts)
    return chat_format.read_line(line, ANN, NOW_MS)


def message(**facts):
    usual = {"id": "a", "sender_id": "ann", "sender_name": "Ann", "ts_ms": SENT_MS}
    return ChatMessage(**{**usual, "text": "hello", **facts})


def test_a_stream_is_a_message_with_the_streams_id():
    assert read_stream("hello") == message()


def test_an_older_senders_packet_is_a_message():
    packet = {"id": "a", "timestamp": SENT_MS, "message": "hello"}
    assert read(chat_format.PACKET_TOPIC, packet) == message()


@pytest.mark.parametrize("flag", ["ignoreLegacy", "ignore"])
def test_a_flagged_packet_is_dropped_where_the_stream_comes_too(flag):
    packet = {"id": "a", "timestamp": SENT_MS, "message": "hello", flag: True}
    assert read(chat_format.PACKET_TOPIC, packet) is None
    assert read(chat_format.PACKET_TOPIC, packet, takes_streams=False) == message()


@pytest.mark.parametrize("flag", [False, None, "true", 1])
def test_only_true_is_a_flag(flag):
    packet = {"id": "a", "timestamp": SENT_MS, "message": "hello", "ignoreLegacy": flag}
    assert read(chat_format.PACKET_TOPIC, packet) == message()


def test_an_edit_is_marked():
    packet = {"id": "a", "timestamp": SENT_MS, "message": "hello"}
    assert read(chat_format.EDIT_TOPIC, packet) == message(is_edit=True)


@pytest.mark.parametrize("topic", ["", chat_format.PLAIN_TOPIC])
@pytest.mark.parametrize("key", ["sender", "senderId"])
def test_the_plain_schema_is_a_message(topic, key):
    packet = {"id": "a", key: "ann", "senderName": "x", "text": "hello", "ts": SENT_MS}
    assert read(topic, packet) == message()


def test_a_number_is_an_id_in_the_plain_schema():
    assert read("", {"id": 7, "text": "hello", "ts": SENT_MS}) == message(id="7")


SENT_BY_BOB = {
    "id": "a",
    "sender": "bob",
    "senderName": "Bob",
    "text": "x",
    "ts": SENT_MS,
}


def test_the_sender_named_in_a_packet_is_ignored():
    assert read("", SENT_BY_BOB) == message(text="x")


UNKNOWN = ChatSender("", "")


def test_the_sender_whom_an_unknown_one_names_is_ignored():
    found = read("", SENT_BY_BOB, UNKNOWN)
    assert isinstance(found, ChatMessage)
    assert (found.sender_id, found.sender_name) == ("", "unknown")


@pytest.mark.parametrize("topic", TOPICS)
def test_an_unknown_sender_who_claims_nothing_is_called_unknown(topic):
    packet = {"text": "hello", "ts": SENT_MS, "message": "hello", "timestamp": SENT_MS}
    found = read(topic, packet, UNKNOWN)
    assert isinstance(found, ChatMessage)
    assert (found.sender_id, found.sender_name) == ("", "unknown")


@pytest.mark.parametrize("topic", TOPICS)
def test_an_unknown_sender_cannot_replace_another_line(topic):
    packet = {"id": "a", "ts": SENT_MS, "timestamp": SENT_MS}
    first = read(topic, packet | {"text": "at 8", "message": "at 8"}, UNKNOWN)
    second = read(topic, packet | {"text": "at 10", "message": "at 10"}, UNKNOWN)
    assert isinstance(first, ChatMessage)
    assert isinstance(second, ChatMessage)
    assert len({"a", first.id, second.id}) == 3


@pytest.mark.parametrize(
    ("topic", "packet"), [("", {"text": "yes"}), (TOPICS[0], {"message": "yes"})]
)
def test_a_message_without_an_id_and_a_time_may_be_repeated(topic, packet):
    first, again = read(topic, packet), read(topic, packet)
    assert isinstance(first, ChatMessage)
    assert isinstance(again, ChatMessage)
    assert first.id != again.id


def test_without_an_id_the_same_message_has_the_same_id():
    packet = {"timestamp": SENT_MS, "message": "hello"}
    first, again = (
        read(chat_format.PACKET_TOPIC, packet),
        read(chat_format.PACKET_TOPIC, packet),
    )
    other = read(chat_format.PACKET_TOPIC, packet | {"timestamp": SENT_MS + 1})
    assert isinstance(first, ChatMessage)
    assert isinstance(other, ChatMessage)
    assert first == again
    assert first.id != other.id


def test_a_message_without_a_time_gets_the_current_time():
    found = read(chat_format.PACKET_TOPIC, {"id": "a", "message": "hello"})
    assert found == message(ts_ms=NOW_MS)


@pytest.mark.parametrize(
    "sent_ms", [-1, 0, NOW_MS // 1000, NOW_MS + 2 * DAY_MS, 2**60, 1e300]
)
def test_an_impossible_time_is_replaced_by_that_of_the_arrival(sent_ms):
    packet = {"id": "a", "timestamp": sent_ms, "message": "hello"}
    assert read(chat_format.PACKET_TOPIC, packet) == message(ts_ms=NOW_MS)


@pytest.mark.parametrize("sent_ms", [NOW_MS - 900 * DAY_MS, NOW_MS + DAY_MS])
def test_a_time_that_is_only_wrong_is_kept(sent_ms):
    packet = {"id": "a", "timestamp": sent_ms, "message": "hello"}
    assert read(chat_format.PACKET_TOPIC, packet) == message(ts_ms=sent_ms)


@pytest.mark.parametrize(
    ("text", "files", "shown"),
    [
        ("", 1, "sent a file"),
        ("", 3, "sent 3 files"),
        ("look", 1, "look\nsent a file"),
    ],
)
def test_files_are_mentioned(text, files, shown):
    assert read_stream(text, files=files) == message(text=shown)


def test_a_caption_on_a_node_is_a_message():
    caption = {"transcription": "hello", "timestamp": SENT_MS, "language": "en"}
    found = read(chat_format.CAPTION_TOPIC, caption, takes_streams=False)
    assert isinstance(found, ChatMessage)
    assert (found.text, found.ts_ms) == ("hello", SENT_MS)


def test_control_codes_are_left_out():
    text = " \x00he\x1b[31ml\u202elo\r\nyou\x07 "
    assert read_stream(text) == message(text="he[31mllo\nyou")


def test_joined_emoji_stay_joined():
    family = "\U0001f469\u200d\U0001f467"
    assert read_stream(family) == message(text=family)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe\x00",
        b"null",
        b"[]",
        b'"hello"',
        b'{"message": 5}',
        b'{"message": "\\ud800"}',
        b'{"message": "a", "timestamp": NaN}',
        b'{"message": "a", "timestamp": 1e400}',
        b'{"message": "a", "timestamp": "5"}',
        b'{"message": "a", "timestamp": ' + b"9" * 5000 + b"}",
        b'{"message": "a", "id": {}}',
        b'{"message": "a", "id": "' + b"x" * 129 + b'"}',
        b'{"message": "a", "other": ' + b"[" * 60_000 + b"}",
        b'{"message": "' + b"a" * 4001 + b'"}',
        b'{"message": "' + b" " * 66_000 + b'"}',
        b'{"message": " \\n\\u0000 "}',
        b'{"message": "a' + rb"\u202e" * 4000 + b'"}',
    ],
)
def test_invalid_chat_is_dropped(payload):
    assert isinstance(read(chat_format.PACKET_TOPIC, payload), Dropped)


def test_another_applications_data_is_dropped_quietly():
    assert read("", b"\x01\x02") is None


@given(st.sampled_from(TOPICS), payloads, st.text(max_size=9), st.text(max_size=9))
def test_any_packet_is_within_limits_or_dropped(topic, payload, identity, name):
    found = read(topic, payload, ChatSender(identity, name))
    if not isinstance(found, ChatMessage):
        return
    assert 0 < len(found.text) <= chat_format.TEXT_CHARACTERS
    assert 0 < len(found.id) <= 128
    assert 0 <= found.ts_ms <= 2**53
    assert found.sender_id == identity
    assert found.sender_name
    (found.text + found.sender_name).encode()
    assert "\n" not in found.sender_name


lines = st.text(
    st.characters(exclude_categories=["C"]), min_size=1, max_size=200
).filter(str.strip)


@given(lines, st.booleans())
def test_our_packets_can_be_read_back(text, has_stream):
    payload = chat_format.packet("a", SENT_MS, text, has_stream=has_stream)
    assert read(chat_format.PACKET_TOPIC, payload, takes_streams=False) == message(
        text=text.strip()
    )
    assert (read(chat_format.PACKET_TOPIC, payload) is None) == has_stream


@given(lines)
def test_our_plain_packets_can_be_read_back(text):
    payload = chat_format.plain_packet("a", SENT_MS, text, ANN)
    assert read(chat_format.PLAIN_TOPIC, payload) == message(text=text.strip())


@given(st.text(st.characters(), max_size=20))
def test_any_text_can_be_sent(text):
    chat_format.packet("a", SENT_MS, chat_format.sendable(text), has_stream=True)


@given(st.text(max_size=100), st.text(max_size=100))
def test_a_name_is_one_short_line(name, identity):
    shown = participants.display_name(name, identity)
    assert 0 < len(shown) <= 64
    assert len(shown.splitlines()) == 1


@pytest.mark.parametrize(
    "name",
    ["This box", "THIS  BOX", "\uff34his box", "this\u200d box", "me", "Kitchen"],
)
def test_somebody_who_is_named_like_the_box_is_marked_as_a_guest(name):
    assert participants.display_name(name, "ann", "kitchen").endswith(" (guest)")


@pytest.mark.parametrize("name", ["This boxer", "Mel", "Kitchens"])
def test_somebody_with_a_similar_name_is_not_marked(name):
    assert participants.display_name(name, "ann", "kitchen") == name


def test_a_guest_without_a_name_and_a_box_without_one_are_not_confused():
    assert participants.display_name("", "ann", "") == "ann"


def test_nobody_may_have_the_identity_of_unknown_senders():
    found = read("chat", {"text": "hello"}, ChatSender(UNKNOWN_ID, "Boss"))
    assert found == Dropped("the identity of unknown senders")
