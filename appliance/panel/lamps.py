"""Lamps on the GPIO pins."""

import asyncio
from typing import Self

from appliance.config import LampsConfig, Pin
from appliance.core.events import Part
from appliance.core.view import LampStates, View
from appliance.errors import PanelError
from appliance.panel import pins
from appliance.ports import Post


class Lamps:
    """Adapter that switches the lamps as the view says; only changes are written."""

    def __init__(
        self,
        config: LampsConfig,
        post: Post,
        source: pins.PinSource = pins.PINS,
        retry_s: float = pins.RETRY_S,
    ) -> None:
        self._retry_s = retry_s
        wiring = pins.wired(config)
        self._group = pins.PinGroup(Part.LAMP, wiring, post, source, self._open_pin)
        self._wanted = LampStates()

    async def __aenter__(self) -> Self:
        await self._group.open(self._run)
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._group.close(*failure)

    def show(self, view: View) -> None:
        """Switch the lamps as this view says."""
        before, self._wanted = self._wanted, view.lamps
        for name in tuple(self._group.pins):
            is_lit = getattr(self._wanted, name)
            if getattr(before, name) == is_lit:
                continue
            try:
                self._group.pins[name].light(is_lit=is_lit)
            except PanelError as exc:
                self._group.lose(name, exc)

    async def _run(self) -> None:
        while True:
            await self._group.find()
            await asyncio.sleep(self._retry_s)

    def _open_pin(self, factory: pins.Factory, name: str, pin: Pin) -> pins.OutputPin:
        return pins.OutputPin(factory, pin, is_lit=getattr(self._wanted, name))
