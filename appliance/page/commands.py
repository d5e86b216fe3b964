"""What may be asked of the box: the bodies of POST and the WebSocket's commands."""

from http import HTTPStatus
from typing import Annotated, ClassVar, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from appliance.config import Percent
from appliance.page.refused import RequestRefused

Name = Annotated[str, Meta(min_length=1, max_length=200)]


class ControlRequest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do"
):
    """One wish; `do` names it on the WebSocket and may be left out of a POST."""

    EXAMPLE: ClassVar[str] = "{}"


class TalkRequest(ControlRequest, frozen=True, tag="talk"):
    """The talk button went down or up."""

    EXAMPLE: ClassVar[str] = '{"on": true}'
    on: bool


class MuteRequest(ControlRequest, frozen=True, tag="mute"):
    """The mute switch."""

    EXAMPLE: ClassVar[str] = '{"on": true}'
    on: bool


class LeaveRequest(ControlRequest, frozen=True, tag="leave"):
    """Leave the room and stay out."""


class JoinRequest(ControlRequest, frozen=True, tag="join"):
    """Join again, or another room."""

    EXAMPLE: ClassVar[str] = '{"preset": "garage"}'
    preset: Name | UnsetType | None = UNSET
    """null: the room of the section `room`; left out: the one that is chosen."""
    display_name: Name | None = None


class VolumeRequest(ControlRequest, frozen=True, tag="volume"):
    """The speaker's volume."""

    EXAMPLE: ClassVar[str] = '{"percent": 80}'
    percent: Percent


class GainRequest(ControlRequest, frozen=True, tag="microphone_gain"):
    """The microphone's gain."""

    EXAMPLE: ClassVar[str] = '{"db": 6}'
    db: Annotated[float, Meta(ge=-30, le=30)]


class ChatRequest(ControlRequest, frozen=True, tag="chat"):
    """A line for the room."""

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
AskT = TypeVar("AskT", bound=AnyRequest)

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not the JSON that was asked for."""

_COMMAND: msgspec.json.Decoder[AnyRequest] = msgspec.json.Decoder(AnyRequest)


def from_body(body: bytes, kind: type[AskT]) -> AskT:
    """Return what a POST asks; an empty body is `{}`.

    Raises:
        Refused: 400, with what to write.
    """
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except UNREADABLE as problem:
        raise _malformed(problem, kind.EXAMPLE) from problem


def from_command(text: str | bytes) -> AnyRequest:
    """Return what a WebSocket message asks.

    Raises:
        Refused: 400, with what to write.
    """
    try:
        return _COMMAND.decode(text)
    except UNREADABLE as problem:
        raise _malformed(problem, '{"do": "talk", "on": true}') from problem


def _malformed(problem: Exception, example: str) -> RequestRefused:
    """Say what was wrong and what to write; msgspec names the key after `$.`."""
    found, _, path = str(problem).partition(" - at `$")
    key = path.strip("`.[]") or None
    sentence = f"The body is not what was expected: {found}. Write {example}"
    return RequestRefused(HTTPStatus.BAD_REQUEST, sentence, key=key)
