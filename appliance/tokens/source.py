"""Gets tokens for the core: one `FetchToken`, one request, one answer."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self, assert_never

from appliance.config import Config, RoomSettings
from appliance.core.commands import DropToken, FetchToken, TokenCommand
from appliance.core.events import Cause, TokenFailed, TokenReady
from appliance.errors import TokenError, TokenRefused, TokenUnreachable
from appliance.ports import Post
from appliance.process.background import Background
from appliance.tokens.request import token_request
from appliance.tokens.response import TokenAnswer, fixed_answer, read_answer

if TYPE_CHECKING:
    import httpx

START_S: Final = 0.5
"""Our choice: nobody notices a start that is so much later, and a name is looked up
faster than this, or not at all."""

LONGEST_WAIT_S: Final = 8.0
"""For a token to become valid; with the 10 s of the request less than what the core
waits. Later ones are asked for again."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Clock:
    """Time of day, and waiting."""

    now_s: Callable[[], float] = time.time
    """Seconds since the epoch."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


CLOCK: Final = Clock()


class TokenSource:
    """Asks the configured token source; trying again is the core's business."""

    def __init__(
        self,
        config: Config,
        *,
        identity: str,
        post: Post,
        transport: "httpx.AsyncBaseTransport | None" = None,
        clock: Clock = CLOCK,
    ) -> None:
        """Do nothing yet.

        Args:
            config: rooms and presets.
            identity: who the box is where the configuration does not say.
            post: takes the answers.
            transport: instead of the network, for tests.
            clock: tells whether a token is valid, and waits until it is.
        """
        self._rooms: dict[str | None, RoomSettings] = {
            None: config.room,
            **{preset.name: preset for preset in config.room.presets},
        }
        self._identity = identity
        self._name = config.name or ""
        self._post = post
        self._transport = transport
        self._clock = clock
        self._background = Background()
        self._fetches: dict[int, asyncio.Task[None]] = {}
        self._trouble = ""
        self._has_asked = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._background.open()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._background.close(*failure)

    def do(self, command: TokenCommand) -> None:
        """Start or stop a request.

        Thread: the loop's.
        """
        match command:
            case FetchToken():
                fetch = self._background.start(self._fetch(command))
                self._fetches[command.ticket] = fetch
                fetch.add_done_callback(
                    lambda _: self._fetches.pop(command.ticket, None)
                )
            case DropToken(ticket) if ticket in self._fetches:
                self._fetches[ticket].cancel()
            case DropToken():
                pass
            case _:
                assert_never(command)

    async def asked(self, most_s: float = START_S) -> None:
        """Return when the first request has left or is over, or after this long.

        What is imported meanwhile would hold it up.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                await self._has_asked.wait()

    async def answer(self, command: FetchToken) -> TokenAnswer:
        """Return what one request brought; nothing is posted.

        Raises:
            TokenError: nothing that can be used.
        """
        room = self._room(command)
        if room.token is not None:
            return fixed_answer(room, self._clock.now_s())
        if room.token_url is None:
            sentence = "there is no token source. Write its address to room.token_url."
            raise TokenRefused(Cause.MISCONFIGURED, sentence)
        return await self._fetched(room)

    async def _fetch(self, command: FetchToken) -> None:
        try:
            answer = await self.answer(command)
        except TokenError as exc:
            self._tell_trouble(exc)
            self._post(
                TokenFailed(
                    command.ticket,
                    Cause(exc.cause),
                    exc.reason,
                    is_final=isinstance(exc, TokenRefused),
                )
            )
            return
        finally:
            self._has_asked.set()
        self._trouble = ""
        _log.info("token fetch ended  room=%s", answer.room)
        self._post(
            TokenReady(
                command.ticket, answer.url, answer.token, answer.identity, answer.room
            )
        )

    async def _fetched(self, room: RoomSettings) -> TokenAnswer:
        from appliance.tokens.client import send

        request = token_request(
            room, room.identity or self._identity, room.display_name or self._name
        )
        level = logging.DEBUG if self._trouble else logging.INFO
        _log.log(level, "token fetch started  url=%s", request.where)
        reply = await send(request, self._transport, sent=self._has_asked.set)
        # Whether a token is valid is a matter of its issuer's clock, not of ours.
        now_s = self._clock.now_s() if reply.date_s is None else reply.date_s
        answer = read_answer(reply.body, room, request.where, now_s)
        if answer.wait_s > LONGEST_WAIT_S:
            sentence = (
                f"{request.where} gave a token that becomes valid in "
                f"{answer.wait_s:.0f} s only. Check the clock there."
            )
            raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence)
        await self._clock.sleep(answer.wait_s)
        return answer

    def _room(self, command: FetchToken) -> RoomSettings:
        if command.preset not in self._rooms:
            sentence = f'there is no preset "{command.preset}". Write room.presets.'
            raise TokenRefused(Cause.MISCONFIGURED, sentence)
        room = self._rooms[command.preset]
        return replace(room, display_name=command.display_name or room.display_name)

    def _tell_trouble(self, exc: TokenError) -> None:
        """Log it once; the core repeats itself, the journal should not."""
        level = logging.DEBUG if exc.reason == self._trouble else logging.WARNING
        self._trouble = exc.reason
        _log.log(level, "token fetch failed  cause=%s reason=%s", exc.cause, exc.reason)
