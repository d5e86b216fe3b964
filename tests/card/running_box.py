"""Running box under a condition: its newest view, its far end, and what works."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from websockets.exceptions import WebSocketException

from appliance.core import fault_table
from tests.bench.client import Client
from tests.bench.client_start import Ours, Page, Seat
from tests.card.asound import Card
from tests.card.far_end import ANSWER, FarEnd

ANSWER_S: Final = 3.0
"""Time in which chat is answered and the page answers."""
PATIENCE_S: Final = 15.0
"""Time after which something counts as never happening."""
LOOK_S: Final = 0.05
BOTH: Final = frozenset({"microphone", "speaker"})
LOST: Final = "(microphone|speaker|sound): "
LOSES: Final = fault_table.LOSES_SOUND.text()
MAY_LOSE_SOUND = False
"""Whether the machine may be so busy that the box loses sound. It says so, and that is
none of the faults of a condition."""
NO_SIGNAL: Final = "audio does not run"
"""Log line with which the watchdog signals end."""


@dataclass(slots=True)
class RunningBox:
    """A running box, its newest view and its far end."""

    client: Client
    card: Card
    page: Page
    far_end: FarEnd
    view: dict[str, Any] = field(default_factory=dict)

    def says(self, words: str) -> str:
        """Return the first fault of the view that matches; empty if there is none."""
        faults: Sequence[str] = self.view.get("faults", ())
        return next((x for x in faults if re.search(words, x)), "")

    def is_connected(self) -> bool:
        """Return whether the far end is in the room with it."""
        return self.view.get("connection") == "connected" and bool(self.view["people"])

    def is_well(self) -> bool:
        """Return whether it has no fault of its card and both directions work."""
        return self.is_connected() and not self.says(LOST) and self.works(BOTH)

    def works(self, directions: frozenset[str]) -> bool:
        """Return whether sound passes in these directions."""
        can_hear = "speaker" not in directions or is_playing(self.card)
        return can_hear and ("microphone" not in directions or self.far_end.hears())

    def has_signal(self) -> bool:
        """Return whether the watchdog signals go on."""
        return not any(NO_SIGNAL in x.text for x in self.client.lines)

    async def is_answered(self) -> bool:
        """Return whether a line of chat, sent on the page, is answered."""
        with suppress(TimeoutError, httpx.HTTPError):
            async with asyncio.timeout(ANSWER_S):
                await self.page.chat("hello")
                return await until(
                    lambda: any(
                        x["text"] == f"{ANSWER}hello" for x in self.view["chat"]
                    ),
                    ANSWER_S,
                )
        return False

    async def is_served(self) -> bool:
        """Return whether the page answers."""
        with suppress(TimeoutError, httpx.HTTPError):
            async with asyncio.timeout(ANSWER_S):
                await self.page.metrics()
                return True
        return False


def counted(faults: Sequence[str]) -> list[str]:
    """Return the faults of a view that count."""
    if not MAY_LOSE_SOUND:
        return [*faults]
    also = fault_table.ALSO
    rest = [x.replace(also + LOSES, "").replace(LOSES + also, "") for x in faults]
    return [x for x in rest if not x.endswith(LOSES)]


def is_playing(card: Card) -> bool:
    """Return whether the speaker has played something within the last second."""
    now_s = card.now_s()
    return bool(card.heard(max(0.0, now_s - 1.0), now_s).any())


async def until(check: Callable[[], object], within_s: float = PATIENCE_S) -> bool:
    """Wait until it is true, and return whether it became true in time."""
    ends_s = time.monotonic() + within_s
    while not check():
        if time.monotonic() > ends_s:
            return False
        # Nothing announces what has been played.
        await asyncio.sleep(LOOK_S)
    return True


@asynccontextmanager
async def running(seat: Seat, token: str) -> AsyncIterator[RunningBox]:
    """Run the box with a far end; on entry its page is served."""
    page = Page(seat.folder)
    async with FarEnd() as far_end:
        await far_end.join(seat.url, token)
        client = await Ours(has_processing=False).start(seat)
        try:
            await client.says("page served")
            async with page.live() as socket:
                box = RunningBox(client, seat.card, page, far_end)
                async with asyncio.TaskGroup() as group:
                    reader = group.create_task(_read(socket, box))
                    yield box
                    reader.cancel()
        finally:
            await client.stop()


async def _read(socket: Any, box: RunningBox) -> None:
    """Keep the newest view."""
    with suppress(WebSocketException):
        async for message in socket:
            content = json.loads(message)
            if "faults" in content:
                box.view = content | {"faults": counted(content["faults"])}
