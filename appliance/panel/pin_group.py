"""The wired pins of one kind: opened, named when they fail, and tried again."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

from appliance.config import Pin, PinConfig
from appliance.core.events import Event, Part, PartFound, PartLost
from appliance.errors import PanelError
from appliance.panel.pins import Factory, OpenFactory, pin_of

log = logging.getLogger(__name__)

RETRY_S = 30.0
"""Between two tries of what is missing; our choice: a pin is freed by a person."""
ALL_PINS = "GPIO"
"""Name of the part when this machine has no usable pins at all."""


class Closable(Protocol):
    """An opened pin."""

    def close(self) -> None:
        """Give the pin back; raises `PanelError` if it has gone."""


PinT = TypeVar("PinT", bound=Closable)


class PinGroup(Generic[PinT]):
    """Opened pins by the name of what is wired to them; thread: the loop's."""

    def __init__(
        self,
        part: Part,
        wishes: Mapping[str, PinConfig],
        post: Callable[[Event], None],
        open_factory: OpenFactory,
        open_pin: Callable[[Factory, str, Pin], PinT],
    ) -> None:
        """Remember what is wired; nothing is opened yet."""
        self.pins: dict[str, PinT] = {}
        self._part = part
        self._wired = {
            name: pin for name, wish in wishes.items() if (pin := pin_of(wish))
        }
        self._post = post
        self._open_factory = open_factory
        self._open_pin = open_pin
        self._factory: Factory | None = None
        self._lost: set[str] = set()

    @property
    def is_wired(self) -> bool:
        """Whether there is anything to open."""
        return bool(self._wired)

    async def find(self) -> None:
        """Open what is not open."""
        if self._factory is None:
            await self._find_factory()
        if self._factory is not None:
            for name in self._wired.keys() - self.pins.keys():
                self._find(name)

    def lose(self, name: str, error: PanelError) -> None:
        """Take note that an opened pin has failed; `find` will try it again."""
        pin = self.pins.pop(name)
        self._tell_lost(self._called(name), error)
        try:
            pin.close()
        except PanelError as trouble:
            log.debug("a lost pin cannot be given back  reason=%s", trouble)

    def close(self) -> None:
        """Give all pins back."""
        while self.pins:
            _, pin = self.pins.popitem()
            try:
                pin.close()
            except PanelError as trouble:
                log.debug("a pin cannot be given back  reason=%s", trouble)

    async def _find_factory(self) -> None:
        """Find the machine's pins, off the loop: the libraries take their time."""
        try:
            self._factory = await asyncio.to_thread(self._open_factory)
        except PanelError as error:
            self._tell_lost(ALL_PINS, error)
        else:
            self._tell_found(ALL_PINS)

    def _find(self, name: str) -> None:
        try:
            self.pins[name] = self._open_pin(self._factory, name, self._wired[name])
        except PanelError as error:
            self._tell_lost(self._called(name), error)
        else:
            self._tell_found(self._called(name))

    def _called(self, name: str) -> str:
        return f"{name} GPIO{self._wired[name].pin}"

    def _tell_lost(self, called: str, error: PanelError) -> None:
        is_new = called not in self._lost
        log.log(
            logging.WARNING if is_new else logging.DEBUG,
            "%s lost  name=%r reason=%r",
            self._part,
            called,
            error.reason,
        )
        if is_new:
            self._lost.add(called)
            self._post(PartLost(self._part, called, error.reason))

    def _tell_found(self, called: str) -> None:
        if called in self._lost:
            self._lost.remove(called)
            log.info("%s found  name=%r", self._part, called)
            self._post(PartFound(self._part, called))
