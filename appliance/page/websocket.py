"""The WebSocket: the whole view whenever it changed, and commands the other way."""

import asyncio
import time
import uuid
from collections.abc import Callable, Coroutine
from http import HTTPStatus

import msgspec
from starlette.websockets import WebSocket

from appliance.net.rate_limit import Bucket, Rate
from appliance.page.answer import refusal
from appliance.page.commands import from_command
from appliance.page.controls import Answer, Client, Controls
from appliance.page.line import Line
from appliance.page.pairing import Pairing
from appliance.page.refused import RequestRefused
from appliance.page.snapshot import Snapshot

SOCKETS = 16
"""Open at once; our choice: a box is looked at by a handful of phones."""
GAP_S = 0.1
"""Between two views: ten a second look alive, more would only cost."""
REPEAT_S = 5.0
"""A view at least this often, so that a page can tell silence from a dead Wi-Fi."""
COMMANDS = Rate(burst=60, per_s=20)
"""A slider sends ten a second."""
PATIENCE = Rate(burst=40, per_s=0.2)
"""Refused commands before the socket is closed."""

POLICY_VIOLATION = 1008
SESSION_GONE = 4401
"""Sends the page to the pairing form; 4000-4999 are for applications."""

Goodbye = tuple[int, str]
"""Close code and reason."""


class LiveEndpoint:
    """The endpoint; one call per socket."""

    def __init__(
        self,
        snapshot: Snapshot,
        controls: Controls,
        pairing: Pairing,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Show `snapshot`, take commands to `controls`."""
        self._snapshot = snapshot
        self._controls = controls
        self._pairing = pairing
        self._now_s = now_s
        self._open = 0

    async def __call__(self, socket: WebSocket) -> None:
        """Serve one socket until either side ends it."""
        if self._open >= SOCKETS:
            sentence = f"{SOCKETS} pages are open already. Close one of them."
            refused = RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, sentence)
            await socket.send_denial_response(refusal(refused))
            return
        self._open += 1
        client = Client(socket.state.owner, f"socket {uuid.uuid4()}")
        try:
            await socket.accept()
            await self._serve(Line(socket), client)
        finally:
            self._open -= 1
            self._controls.gone(client)

    async def _serve(self, line: Line, client: Client) -> None:
        """Tell and listen until either ends; a reason is told at the end."""
        goodbye = await first_of(self._tell(line, client), self._listen(line, client))
        if goodbye is not None:
            await line.close(*goodbye)

    async def _tell(self, line: Line, client: Client) -> Goodbye | None:
        """Send the newest view for as long as the session is known."""
        await self._snapshot.prepare()
        while self._pairing.still_knows(client.session):
            number = self._snapshot.number
            if not await line.send(self._snapshot.json()):
                return None
            await asyncio.sleep(GAP_S)
            await self._snapshot.newer(number, REPEAT_S)
        return SESSION_GONE, "not paired any more"

    async def _listen(self, line: Line, client: Client) -> Goodbye | None:
        """Take commands until the socket closes or floods."""
        commands = Bucket(COMMANDS, self._now_s())
        patience = Bucket(PATIENCE, self._now_s())
        while (message := await line.receive()) is not None:
            answer = self._take(message, client, commands)
            if "error" in answer and not patience.may(self._now_s()):
                return POLICY_VIOLATION, "too many refused commands"
            # Of most commands the next view is the answer.
            if answer.keys() & {"error", "id"}:
                await line.send(msgspec.json.encode(answer))
        return None

    def _take(self, message: str | bytes, client: Client, commands: Bucket) -> Answer:
        try:
            self._check_pace(commands)
            return self._controls.take(from_command(message), client)
        except RequestRefused as refused:
            return {**refused.body, "status": refused.status}

    def _check_pace(self, commands: Bucket) -> None:
        if not commands.may(self._now_s()):
            sentence = "Too many commands. Wait a second."
            raise RequestRefused(HTTPStatus.TOO_MANY_REQUESTS, sentence)


async def first_of(*jobs: Coroutine[None, None, Goodbye | None]) -> Goodbye | None:
    """Run all until one ends, end the others, and return what the first returned."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return next(filter(None, [task.result() for task in done]), None)
