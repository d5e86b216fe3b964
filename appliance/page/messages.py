"""Messages of the API: commands from clients, and refusals with a reason.

The adapter imports this module at start-up, when joining the room must not wait for
Starlette.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, ClassVar, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from appliance.config import Percent
from appliance.errors import ApplianceError

Name = Annotated[str, Meta(min_length=1, max_length=200)]
LineId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Exceptions of msgspec for bytes that are not the expected JSON."""


class RequestRefused(ApplianceError):
    """A request that is answered with an error status and a reason."""

    def __init__(
        self,
        status: HTTPStatus,
        sentence: str,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Store status and sentence, and the name of the field at fault, if any."""
        super().__init__(status, sentence)
        self.status = status
        self.sentence = sentence
        self.key = key
        self.headers = headers

    def __str__(self) -> str:
        return self.sentence

    @property
    def body(self) -> dict[str, str]:
        """The response body: `{"error": sentence}`, with `key` if there is one."""
        key = {} if self.key is None else {"key": self.key}
        return {"error": self.sentence, **key}


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
    id: LineId | UnsetType = UNSET
    """The same when a line is sent again because its answer was lost; absent: new."""


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


_COMMAND: msgspec.json.Decoder[AnyRequest] = msgspec.json.Decoder(AnyRequest)


def from_body(body: bytes, kind: type[RequestT]) -> RequestT:
    """Return the command in the body of a POST; an empty body is read as `{}`.

    Raises:
        RequestRefused: 400, with an example.
    """
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except DECODE_ERRORS as exc:
        raise _malformed(exc, kind.EXAMPLE) from exc


def from_command(text: str | bytes) -> AnyRequest:
    """Return the command in a WebSocket message.

    Raises:
        RequestRefused: 400, with an example.
    """
    try:
        return _COMMAND.decode(text)
    except DECODE_ERRORS as exc:
        raise _malformed(exc, '{"do": "talk", "on": true}') from exc


def _malformed(exc: Exception, example: str) -> RequestRefused:
    """Return the refusal of a malformed body; msgspec names the key after `$.`."""
    found, _, path = str(exc).partition(" - at `$")
    key = path.strip("`.[]") or None
    sentence = f"Invalid body: {found}. Write {example}"
    return RequestRefused(HTTPStatus.BAD_REQUEST, sentence, key=key)
