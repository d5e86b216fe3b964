"""Wire formats of chat: parsers and encoders that make no use of the SDK.

Source: LiveKit's components-core 0.12 (streams on `lk.chat`, packets on
`lk-chat-topic`, edits on `lk-chat-update-topic`) and 0.6 (packets without an id), and
the plain schema `{id, sender|senderId, senderName?, text, ts}`.
"""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final

import msgspec

from appliance.core.chat import UNKNOWN_ID
from appliance.core.events import ChatMessage
from appliance.room.participants import ChatSender, display_name, is_text

STREAM_TOPIC: Final = "lk.chat"
PACKET_TOPIC: Final = "lk-chat-topic"
EDIT_TOPIC: Final = "lk-chat-update-topic"
PLAIN_TOPIC: Final = "chat"
CAPTION_TOPIC: Final = "lk-transcription-topic"
"""Captions in rooms of dTelecom, each a complete sentence. Source: its components-core
0.6: `{timestamp, transcription, language}`."""

TEXT_CHARACTERS: Final = 4000
"""Longest text taken; our choice: two printed pages, far more than the OLED shows."""
PACKET_BYTES: Final = 65_536
"""Longest packet or stream taken: such a text in JSON's longest spelling fits."""

ID_CHARACTERS: Final = 128
_FIRST_MS: Final = 1_577_836_800_000
"""2020: an earlier time is that of a wrong clock, or counts seconds."""
_AHEAD_MS: Final = 86_400_000
"""A sender's clock that is more than a day ahead of ours is wrong."""


@dataclass(frozen=True, slots=True)
class ReceivedLine:
    """Chat line as its sender wrote it, in any wire format; nothing is checked."""

    id: str
    text: str
    ts_ms: float | None
    is_edit: bool = False
    files: int = 0
    """Number of files that were sent with it; they are only mentioned."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Message that was rejected."""

    reason: str
    """Safe to log: contains nothing of the content."""


def read_line(
    line: ReceivedLine, sender: ChatSender, now_ms: int
) -> ChatMessage | Dropped:
    """Return the message, if every part of it is within its limits.

    `now_ms` replaces a missing or impossible time, in ms since the epoch.
    """
    if len(line.text) > TEXT_CHARACTERS:
        return Dropped("too long")
    text = "".join(filter(is_text, line.text)).strip()
    if line.files:
        note = "sent a file" if line.files == 1 else f"sent {line.files} files"
        text = f"{text}\n{note}".strip()
    if not text:
        return Dropped("no text")
    identity = sender.identity
    if not 0 < len(line.id) <= ID_CHARACTERS or len(identity) > ID_CHARACTERS:
        return Dropped("impossible id")
    if identity == UNKNOWN_ID:
        return Dropped("the identity of unknown senders")
    return ChatMessage(
        id=line.id,
        sender_id=identity,
        sender_name=display_name(sender.name, identity) if identity else "unknown",
        text=text,
        ts_ms=time_ms(line.ts_ms, now_ms),
        is_edit=line.is_edit,
    )


def read_packet(
    topic: str, payload: bytes, sender: ChatSender, *, now_ms: int, takes_streams: bool
) -> ChatMessage | Dropped | None:
    """Return the message of a data packet; None: it is not addressed to us.

    `topic` is one of `TOPICS`. If `takes_streams`, packets that are flagged for older
    receivers reach us as a stream, too.
    """
    if len(payload) > PACKET_BYTES:
        return Dropped("too long") if topic else None
    try:
        found = msgspec.json.decode(payload, type=_SHAPES[topic])
    except (ValueError, RecursionError):
        # Without a topic it is probably another application's.
        return Dropped("not chat as JSON") if topic else None
    if takes_streams and isinstance(found, _Packet) and found.is_flagged:
        return None
    line_id = None if found.id is None else str(found.id)
    # The id that an unknown sender gives may be that of another's line.
    if not line_id or not sender.identity:
        line_id = _derived_id(found.text, found.ts_ms)
    line = ReceivedLine(line_id, found.text, found.ts_ms, topic == EDIT_TOPIC)
    return read_line(line, sender, now_ms)


def _derived_id(text: str, ts_ms: float | None) -> str:
    """Return an id; repeats of a line with a time get the same one."""
    if ts_ms is None:
        return secrets.token_hex(16)
    facts = f"{ts_ms}\n{text}".encode(errors="replace")
    return hashlib.sha256(facts).hexdigest()[:32]


def packet(line_id: str, ts_ms: int, text: str, *, has_stream: bool) -> bytes:
    """Return a packet for `lk-chat-topic`; `ts_ms` is in ms since the epoch.

    `has_stream`: other receivers get the message by a stream with this id.
    """
    shape = {"id": line_id, "timestamp": ts_ms, "message": text}
    flag = {"ignoreLegacy": True} if has_stream else {}
    return msgspec.json.encode({**shape, **flag, "type": "text"})


def plain_packet(line_id: str, ts_ms: int, text: str, sender: ChatSender) -> bytes:
    """Return a packet in the plain schema, which every JSON reader understands."""
    shape = {
        "id": line_id,
        # Both spellings of the schema, so that every receiver finds its own.
        "sender": sender.identity,
        "senderId": sender.identity,
        "senderName": sender.name,
        "text": text,
        "ts": ts_ms,
    }
    return msgspec.json.encode(shape)


def sendable(text: str) -> str:
    """Return the text with lone surrogates, which JSON allows, replaced by "?"."""
    return text.encode("utf-8", "replace").decode()


class _Packet(
    msgspec.Struct,
    rename={"text": "message", "ts_ms": "timestamp", "ignore_legacy": "ignoreLegacy"},
):
    text: str
    ts_ms: float | None = None
    id: str | None = None
    ignore_legacy: object = None
    ignore: object = None
    """Name of `ignore_legacy` in older senders."""

    @property
    def is_flagged(self) -> bool:
        """Whether it is for receivers only that read no streams."""
        return self.ignore_legacy is True or self.ignore is True


class _Plain(msgspec.Struct, rename={"ts_ms": "ts"}):
    text: str
    ts_ms: float | None = None
    id: str | int | None = None


class _Caption(msgspec.Struct, rename={"text": "transcription", "ts_ms": "timestamp"}):
    text: str
    ts_ms: float | None = None
    id: None = None


_SHAPES: Final[dict[str, type[_Packet | _Plain | _Caption]]] = {
    PACKET_TOPIC: _Packet,
    EDIT_TOPIC: _Packet,
    PLAIN_TOPIC: _Plain,
    "": _Plain,
    CAPTION_TOPIC: _Caption,
}
TOPICS: Final = frozenset(_SHAPES)
"""Topics of packets that may be chat; plain ones often have none."""


def time_ms(ts_ms: float | None, now_ms: int) -> int:
    """Return the sender's time; that of the arrival if it is missing or impossible."""
    if ts_ms is None or not _FIRST_MS <= ts_ms <= now_ms + _AHEAD_MS:
        return now_ms
    return int(ts_ms)
