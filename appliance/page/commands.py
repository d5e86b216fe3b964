"""Commands of the API: bodies of POST requests and messages of the WebSocket."""

from http import HTTPStatus
from typing import Annotated, ClassVar, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from appliance.config import Percent
from appliance.page.answer import RequestRefused

Name = Annotated[str, Meta(min_length=1, max_length=200)]


class ControlRequest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do"
):
    """Command; `do` is its name on the WebSocket and optional in a POST."""

    EXAMPLE: ClassVar[str] = "{}"


class TalkRequest(ControlRequest, frozen=True, tag="talk"):
    """Press or release of the talk button."""

    EXAMPLE: ClassVar[str] = '{"on": true}'
    on: bool


class MuteRequest(ControlRequest, frozen=True, tag="mute"):
    """Mute or unmute."""

    EXAMPLE: ClassVar[str] = '{"on": true}'
    on: bool


class LeaveRequest(ControlRequest, frozen=True, tag="leave"):
    """Leave the room without rejoining."""


class JoinRequest(ControlRequest, frozen=True, tag="join"):
    """Join the room again, or another one."""

    EXAMPLE: ClassVar[str] = '{"preset": "garage"}'
    preset: Name | UnsetType | None = UNSET
    """null: the room of the section `room`; absent: the current preset."""
    display_name: Name | None = None


class VolumeRequest(ControlRequest, frozen=True, tag="volume"):
    """Volume of the speaker."""

    EXAMPLE: ClassVar[str] = '{"percent": 80}'
    percent: Percent


class GainRequest(ControlRequest, frozen=True, tag="microphone_gain"):
    """Gain of the microphone."""

    EXAMPLE: ClassVar[str] = '{"db": 6}'
    db: Annotated[float, Meta(ge=-30, le=30)]


class ChatRequest(ControlRequest, frozen=True, tag="chat"):
    """Chat line for the room."""

    EXAMPLE: ClassVar[str] = '{"text": "Hello"}'
    text: str


AnyRequest = (
    TalkRequest
    | MuteRequest
    | LeaveRequest
    | JoinRequest
    | VolumeRequest
    | GainRequest
    | ChatRequest
)
RequestT = TypeVar("RequestT", bound=AnyRequest)

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Exceptions of msgspec for bytes that are not the expected JSON."""

_COMMAND: msgspec.json.Decoder[AnyRequest] = msgspec.json.Decoder(AnyRequest)


def from_body(body: bytes, kind: type[RequestT]) -> RequestT:
    """Return the command in the body of a POST; an empty body is read as `{}`.

    Raises:
        RequestRefused: 400, with an example.
    """
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except UNREADABLE as exc:
        raise _malformed(exc, kind.EXAMPLE) from exc


def from_command(text: str | bytes) -> AnyRequest:
    """Return the command in a WebSocket message.

    Raises:
        RequestRefused: 400, with an example.
    """
    try:
        return _COMMAND.decode(text)
    except UNREADABLE as exc:
        raise _malformed(exc, '{"do": "talk", "on": true}') from exc


def _malformed(exc: Exception, example: str) -> RequestRefused:
    """Return the refusal of a malformed body; msgspec names the key after `$.`."""
    found, _, path = str(exc).partition(" - at `$")
    key = path.strip("`.[]") or None
    sentence = f"Invalid body: {found}. Write {example}"
    return RequestRefused(HTTPStatus.BAD_REQUEST, sentence, key=key)
