"""A dTelecom node for tests: a real LiveKit server that answers as a node does.

Stands between client and server, passes everything on byte for byte, and adds what
dTelecom's fork adds: 404 for paths that LiveKit 1.4 did not have, the key of a room, a
flag of each participant. Tokens signed with Ed25519 are verified as a node does, and
replaced by the server's own.
"""

import asyncio
from contextlib import AsyncExitStack, suppress
from urllib.parse import parse_qsl, urlencode

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response

from appliance.dtelecom.tokens import decode_base58
from tests.dtelecom.wire import field, fields, with_nested

ROOM_KEY = "9C6hybhQ6Aycep9jaUnP6uL9ZYvDjUp1aSkFWPUFJtpj"


def room_of_fork(room):
    return room + field(11, ROOM_KEY)


def participant_of_fork(participant):
    return participant + field(14, 1)


def response_of_fork(message):
    """Return a `SignalResponse` of LiveKit's as dTelecom's fork would send it."""
    join = {1: room_of_fork, 2: participant_of_fork, 3: participant_of_fork}
    changes = {
        1: lambda raw: with_nested(raw, join),
        5: lambda raw: with_nested(raw, {1: participant_of_fork}),
        11: lambda raw: with_nested(raw, {1: room_of_fork}),
    }
    return with_nested(message, changes)


class Node:
    """Proxy in front of a server; can be stopped and started again at its address."""

    def __init__(self, server, changed=response_of_fork):
        self._livekit = server
        self._changed = changed
        self._server = None
        self._port = 0
        self.requests = []
        """Path and headers of every request."""
        self.sent = []
        """Messages from the server as the client got them."""
        self.loses = None
        """Number of a field of `SignalRequest`: the next such message is lost."""
        self.loses_all = False
        """Whether all such messages are lost."""
        self.lost = asyncio.Event()

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *_):
        await self.stop()

    @property
    def url(self):
        return f"ws://127.0.0.1:{self._port}"

    async def start(self):
        self._server = await serve(
            self._pass_on,
            "127.0.0.1",
            self._port,
            process_request=self._answer,
            compression=None,
            ping_interval=None,
            max_size=None,
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self):
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _answer(self, connection, request):
        self.requests.append((request.path, dict(request.headers.raw_items())))
        if request.path.startswith("/rtc/v1"):
            return answer(404, b"404 page not found\n")
        if "upgrade" in request.headers:
            try:
                connection.server_side = await self._connected(request)
            except InvalidStatus as exc:
                return exc.response
            return None
        async with httpx.AsyncClient() as client:
            url = self._livekit.url.replace("ws", "http", 1)
            target, headers = self._translated(request)
            found = await client.get(url + target, headers=headers)
        return answer(found.status_code, found.content)

    async def _connected(self, request):
        target, headers = self._translated(request)
        return await connect(
            self._livekit.url + target,
            additional_headers=headers,
            compression=None,
            ping_interval=None,
            max_size=None,
        )

    def _translated(self, request):
        """Return target and headers with the server's own token."""
        path, _, query = request.path.partition("?")
        wishes = dict(parse_qsl(query, keep_blank_values=True))
        token = wishes.pop("access_token", None)
        if token is None:
            token = request.headers["authorization"].removeprefix("Bearer ")
        given = jwt.decode(token, options={"verify_signature": False})
        if jwt.get_unverified_header(token)["alg"] == "EdDSA":
            key = Ed25519PublicKey.from_public_bytes(decode_base58(given["iss"]))
            given = jwt.decode(token, key, ["EdDSA"])
            grants = given["video"]
            token = self._livekit.token(
                given["sub"], name=given.get("name", ""), **grants
            )
        headers = {"Authorization": f"Bearer {token}"}
        return f"{path}?{urlencode(wishes)}", headers

    async def _pass_on(self, connection):
        server_side = connection.server_side
        async with AsyncExitStack() as stack:
            stack.push_async_callback(server_side.close)
            requests = self._not_lost(connection)
            upward = asyncio.ensure_future(copy(requests, server_side, None))
            downward = asyncio.ensure_future(
                copy(server_side, connection, self._changed, self.sent)
            )
            await asyncio.wait({upward, downward}, return_when="FIRST_COMPLETED")
            upward.cancel()
            downward.cancel()
            await asyncio.gather(upward, downward, return_exceptions=True)

    async def _not_lost(self, connection):
        async for message in connection:
            if fields(message)[0][0] == self.loses:
                if not self.loses_all:
                    self.loses = None
                self.lost.set()
            else:
                yield message


def answer(status, body):
    headers = Headers({"Content-Length": str(len(body)), "Connection": "close"})
    return Response(status, "", headers, body)


async def copy(reading, writing, changed, sent=None):
    with suppress(ConnectionClosed):
        async for message in reading:
            is_changed = changed is not None and isinstance(message, bytes)
            passed = changed(message) if is_changed else message
            if sent is not None:
                sent.append(passed)
            await writing.send(passed)
