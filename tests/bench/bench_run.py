"""Server of a benchmark run, with a new room for each call."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from appliance.demo.livekit_server import LocalServer
from appliance.token_server.signing import Signer
from tests.bench.call_figures import CallFigures
from tests.bench.client import Client
from tests.bench.client_start import Chromium, Kind, MediaDevices, Seat
from tests.bench.plan import Plan
from tests.card.asound import Card

TTL_S = 7200
"""Lifetime of tokens; the longest run takes an hour."""


@dataclass(frozen=True, slots=True)
class Exit:
    """Exit of a client that was in a call."""

    is_ours: bool
    status: int | None
    seconds: float | None
    """None: it had to be killed."""


@dataclass(slots=True)
class BenchRun:
    """One run of the benchmark."""

    server: LocalServer
    folder: Path
    plan: Plan
    exits: list[Exit] = field(default_factory=list)
    """Exits of all clients that were ended in the middle of a call."""
    calls: dict[tuple[object, ...], CallFigures] = field(default_factory=dict)
    """Results of calls, by kinds and other parameters."""
    _numbers: Iterator[int] = field(default_factory=count)

    @asynccontextmanager
    async def call(
        self, *kinds: Kind, ppm: tuple[float, ...] = (0.0, 0.0)
    ) -> AsyncIterator[tuple[Client, ...]]:
        """Join clients to a new room; on entry all receive each other.

        Args:
            kinds: two or more.
            ppm: clock drift of each card.
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
        """Return a seat in a room, with its own card."""
        name = "abcdefgh"[place]
        folder = self.folder / room / name
        folder.mkdir(parents=True, exist_ok=True)
        epoch_ns = epoch_ns or time.monotonic_ns()
        card = Card(folder / "card", epoch_ns=epoch_ns, ppm=ppm)
        return Seat(name, folder, card, self.server.url, self.token(room, name))

    def fresh_room(self) -> str:
        """Return the name of a new room."""
        return f"room{next(self._numbers)}"

    def token(self, room: str, name: str) -> str:
        """Return a token for the room."""
        signer = Signer(self.server.api_key, self.server.api_secret)
        return signer.token(name, name, room, ttl_s=TTL_S, now_s=int(time.time()))

    async def _note_end(self, client: Client, kind: Kind) -> None:
        is_ours = not isinstance(kind, MediaDevices | Chromium)
        await client.stop()
        self.exits.append(Exit(is_ours, client.process.returncode, client.exit_s))
