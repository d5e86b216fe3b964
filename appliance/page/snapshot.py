"""Newest view for the clients of the page, with its JSON and the OLED's picture."""

import asyncio
import contextlib
from base64 import b64encode
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final

import msgspec

from appliance.config import Config
from appliance.core.chat import ChatLine
from appliance.core.events import Caption
from appliance.core.state import State
from appliance.core.view import View, view
from appliance.display import fonts
from appliance.display.line import Size
from appliance.display.rendering import lines, picture

if TYPE_CHECKING:
    from PIL.Image import Image

HIDDEN_PIN = "******"

STARTING = replace(
    view(State(config=Config()), 0.0),
    talk_text="starting",
    chat_refusal="The box is starting.",
)
"""View before the app has published the first one."""
# Fields that must not be logged (`repr=False`) must not be sent either.
_SENT_FIELDS = tuple(
    item.name for item in fields(View) if item.repr and item.name != "chat"
)
_JSON_NAMES: Final = {
    "talkers": "speakers",
    "is_page_press_ignored": "is_page_spent",
}
"""Fields of the view that have another name in the API."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """Content of the OLED, as text and as a picture."""

    size: Size
    lines: tuple[str, ...] = ()
    picture: "Image | None" = None
    """None: Pillow is not installed."""


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
            self._json = (self.view, _as_json(self.view, self.drawing(), self.build))
        return self._json[1]

    def drawing(self) -> Drawing:
        """Return the content of the OLED, cached until the view changes.

        The PIN is hidden: only people at the box are allowed to read it.
        """
        without_levels = replace(
            self.view, microphone_dbfs=0, speaker_dbfs=0, is_voice=False
        )
        view = replace(without_levels, pin=HIDDEN_PIN)
        if self._drawn is None or self._drawn[0] != view:
            self._drawn = (view, _drawing(view, self._screen_px))
        return self._drawn[1]


def _drawing(view: View, size: Size) -> Drawing:
    try:
        return Drawing(size, lines(view, size), picture(view, size))
    except ImportError:
        return Drawing(size)


def _as_json(view: View, drawing: Drawing, build: str) -> bytes:
    """Return the view as JSON, with the field names in `API.md`."""
    shown = {_JSON_NAMES.get(name, name): getattr(view, name) for name in _SENT_FIELDS}
    width, height = drawing.size
    shot = drawing.picture
    bits = bytes(width * height // 8) if shot is None else shot.tobytes()
    agent = view.agent
    return msgspec.json.encode(
        {
            **shown,
            "build": build,
            "agent": agent
            and {"id": agent.id, "name": agent.name, "state": agent.state},
            "captions": [_caption(caption) for caption in view.captions],
            "chat": [_line(line) for line in view.chat],
            "screen": drawing.lines,
            "picture": {
                "width": width,
                "height": height,
                "bits": b64encode(bits).decode(),
            },
        }
    )


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
