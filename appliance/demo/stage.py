"""What the demo's box stands in: a room to join and a sound card."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from appliance.audio.driver import Driver
from appliance.config import RoomConfig, SoundConfig
from appliance.demo import box
from appliance.demo.card import Mouth, SimulatedCard
from appliance.demo.issuer import ROOM, Issuer
from appliance.demo.phrase import phrase
from appliance.demo.report import Order
from appliance.demo.script import Voice
from appliance.demo.server import LocalServer
from appliance.demo.tape import Tape
from appliance.tokens.issue import TTL_S, issue


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command line says."""

    listen: str | None
    seconds: float | None
    room_url: str | None
    room_token: str | None = field(repr=False)
    is_simulated: bool
    """Whether a sound card is not even looked for."""
    wav: Path
    server: Path | None
    """The LiveKit server's program; None: `room_url` is somebody's own."""


@dataclass(frozen=True, slots=True)
class Sound:
    """The card, and what only a simulated one has."""

    library: Callable[[], Driver]
    voice: Voice | None = None
    tape: Tape | None = None
    config: SoundConfig = field(default_factory=SoundConfig)


async def room(wish: Wish, stack: AsyncExitStack) -> tuple[RoomConfig, Order | None]:
    """Return the room to join, and where the companion goes; None: nowhere.

    Args:
        wish: whose room it is.
        stack: ends what is started here.

    Raises:
        DemoError: the server does not start, or the address cannot be used.
    """
    if wish.server is None:
        assert wish.room_url is not None
        assert wish.room_token is not None
        return box.given_room(wish.room_url, wish.room_token), None
    server = await stack.enter_async_context(LocalServer(wish.server))
    key, secret = server.api_key, server.api_secret
    issuer = await stack.enter_async_context(Issuer(server.url, key, secret))
    now_s = int(time.time())
    token = issue(key, secret, "companion", "Companion", ROOM, TTL_S, now_s)
    return box.issued_room(issuer.url), Order(server.url, token)


async def sound(wish: Wish) -> Sound:
    """Return this computer's card, or a simulated one where it has none.

    Raises:
        DemoError: the recording cannot be written.
    """
    real = None if wish.is_simulated else box.real_card()
    if real is not None:
        return Sound(lambda: real, config=box.named(real))
    spoken = await asyncio.to_thread(phrase)
    mouth, tape = Mouth(), Tape(wish.wav)
    card = SimulatedCard(mouth, tape.put)
    return Sound(lambda: card, Voice(mouth, spoken), tape)
