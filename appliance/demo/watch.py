"""The demo's eye on the box: shows it in the terminal and keeps the ledger."""

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from appliance.core.view import View
from appliance.demo.ledger import Ledger, Talk
from appliance.demo.line import live_line, plain_line
from appliance.demo.terminal import Terminal
from appliance.net.listen import pairing_url


class Watch:
    """A viewer like lamps and screen.

    Thread: the loop's.
    """

    def __init__(
        self, ledger: Ledger, terminal: Terminal, talk_began: Callable[[Talk], None]
    ) -> None:
        """Wait for the first view.

        Args:
            ledger: told every view.
            terminal: where it is shown.
            talk_began: called when sound begins to go into the room.
        """
        self.view: View | None = None
        self.draft: str | None = None
        """The line of chat that is being typed in the terminal."""
        self.ledger = ledger
        self._terminal = terminal
        self._talk_began = talk_began
        self._changed = asyncio.Event()
        self._plain = ""
        self._page = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the live line away."""
        self._terminal.end()

    def show(self, view: View) -> None:
        """Take the newest view."""
        self.view = view
        if talk := self.ledger.see(view, time.monotonic()):
            self._talk_began(talk)
        self._tell_page(view)
        self.redraw()
        self.nudge()

    def say(self, line: str) -> None:
        """Tell a person something."""
        self._terminal.say(line)

    def redraw(self) -> None:
        """Bring the terminal up to date."""
        if self.view is None:
            return
        if self._terminal.is_live:
            columns = self._terminal.columns
            self._terminal.draw(live_line(self.view, columns, self.draft))
            return
        plain = plain_line(self.view)
        if plain != self._plain:
            self._plain = plain
            self._terminal.say(plain)

    def nudge(self) -> None:
        """Have those who wait look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, is_it: Callable[[View], bool], within_s: float) -> bool:
        """Wait for a view that is it; return whether it came in time."""
        try:
            async with asyncio.timeout(within_s):
                while self.view is None or not is_it(self.view):
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def _tell_page(self, view: View) -> None:
        """Say where the page is, and again when the PIN is another one."""
        if not view.page_url or not view.pin:
            return
        link = pairing_url(view.page_url, view.pin)
        if link != self._page:
            self._page = link
            self._terminal.say(f"Page: {view.page_url}   PIN: {view.pin}")
            self._terminal.say(f"      with the PIN filled in: {link}")
