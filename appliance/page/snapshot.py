"""Holds the newest view for everybody who looks at the page."""

import asyncio
from base64 import b64encode
from dataclasses import dataclass, fields, replace

import msgspec

from appliance.core.chat import ChatLine
from appliance.core.state import ScreenPage
from appliance.core.view import Connection, Lamps, TalkState, View
from appliance.display.bitmap import Picture, Size
from appliance.display.render import lines, picture

SILENT_DBFS = -96
HIDDEN_PIN = "******"


@dataclass(frozen=True, slots=True)
class Drawing:
    """What the OLED shows, as text and as a picture."""

    lines: tuple[str, ...]
    picture: Picture


STARTING = View(
    name="",
    connection=Connection.CONNECTING,
    banner="starting",
    room="",
    preset=None,
    presets=(),
    people=(),
    speakers=(),
    talk=TalkState.UNAVAILABLE,
    talk_text="starting",
    talk_left_s=None,
    is_muted=True,
    is_muted_at_box=False,
    microphone_dbfs=SILENT_DBFS,
    speaker_dbfs=SILENT_DBFS,
    is_voice=False,
    volume_percent=0,
    microphone_gain_db=0.0,
    chat=(),
    chat_refusal="The box is starting.",
    lamps=Lamps(),
    faults=(),
    has_microphone=True,
    has_speaker=True,
    rtt_ms=None,
    screen_page=ScreenPage.TALK,
    address="",
    page_url="",
    pin="",
)
"""What the page shows before the first view comes."""

# A field that must not be printed must not be sent either.
_SENT = tuple(item.name for item in fields(View) if item.repr and item.name != "chat")


class Board:
    """Wakes whoever waits for a newer view, and writes it as JSON once for all.

    Thread: the loop's.
    """

    def __init__(self, screen_px: Size) -> None:
        """Show that the box is starting."""
        self.view = STARTING
        self.number = 0
        """Counts the views, so that a reader knows which one it has seen."""
        self.build = ""
        """Names the page's own files; an open page loads itself anew for another."""
        self._screen_px = screen_px
        self._changed = asyncio.Event()
        self._json: tuple[int, bytes] | None = None
        self._drawn: tuple[View, Drawing] | None = None

    def show(self, view: View) -> None:
        """Take the newest view."""
        if view == self.view:
            return
        self.view = view
        self.number += 1
        # A fresh event for each view: nobody can miss one between waking and waiting.
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def newer(self, number: int, wait_s: float) -> None:
        """Return when there is a view after this one, or when the time is over."""
        if self.number != number:
            return
        try:
            async with asyncio.timeout(wait_s):
                await self._changed.wait()
        except TimeoutError:
            return

    def json(self) -> bytes:
        """Return the newest view as everybody may see it who is paired."""
        if self._json is None or self._json[0] != self.number:
            self._json = (self.number, as_json(self.view, self.drawing(), self.build))
        return self._json[1]

    def drawing(self) -> Drawing:
        """Return what the OLED shows now; drawn anew only when it may have changed.

        All but the PIN: only who stands at the box may read that.
        """
        quiet = replace(self.view, microphone_dbfs=0, speaker_dbfs=0, is_voice=False)
        view = replace(quiet, pin=HIDDEN_PIN)
        if self._drawn is None or self._drawn[0] != view:
            text = lines(view, self._screen_px)
            bits = picture(view, self._screen_px)
            self._drawn = (view, Drawing(text, bits))
        return self._drawn[1]


def as_json(view: View, drawing: Drawing, build: str) -> bytes:
    """Return the view in the field names that the README documents."""
    drawn = drawing.picture
    shown = {name: getattr(view, name) for name in _SENT}
    return msgspec.json.encode(
        {
            **shown,
            "build": build,
            "chat": [_line(line) for line in view.chat],
            "screen": drawing.lines,
            "picture": {
                "width": drawn.width,
                "height": drawn.height,
                "bits": b64encode(drawn.bits).decode(),
            },
        }
    )


def _line(line: ChatLine) -> dict[str, object]:
    name = {"senderName": line.sender_name} if line.sender_name else {}
    reason = {"reason": line.reason} if line.reason else {}
    return {
        "id": line.id,
        "senderId": line.sender_id,
        **name,
        "text": line.text,
        "ts": line.ts_ms,
        "state": line.state,
        **reason,
    }
