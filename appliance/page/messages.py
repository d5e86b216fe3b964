"""Messages of the API: the view for clients, their commands, and refusals.

The adapter imports this module at start-up, when joining the room must not wait for
Starlette.
"""

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import fields, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from appliance.config import Config, Percent
from appliance.core.chat import ChatLine
from appliance.core.events import Caption
from appliance.core.state import State
from appliance.core.view import View, view
from appliance.display import fonts
from appliance.display.layout import Size
from appliance.display.rendering import lines, picture
from appliance.errors import ApplianceError

if TYPE_CHECKING:
    from PIL.Image import Image

Name = Annotated[str, Meta(min_length=1, max_length=200)]
LineId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Exceptions of msgspec for bytes that are not the expected JSON."""
HIDDEN_PIN = "******"
Drawing = tuple[tuple[str, ...], "Image | None"]
"""Lines and picture of the OLED; the latter is None without Pillow."""
STARTING = replace(
    view(State(config=Config()), 0.0),
    talk_text="starting",
    chat_refusal="The box is starting.",
)
"""View before the app has published the first one."""
# Fields that must not be logged (`repr=False`) must not be sent either.
_SENT = tuple(item.name for item in fields(View) if item.repr and item.name != "chat")
_JSON_NAMES: Final = {
    "talkers": "speakers",
    "is_page_press_ignored": "is_page_spent",
}
"""Fields of the view that have another name in the API."""


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
        """`key` is the name of the field at fault, if there is one."""
        super().__init__(status, sentence)
        self.status = status
        self.sentence = sentence
        self.key = key
        self.headers = headers

    def __str__(self) -> str:
        return self.sentence

    @property
    def body(self) -> dict[str, str]:
        """The body of the response."""
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


class LatestView:
    """The newest view: wakes the clients that wait for it and caches its JSON for all.

    Thread: the loop's.
    """

    def __init__(self, screen_px: Size) -> None:
        self.view = STARTING
        self.build = ""
        """Version of the static files; an open page reloads when it changes."""
        self._screen_px = screen_px
        self._changed = asyncio.Event()
        self._json: tuple[View, bytes] | None = None
        self._drawn: tuple[View, Drawing] | None = None
        self._is_prepared = False

    def show(self, view: View) -> None:
        """Publish a new view."""
        if view == self.view:
            return
        self.view = view
        # A new event for each view, so that no client misses one between two waits.
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def wait_newer(self, view: View, wait_s: float) -> None:
        """Wait for a view newer than this one, at most this long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                if self.view is view:
                    await self._changed.wait()

    async def prepare(self) -> None:
        """Import the drawing libraries in a thread: it takes 0.5 s on a Pi."""
        if self._is_prepared:
            return
        with contextlib.suppress(ImportError):
            await asyncio.to_thread(fonts.load)
        self._is_prepared = True

    def json(self) -> bytes:
        """Return the newest view as JSON for paired clients."""
        if self._json is None or self._json[0] is not self.view:
            self._json = (self.view, msgspec.json.encode(self._fields(self.view)))
        return self._json[1]

    def drawing(self) -> Drawing:
        """Return the content of the OLED, cached until the view changes.

        The PIN is hidden: only people at the box are allowed to read it.
        """
        quiet = replace(self.view, microphone_dbfs=0, speaker_dbfs=0, is_voice=False)
        view, size = replace(quiet, pin=HIDDEN_PIN), self._screen_px
        if self._drawn is None or self._drawn[0] != view:
            drawing: Drawing = (), None
            with contextlib.suppress(ImportError):
                drawing = lines(view, size), picture(view, size)
            self._drawn = view, drawing
        return self._drawn[1]

    def _fields(self, view: View) -> dict[str, object]:
        """Return the JSON object of the view; `API.md` describes its fields."""
        screen, shot = self.drawing()
        width, height = self._screen_px
        bits = shot.tobytes() if shot else bytes(width * height // 8)
        agent = view.agent
        return {
            **{_JSON_NAMES.get(name, name): getattr(view, name) for name in _SENT},
            "build": self.build,
            "agent": agent
            and {"id": agent.id, "name": agent.name, "state": agent.state},
            "captions": [_caption(caption) for caption in view.captions],
            "chat": [_line(line) for line in view.chat],
            "screen": screen,
            "picture": {
                "width": width,
                "height": height,
                "bits": b64encode(bits).decode(),
            },
        }


def _caption(caption: Caption) -> dict[str, object]:
    return {
        "segment": caption.segment,
        "speakerId": caption.talker_id,
        "speaker": caption.talker,
        "text": caption.text,
        "final": caption.is_final,
    }


def _line(line: ChatLine) -> dict[str, object]:
    return {
        "id": line.id,
        "senderId": line.sender_id,
        **({"senderName": line.sender_name} if line.sender_name else {}),
        "text": line.text,
        "ts": line.ts_ms,
        "state": line.state,
        **({"reason": line.reason} if line.reason else {}),
    }
