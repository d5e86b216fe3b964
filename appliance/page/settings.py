"""This box, as the page needs to know it."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.display.line import Size

if TYPE_CHECKING:
    # Brings uvicorn, which is imported late.
    from appliance.net.http_server import ServerLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSettings:
    """What `cli` hands to the page besides its configuration."""

    name: str
    """The box's name; `NAME.local` is answered too, for who announces it."""
    state_directory: Path
    """Where `pairing.json` is kept."""
    metrics: Callable[[], Awaitable[str]]
    """Returns the text of `/metrics`."""
    screen_px: Size = (128, 64)
    """Of the OLED; its picture is shown also when none is wired."""
    limits: "ServerLimits | None" = None
    """What clients may take of the page; None: the default."""
    pin_hint: str = ""
    """Sentence that says where a person finds the PIN; empty: on the box's screen, or
    by `ptt-appliance pair`."""
    now_s: Callable[[], float] = time.monotonic
