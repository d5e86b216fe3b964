"""The box in the guest, as a person meets it: button, lamps and status."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import isawaitable

from tests.guest.machine import Machine
from tests.guest.verdict import CheckError

UNIT = "ptt-appliance"
TALK, LEAVE, ONLINE, TALKING = 17, 27, 22, 23
"""BCM numbers of buttons and lamps, as in the default configuration."""
JOIN_S = 60.0
EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class InstalledBox:
    """The appliance's service in a running guest."""

    machine: Machine
    in_room: str
    """Beginning of the service's status while it is in the room."""

    async def status(self) -> str:
        """Return the status that the service gives systemd."""
        return await self._property("StatusText")

    async def pid(self) -> int:
        """Return the process id of the service; 0 if it does not run."""
        return int(await self._property("MainPID"))

    async def restarts(self) -> int:
        """Return how often systemd restarted the service."""
        return int(await self._property("NRestarts"))

    async def is_in_room(self) -> bool:
        """Whether the service says that it is in the room, with faults or without."""
        return (await self.status()).startswith(self.in_room)

    async def joined(self, within_s: float = JOIN_S) -> float:
        """Wait until it is in the room; return the seconds.

        Raises:
            CheckError: it is not in time.
        """
        try:
            return await until("in the room", self.is_in_room, within_s)
        except CheckError as exc:
            sentence = f"{exc}, status {await self.status()!r}"
            raise CheckError(sentence) from exc

    async def press(self, pin: int = TALK) -> None:
        """Press a button."""
        await self.machine.ask("pull", pin=pin, direction="down")

    async def release(self, pin: int = TALK) -> None:
        """Release a button."""
        await self.machine.ask("pull", pin=pin, direction="up")

    async def lamp(self, pin: int) -> bool:
        """Whether a lamp is lit."""
        levels = await self.machine.ask("levels", pins=[pin])
        return bool(levels[0])

    async def lit(self, pin: int, is_lit: bool, within_s: float = 5.0) -> float:
        """Wait for a lamp; return the seconds."""

        async def is_so() -> bool:
            return await self.lamp(pin) == is_lit

        name = {ONLINE: "online", TALKING: "talking"}[pin]
        words = f"lamp {name} {'on' if is_lit else 'off'}"
        return await until(words, is_so, within_s, 0.05)

    async def usage(self) -> dict[str, float]:
        """Return CPU time, threads, open files and memory of the service."""
        usage: dict[str, float] = await self.machine.ask("usage", pid=await self.pid())
        return usage

    async def journal(self) -> str:
        """Return the service's journal of this boot."""
        command = f"journalctl -b -u {UNIT} -o short-precise --no-pager"
        return await self.machine.shell(command)

    async def _property(self, name: str) -> str:
        return await self.machine.shell(f"systemctl show -p {name} --value {UNIT}")


async def until(
    words: str,
    is_so: Callable[[], bool | Awaitable[bool]],
    within_s: float,
    every_s: float = EVERY_S,
) -> float:
    """Wait until something is so; return the seconds.

    Raises:
        CheckError: it is not so in time.
    """
    start_s = time.monotonic()
    while not (await found if isawaitable(found := is_so()) else found):
        if time.monotonic() - start_s > within_s:
            sentence = f"{words}: not within {within_s:g} s"
            raise CheckError(sentence)
        await asyncio.sleep(every_s)
    return time.monotonic() - start_s
