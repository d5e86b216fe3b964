"""Settings of the page that are not in its configuration."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.display.line import Size

if TYPE_CHECKING:
    # Imports uvicorn, which is to be imported late.
    from appliance.net.http_limits import ServerLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSettings:
    """Facts about the box that the page needs besides its configuration."""

    name: str
    """The box's name; `NAME.local` is accepted as a host name."""
    state_directory: Path
    """Directory of `pairing.json`."""
    metrics: Callable[[], Awaitable[str]]
    """Returns the text of `/metrics`."""
    screen_px: Size = (128, 64)
    """Of the OLED; its picture is shown even if no OLED is connected."""
    limits: "ServerLimits | None" = None
    """Limits on clients; None: the default."""
    pin_hint: str = ""
    """Sentence of the form that says where to find the PIN; empty: it names the screen
    and `ptt-appliance pair`."""
    now_s: Callable[[], float] = time.monotonic
