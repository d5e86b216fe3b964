"""Group of wired pins: opened, retried, and reported when they are missing."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

from appliance.config import Pin, PinConfig
from appliance.core.events import Part
from appliance.errors import PanelError
from appliance.panel.gpio_chip import ALL_PINS
from appliance.panel.pins import (
    BOOT_RETRY_S,
    BOOT_TRIES,
    RETRY_S,
    Factory,
    PinSource,
    pin_of,
)
from appliance.ports import Post
from appliance.process.fault_report import FaultLog, FaultReport

_log = logging.getLogger(__name__)


class Closable(Protocol):
    """An opened pin."""

    def close(self) -> None:
        """Release the pin; raises `PanelError` if it has failed."""


PinT = TypeVar("PinT", bound=Closable)


class PinGroup(Generic[PinT]):
    """Opened pins by the name of the button or lamp. Thread: the event loop's."""

    def __init__(
        self,
        part: Part,
        wiring: Mapping[str, PinConfig],
        post: Post,
        source: PinSource,
        open_pin: Callable[[Factory, str, Pin], PinT],
    ) -> None:
        """Keep the wiring; nothing is opened yet.

        Args:
            part: kind of part in fault reports.
            wiring: pin of each button or lamp.
            post: receives `PartLost` and `PartFound`.
            source: pins of this machine.
            open_pin: opens one of them.
        """
        self.pins: dict[str, PinT] = {}
        self._part = part
        self._wired = {
            name: pin for name, config in wiring.items() if (pin := pin_of(config))
        }
        self._post = post
        self._source = source
        self._open_pin = open_pin
        self._suspects: set[str] = set()
        self._failed_tries = 0
        self._factory: Factory | None = None
        self._reports: dict[str, FaultReport] = {}

    @property
    def is_wired(self) -> bool:
        """Whether any pin is wired."""
        return bool(self._wired)

    async def find(self) -> float:
        """Try to open the pins that are not open; return the time to the next try."""
        if self._factory is None:
            await self._find_factory()
        if self._factory is None:
            return BOOT_RETRY_S if self._failed_tries < BOOT_TRIES else RETRY_S
        for name in self._wired.keys() - self.pins.keys():
            try:
                self.pins[name] = self._opened(name)
            except PanelError as exc:
                self._report(self._label(name)).lost(exc.reason)
            else:
                if not self.is_suspect(name):
                    self._report(self._label(name)).found()
        return RETRY_S

    def lose(self, name: str, exc: PanelError, *, is_suspect: bool = False) -> None:
        """Close and report a pin that has failed; `find` opens it again.

        Args:
            name: of the button or lamp.
            exc: why it failed.
            is_suspect: it counts as lost, also when it is open again, until `trust`.
        """
        pin = self.pins.pop(name)
        if is_suspect:
            self._suspects.add(name)
        self._report(self._label(name)).lost(exc.reason)
        _close(pin)

    def is_suspect(self, name: str) -> bool:
        """Return whether this pin has failed in a way that opening does not end."""
        return name in self._suspects

    def trust(self, name: str) -> None:
        """Report that a suspect pin works."""
        self._suspects.discard(name)
        self._report(self._label(name)).found()

    def close(self) -> None:
        """Release all pins."""
        while self.pins:
            _, pin = self.pins.popitem()
            _close(pin)

    async def _find_factory(self) -> None:
        try:
            # In a thread: the imports are slow.
            self._factory = await asyncio.to_thread(self._source.open_factory)
        except PanelError as exc:
            self._failed_tries += 1
            if self._failed_tries >= BOOT_TRIES:
                self._report(ALL_PINS).lost(exc.reason)
        else:
            self._report(ALL_PINS).found()

    def _opened(self, name: str) -> PinT:
        pin = self._wired[name]
        try:
            return self._open_pin(self._factory, name, pin)
        except PanelError as exc:
            user = self._user(exc.reason, pin.pin)
            raise PanelError(exc.part, user or exc.reason) from exc

    def _user(self, reason: str, number: int) -> str:
        """Return who uses a busy pin, if the kernel says so; else nothing."""
        if "busy" not in reason.lower():
            return ""
        line = self._source.user(self._factory, number)
        return line.user if line is not None else ""

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
