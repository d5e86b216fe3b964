"""`ptt-appliance token-server`: issues short-lived tokens for the configured rooms.

It stores nothing. It implements LiveKit's standard endpoint with both spellings of the
keys, so that every client can use it.
"""

import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from appliance.errors import PageError
from appliance.net.host_check import HostCheck
from appliance.net.http_limits import (
    BODY_S,
    HEAD_BYTES,
    BodyTooLongError,
    BodyTooSlowError,
    ServerLimits,
    read_body,
)
from appliance.net.http_server import BoundedServer, RateLimited
from appliance.net.listen import parsed
from appliance.tokens.issue import issue
from appliance.tokens.server_config import TokenServerSettings, read_settings
from appliance.tokens.server_limits import IssueLog, limits

MAX_BODY = 16 * 1024
"""Bytes; a request contains two or three short names."""
_LONGEST_NAME = 200
_ROOM_KEYS = ("room_name", "roomName", "room")
_IDENTITY_KEYS = ("participant_identity", "participantIdentity", "identity")
_NAME_KEYS = ("participant_name", "participantName", "name")

_log = logging.getLogger(__name__)

Values = Mapping[str, object]


class _Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, sentence: str, key: str | None = None) -> None:
        super().__init__(status, sentence, key)
        self.status = status
        self.sentence = sentence
        self.key = key


def serve(path: Path | None, listen: str | None, environment: Mapping[str, str]) -> int:
    """Issue tokens until SIGTERM or Ctrl-C, and return the exit status.

    Raises:
        ConfigError: the configuration cannot be used.
        PageError: the server cannot listen on the address.
    """
    settings = read_settings(path, listen, environment)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    listener = _listener(settings.config.listen)
    host, port = listener.getsockname()[:2]
    _log.info("token server listens  address=%s port=%d", host, port)
    # uvicorn raises the signal once more after it has shut down cleanly.
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: None)
    server(settings, limits()).run(sockets=[listener])
    return 0


def server(settings: TokenServerSettings, limits: ServerLimits) -> BoundedServer:
    """Return the server; its sockets are passed to `run` or `serve`."""
    return BoundedServer(_config(RateLimited(app(settings), limits)), limits)


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        h11_max_incomplete_event_size=HEAD_BYTES,
        ws="none",
        lifespan="off",
        # No warnings: anybody could fill the journal with malformed requests.
        log_level="error",
        access_log=False,
        server_header=False,
    )


def app(
    settings: TokenServerSettings,
    now_s: Callable[[], float] = time.time,
    *,
    body_s: float = BODY_S,
) -> Starlette:
    """Return the ASGI application.

    Args:
        settings: of the server.
        now_s: returns seconds since the epoch.
        body_s: time limit for a request body.
    """
    issued = IssueLog()

    async def token(request: Request) -> JSONResponse:
        try:
            _check_origin(request, settings)
            values = await _values(request, body_s)
            answer = _answer(values, settings, now_s(), issued)
        except _Refused as exc:
            return _refusal(exc)
        status = 201 if request.method == "POST" else 200
        return JSONResponse(answer, status, headers={"cache-control": "no-store"})

    async def health(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/api/token", token, methods=["GET", "POST"]),
            Route("/health", health),
        ],
        middleware=_middleware(settings),
    )


def _middleware(settings: TokenServerSettings) -> list[Middleware]:
    sentence = "this host is not known here; add it to hosts."
    refusal = JSONResponse({"error": sentence}, 400)
    return [
        Middleware(HostCheck, names=settings.config.hosts, refusal=refusal),
        Middleware(
            CORSMiddleware,
            allow_origins=list(settings.config.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["content-type"],
        ),
    ]


def _check_origin(request: Request, settings: TokenServerSettings) -> None:
    origin = request.headers.get("origin")
    if origin is not None and origin not in settings.config.origins:
        sentence = "this origin is not allowed to request tokens; add it to origins."
        raise _Refused(403, sentence)


async def _values(request: Request, body_s: float) -> Values:
    if request.method == "GET":
        return dict(request.query_params)
    try:
        body = await read_body(request, MAX_BODY, body_s)
    except BodyTooLongError as exc:
        raise _Refused(413, f"the body may have at most {MAX_BODY} bytes.") from exc
    except BodyTooSlowError as exc:
        raise _Refused(408, "the body was not complete in time.") from exc
    except ClientDisconnect as exc:
        raise _Refused(400, "the body is incomplete.") from exc
    try:
        return msgspec.json.decode(body or b"{}", type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise _Refused(400, "expected a JSON object, found something else.") from exc


def _answer(
    values: Values, settings: TokenServerSettings, now_s: float, issued: IssueLog
) -> dict[str, object]:
    room = _text(values, _ROOM_KEYS) or _only_room(settings)
    if not settings.may_open(room):
        raise _Refused(403, "tokens for this room are not issued here.", "room_name")
    identity = _text(values, _IDENTITY_KEYS) or f"guest-{secrets.token_hex(4)}"
    name = _text(values, _NAME_KEYS) or identity
    ttl_s = settings.config.ttl_s
    token = issue(
        settings.key, settings.secret, identity, name, room, ttl_s, int(now_s)
    )
    issued.note(room, identity)
    return {
        "server_url": settings.url,
        "participant_token": token,
        "room_name": room,
        "participant_name": name,
        "serverUrl": settings.url,
        "participantToken": token,
        "roomName": room,
        "participantName": name,
        "expires_at": int(now_s) + ttl_s,
    }


def _text(values: Values, keys: tuple[str, ...]) -> str | None:
    key = next((key for key in keys if values.get(key) not in (None, "")), None)
    if key is None:
        return None
    value = values[key]
    if not isinstance(value, str) or len(value) > _LONGEST_NAME:
        raise _Refused(400, f"expected text of 1-{_LONGEST_NAME} characters.", key)
    if not value.isprintable():
        raise _Refused(400, "expected text on one line.", key)
    return value


def _only_room(settings: TokenServerSettings) -> str:
    room = settings.config.rooms[0]
    if room.endswith("*"):
        raise _Refused(400, "expected the name of a room, found none.", "room_name")
    return room


def _refusal(exc: _Refused) -> JSONResponse:
    body = {"error": exc.sentence} | ({"key": exc.key} if exc.key else {})
    return JSONResponse(body, exc.status)


def _listener(listen: str) -> socket.socket:
    place = parsed(listen)
    try:
        return socket.create_server(
            place, family=socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        )
    except OSError as exc:
        reason = os.strerror(exc.errno or 0).lower()
        sentence = f"cannot listen on {listen}: {reason}. Choose another address."
        raise PageError(sentence) from exc
