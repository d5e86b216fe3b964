"""Lamps on the Pi's pins (R3.7)."""

import asyncio
from collections.abc import Callable
from dataclasses import fields
from typing import Self

from appliance.config import LampsConfig, Pin
from appliance.core.events import Event, Part
from appliance.core.view import Lamps as Lit
from appliance.core.view import View
from appliance.errors import PanelError
from appliance.panel.pin_group import RETRY_S, PinGroup
from appliance.panel.pins import Factory, OpenFactory, Output, open_factory
from appliance.process.background import Background


class Lamps:
    """Lights what the view says; only changes are written."""

    def __init__(
        self,
        config: LampsConfig,
        post: Callable[[Event], None],
        open_factory: OpenFactory = open_factory,
        retry_s: float = RETRY_S,
    ) -> None:
        """Remember what is wired; nothing is opened yet."""
        self._retry_s = retry_s
        wishes = {item.name: getattr(config, item.name) for item in fields(config)}
        self._bank = PinGroup(Part.LAMP, wishes, post, open_factory, self._opened)
        self._wanted = Lit()
        self._background = Background()

    async def __aenter__(self) -> Self:
        """Start looking for the pins."""
        if self._bank.is_wired:
            await self._background.open(self._run())
        return self

    async def __aexit__(self, *failure: object) -> None:
        """Go dark and give the pins back."""
        try:
            await self._background.close(*failure)
        finally:
            self._bank.close()

    def show(self, view: View) -> None:
        """Light what this view says."""
        before, self._wanted = self._wanted, view.lamps
        for name in tuple(self._bank.pins):
            if getattr(before, name) != getattr(self._wanted, name):
                self._light(name)

    async def _run(self) -> None:
        while True:
            await self._bank.find()
            await asyncio.sleep(self._retry_s)

    def _opened(self, factory: Factory, name: str, pin: Pin) -> Output:
        return Output(factory, pin, is_lit=getattr(self._wanted, name))

    def _light(self, name: str) -> None:
        try:
            self._bank.pins[name].light(is_lit=getattr(self._wanted, name))
        except PanelError as error:
            self._bank.lose(name, error)
