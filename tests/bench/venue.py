"""Where everything happens: one server, and rooms in which two clients meet."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from appliance.demo.livekit_server import LocalServer
from appliance.tokens.issue import issue
from tests.bench.box import Kind, MediaDevices, Seat
from tests.bench.client import Client
from tests.bench.plan import Plan
from tests.bench.scene import Scene
from tests.card.asound import Card

TTL_S = 7200
"""The longest run takes an hour."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a client ended that was in a call."""

    is_ours: bool
    status: int | None
    seconds: float | None
    """None: it had to be killed."""


@dataclass(slots=True)
class Venue:
    """One run of the benchmark."""

    server: LocalServer
    folder: Path
    plan: Plan
    exits: list[Exit] = field(default_factory=list)
    """Of everybody who was told to end in the middle of a call."""
    scenes: dict[tuple[object, ...], Scene] = field(default_factory=dict)
    """What took place, by both kinds and whatever else tells one from another."""
    _numbers: Iterator[int] = field(default_factory=count)

    @asynccontextmanager
    async def call(
        self, *kinds: Kind, ppm: tuple[float, ...] = (0.0, 0.0)
    ) -> AsyncIterator[tuple[Client, ...]]:
        """Have clients meet in a room of their own; all hear each other on entry.

        Args:
            kinds: two or more.
            ppm: by how much each card's clock is wrong.
        """
        number = next(self._numbers)
        epoch_ns = time.monotonic_ns()
        clients: list[Client] = []
        try:
            for place, kind in enumerate(kinds):
                seat = self.seat(f"room{number}", place, epoch_ns, ppm[place])
                clients.append(await kind.start(seat))
            for client in clients:
                await client.says("track subscribed")
            yield tuple(clients)
            both = zip(clients, kinds, strict=True)
            await asyncio.gather(*(self._note_end(*each) for each in both))
        finally:
            await asyncio.gather(*(client.stop() for client in clients))
            shutil.rmtree(self.folder / f"room{number}", ignore_errors=True)

    def seat(
        self, room: str, place: int, epoch_ns: int | None = None, ppm: float = 0.0
    ) -> Seat:
        """Return a place in a room, with a card of its own."""
        name = "abcdefgh"[place]
        folder = self.folder / room / name
        folder.mkdir(parents=True, exist_ok=True)
        epoch_ns = epoch_ns or time.monotonic_ns()
        card = Card(folder / "card", epoch_ns=epoch_ns, ppm=ppm)
        return Seat(name, folder, card, self.server.url, self.token(room, name))

    def fresh_room(self) -> str:
        """Return the name of a room that nobody has been in."""
        return f"room{next(self._numbers)}"

    def token(self, room: str, name: str) -> str:
        """Return what opens the room."""
        key, secret = self.server.api_key, self.server.api_secret
        return issue(key, secret, name, name, room, TTL_S, int(time.time()))

    async def _note_end(self, client: Client, kind: Kind) -> None:
        is_ours = not isinstance(kind, MediaDevices)
        await client.stop()
        self.exits.append(Exit(is_ours, client.process.returncode, client.exit_s))
