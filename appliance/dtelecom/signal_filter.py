"""Removal of the fields by which dTelecom's messages differ from LiveKit's.

Two fields that dTelecom added have numbers that LiveKit gave to others later:
`Room.key` (text) is LiveKit's `Room.num_publishers` (a number), and LiveKit's SDK
rejects the whole message for it; `ParticipantInfo` has a flag where LiveKit has the
participant's kind. Everything else is passed on, malformed messages included: protobuf
keeps fields that it does not know.

Source: LiveKit's `livekit_rtc.proto` and `livekit_models.proto`.
"""

from typing import Any, Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

MAX_PARTS: Final = 3000
"""Rooms, participants and lists of them in one message; our choice: more than the
largest room has. Half a million would block the loop for seconds on a Pi."""
_FIELDS: Final[tuple[tuple[str, str, int, Any], ...]] = (
    ("Room", "key", 11, FieldDescriptorProto.TYPE_BYTES),
    ("Participant", "flag", 14, FieldDescriptorProto.TYPE_UINT64),
    ("Join", "rooms", 1, "Room"),
    ("Join", "own", 2, "Participant"),
    ("Join", "others", 3, "Participant"),
    ("Update", "participants", 1, "Participant"),
    ("RoomUpdate", "rooms", 1, "Room"),
    ("Response", "joins", 1, "Join"),
    ("Response", "updates", 5, "Update"),
    ("Response", "room_updates", 11, "RoomUpdate"),
)
"""Message, name, number and type of each field that concerns us."""


def _response_class() -> type[Message]:
    """Return the class of a `SignalResponse` with the fields that concern us."""
    file = FileDescriptorProto(name="signal_filter.proto")
    shapes: dict[str, DescriptorProto] = {}
    for message, name, number, kind in _FIELDS:
        if message not in shapes:
            shapes[message] = file.message_type.add(name=message)
        field = shapes[message].field.add(name=name, number=number)
        if isinstance(kind, str):
            field.label = FieldDescriptorProto.LABEL_REPEATED
            field.type_name = f".{kind}"
        else:
            field.label = FieldDescriptorProto.LABEL_OPTIONAL
            field.type = kind
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName("Response"))


_RESPONSE: Final[Any] = _response_class()


class SignalFilter:
    """Filter for the messages of one server, which it knows after the first join."""

    def __init__(self) -> None:
        """Start with an unknown server."""
        self._is_livekit = False

    def filtered(self, message: bytes) -> bytes:
        """Return a `SignalResponse` that LiveKit's SDK can parse; never a longer one.

        The message itself, which is untrusted, if it has nothing to remove, is
        malformed or has more than `MAX_PARTS`.
        """
        try:
            response = _RESPONSE.FromString(message)
        except DecodeError:
            return message
        # Each becomes an object of Python's when it is looked at.
        lists = [response.joins, response.updates, response.room_updates]
        if sum(map(len, lists)) <= MAX_PARTS:
            lists += [x for j in response.joins for x in (j.rooms, j.own, j.others)]
            lists += [update.participants for update in response.updates]
            lists += [update.rooms for update in response.room_updates]
        if sum(map(len, lists)) > MAX_PARTS:
            return message
        joined = [room for join in response.joins for room in join.rooms]
        updated = [room for update in response.room_updates for room in update.rooms]
        keyed = [room for room in joined + updated if room.HasField("key")]
        # The absence of the key tells a server of LiveKit's own: its number is left
        # out while it is 0. A participant's kind has to pass there, because that is how
        # agents are known.
        if any(room.ByteSize() for room in joined) and not keyed:
            self._is_livekit = True
        people = [
            *(x for join in response.joins for x in (*join.own, *join.others)),
            *(x for update in response.updates for x in update.participants),
        ]
        flagged = [x for x in people if x.HasField("flag") and not self._is_livekit]
        for room in keyed:
            room.ClearField("key")
        for person in flagged:
            person.ClearField("flag")
        return bytes(response.SerializeToString()) if keyed or flagged else message
