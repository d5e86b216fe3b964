"""Group of the wired pins of one kind, with fault reports and retries."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

from appliance.config import Pin, PinConfig
from appliance.core.events import Part
from appliance.errors import PanelError
from appliance.panel.pins import Factory, OpenFactory, pin_of
from appliance.ports import Post
from appliance.process.fault_report import FaultLog, FaultReport

_log = logging.getLogger(__name__)

RETRY_S = 30.0
"""Time between two attempts; our choice: a busy pin is freed by a person."""
ALL_PINS = "GPIO"
"""Name of the missing part if this machine has no usable pins at all."""


class Closable(Protocol):
    """An opened pin."""

    def close(self) -> None:
        """Release the pin; raises `PanelError` if it has failed."""


PinT = TypeVar("PinT", bound=Closable)


class PinGroup(Generic[PinT]):
    """Opened pins by the name of the button or lamp.

    Thread: the event loop's.
    """

    def __init__(
        self,
        part: Part,
        wiring: Mapping[str, PinConfig],
        post: Post,
        open_factory: OpenFactory,
        open_pin: Callable[[Factory, str, Pin], PinT],
    ) -> None:
        """Keep the wiring; nothing is opened yet.

        Args:
            part: kind of part in fault reports.
            wiring: pin of each button or lamp.
            post: receives `PartLost` and `PartFound`.
            open_factory: returns the pins of this machine.
            open_pin: opens one of them.
        """
        self.pins: dict[str, PinT] = {}
        self._part = part
        self._wired = {
            name: pin for name, config in wiring.items() if (pin := pin_of(config))
        }
        self._post = post
        self._open_factory = open_factory
        self._open_pin = open_pin
        self._factory: Factory | None = None
        self._reports: dict[str, FaultReport] = {}

    @property
    def is_wired(self) -> bool:
        """Whether any pin is wired."""
        return bool(self._wired)

    async def find(self) -> None:
        """Try to open the pins that are not open."""
        if self._factory is None:
            await self._find_factory()
        if self._factory is not None:
            for name in self._wired.keys() - self.pins.keys():
                self._find(name)

    def lose(self, name: str, exc: PanelError) -> None:
        """Close and report a pin that has failed; `find` opens it again."""
        pin = self.pins.pop(name)
        self._report(self._label(name)).lost(exc.reason)
        _close(pin)

    def close(self) -> None:
        """Release all pins."""
        while self.pins:
            _, pin = self.pins.popitem()
            _close(pin)

    async def _find_factory(self) -> None:
        """Find the pins of this machine, in a thread: the imports are slow."""
        try:
            self._factory = await asyncio.to_thread(self._open_factory)
        except PanelError as exc:
            self._report(ALL_PINS).lost(exc.reason)
        else:
            self._report(ALL_PINS).found()

    def _find(self, name: str) -> None:
        try:
            self.pins[name] = self._open_pin(self._factory, name, self._wired[name])
        except PanelError as exc:
            self._report(self._label(name)).lost(exc.reason)
        else:
            self._report(self._label(name)).found()

    def _label(self, name: str) -> str:
        return f"{name} GPIO{self._wired[name].pin}"

    def _report(self, name: str) -> FaultReport:
        """Return the report of the part with this name, made at its first use."""
        if name not in self._reports:
            log = FaultLog(
                _log,
                f'{self._part} lost  name="{name}"',
                f'{self._part} found  name="{name}"',
            )
            self._reports[name] = FaultReport(self._post, self._part, name, log)
        return self._reports[name]


def _close(pin: Closable) -> None:
    try:
        pin.close()
    except PanelError as exc:
        _log.debug("pin cannot be released  reason=%s", exc)
