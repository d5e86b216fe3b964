"""Stand-in of the token sources in use: each refuses what the real one would refuse.

The host and path of a request choose the token source. Tokens are unsigned.
"""

from base64 import b64decode
from collections.abc import Awaitable, Callable
from secrets import token_hex
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Host, Route, Router

from tests.tokens.token_texts import dtelecom_jwt, grant, jwt_of

SERVER = "wss://lk.example.com"
PROXY = "tokens.example.com"
VOICE = {"provider": "elevenlabs", "voice_id": "EXAVITQu4vr4xnSDxMaL"}
SNAKE = {
    *("room_name", "participant_name", "participant_identity"),
    *("participant_metadata", "participant_attributes", "room_config"),
}
COOKIE = "random-participant-postfix"


class Refused(Exception):
    """The token source refuses the request with this status and text, as JSON."""


class RefusedInText(Exception):
    """The same as plain text, as `NextResponse` of Next.js writes it."""


def token(identity: str, room: str, room_config: object = None) -> str:
    return jwt_of(sub=identity, video=grant(room), roomConfig=room_config)


def need(found: object, status: int, text: str) -> Any:
    if not found:
        raise Refused(status, text)
    return found


async def body_of(request: Request) -> dict[str, Any]:
    kind = request.headers.get("content-type", "")
    need(kind.startswith("application/json"), 415, "expected JSON")
    body: dict[str, Any] = await request.json()
    return body


def connection(identity: str, room: str, name: str, config: object = None) -> Response:
    """Answer with the four fields of LiveKit's example applications."""
    return JSONResponse(
        {
            "serverUrl": SERVER,
            "roomName": room,
            "participantName": name,
            "participantToken": token(identity, room, config),
        }
    )


async def standard(request: Request) -> Response:
    """Follow LiveKit's page "Endpoint token generation"."""
    body = await body_of(request)
    need(body.keys() <= SNAKE, 400, "unknown field")
    room = body.get("room_name") or "room-1"
    answer = {
        "server_url": SERVER,
        "participant_token": token(
            body.get("participant_identity") or "user-1", room, body.get("room_config")
        ),
    }
    return JSONResponse(answer, 201)


async def with_key(request: Request) -> Response:
    key = request.headers.get("authorization")
    need(key == "Bearer your-key", 401, "who are you?")
    return await standard(request)


async def sandbox(request: Request) -> Response:
    need(request.headers.get("x-sandbox-id") == "your-id", 401, "unknown sandbox")
    return await standard(request)


async def old_sandbox(request: Request) -> Response:
    need(request.headers.get("x-sandbox-id") == "your-id", 401, "unknown sandbox")
    body = await body_of(request)
    room = need(body.get("roomName"), 400, "roomName is missing")
    name = need(body.get("participantName"), 400, "participantName is missing")
    return connection(name, room, name)


def need_parameter(request: Request, name: str) -> str:
    """Return a parameter; its absence is answered as LiveKit Meet does."""
    value = request.query_params.get(name)
    if not value:
        raise RefusedInText(400, f"Missing required query parameter: {name}")
    return value


async def meet(request: Request) -> Response:
    """Give an identity that the cookie of the first answer keeps the same."""
    room = need_parameter(request, "roomName")
    name = need_parameter(request, "participantName")
    postfix = request.cookies.get(COOKIE) or token_hex(2)
    response = connection(f"{name}__{postfix}", room, name)
    response.set_cookie(COOKIE, postfix, secure=True, httponly=True)
    return response


async def starter(request: Request) -> Response:
    body = await body_of(request)
    agents = body.get("room_config", {}).get("agents", [{}])
    name = agents[0].get("agent_name")
    if name is None:
        raise RefusedInText(500, "agent_name is missing")
    config = {"agents": [{"agentName": name}]}
    return connection("voice_assistant_user_7", "voice_room_7", "user", config)


async def quickstart(_: Request) -> Response:
    return PlainTextResponse(token("identity", "my-room"))


async def old_hook(request: Request) -> Response:
    identity = need(request.query_params.get("identity"), 400, "no identity")
    room = need(request.query_params.get("roomName"), 400, "no roomName")
    return JSONResponse({"identity": identity, "accessToken": token(identity, room)})


async def callable_function(request: Request) -> Response:
    """Follow Firebase's "Protocol specification for https.onCall"."""
    body = await body_of(request)
    if body.keys() != {"data"}:
        raise Refused(400, {"message": "Bad Request", "status": "INVALID_ARGUMENT"})
    data = body["data"]
    if request.headers.get("x-user-id") != data["identity"]:
        raise Refused(401, {"message": "No user", "status": "UNAUTHENTICATED"})
    access = token(data["identity"], data["room"])
    return JSONResponse({"result": {"url": SERVER, "token": access}})


async def own(request: Request) -> Response:
    identity = need(request.headers.get("x-user-id"), 401, "X-User-Id is missing")
    need(dict(request.query_params) == VOICE, 400, "unknown provider or voice")
    return connection(identity, "kitchen", "Kitchen")


async def dtelecom_get(request: Request) -> Response:
    need(request.query_params.get("room"), 400, "Missing room")
    need(request.query_params.get("identity"), 400, "Missing identity")
    return JSONResponse({"token": dtelecom_jwt(), "wsUrl": SERVER})


async def dtelecom_post(request: Request) -> Response:
    body = await body_of(request)
    need(body.get("room") and body.get("identity"), 400, "Missing room or identity")
    return JSONResponse({"token": dtelecom_jwt(), "wsUrl": SERVER})


async def gateway(request: Request) -> Response:
    key = request.headers.get("authorization")
    need(key == "Bearer your-key", 401, "no key")
    body = await body_of(request)
    need(body.get("room_name") and body.get("participant_identity"), 400, "no room")
    need(body.get("duration_minutes"), 400, "no duration")
    answer = {"session_id": "s-1", "token": dtelecom_jwt(), "ws_url": SERVER}
    return JSONResponse(answer | {"expires_at": "2099-01-01T00:00:00Z"})


async def refusal(_: Request, exc: Exception) -> Response:
    status, text = exc.args
    return JSONResponse({"error": text}, status)


async def refusal_in_text(_: Request, exc: Exception) -> Response:
    status, text = exc.args
    return PlainTextResponse(text, status)


Endpoint = Callable[[Request], Awaitable[Response]]
_POSTS: dict[tuple[str, str], Endpoint] = {
    ("cloud-api.livekit.io", "/api/v2/sandbox/connection-details"): sandbox,
    ("cloud-api.livekit.io", "/api/sandbox/connection-details"): old_sandbox,
    ("standard.example.com", "/getToken"): with_key,
    ("starter.example.com", "/api/connection-details"): starter,
    ("us-central1-your-project.cloudfunctions.net", "/getToken"): callable_function,
    ("dtelecom.example.com", "/api/join"): dtelecom_post,
    ("gateway.example.com", "/v1/webrtc/token"): gateway,
    ("example.org", "/api/token"): standard,
}
_GETS: dict[tuple[str, str], Endpoint] = {
    ("meet.example.com", "/api/connection-details"): meet,
    ("quickstart.example.com", "/getToken"): quickstart,
    ("react.example.com", "/api/get-participant-token"): old_hook,
    ("example.org", "/api/token"): own,
    ("dtelecom.example.com", "/api/token"): dtelecom_get,
}


def stand_in() -> Starlette:
    """Return the application with all token sources."""
    routes: dict[str, list[Route]] = {}
    for method, endpoints in (("POST", _POSTS), ("GET", _GETS)):
        for (host, path), endpoint in endpoints.items():
            route = Route(path, endpoint, methods=[method])
            routes.setdefault(host, []).append(route)
    hosts = [Host(host, Router(routes[host])) for host in routes]
    handlers = {Refused: refusal, RefusedInText: refusal_in_text}
    return Starlette(routes=hosts, exception_handlers=handlers)


class Network(httpx.AsyncBaseTransport):
    """Network in which every host is the stand-in, and two are a real server.

    `nas.local` is the server itself, `PROXY` a proxy in front of it with a log-in.
    """

    def __init__(self, port: int) -> None:
        """Send requests for the real server to this port of loopback."""
        self._port = port
        # The server trusts 127.0.0.1, the address of the proxy.
        self._real = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
        self._proxy = httpx.AsyncHTTPTransport(local_address="127.0.0.1")
        self._stand_in = httpx.ASGITransport(stand_in())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer as the host of the request would."""
        host = request.url.host
        if host not in {"nas.local", PROXY}:
            return await self._stand_in.handle_async_request(request)
        if host == PROXY:
            user = _user(request.headers.get("authorization", ""))
            if user is None:
                return httpx.Response(401, html="<h1>401 Authorization Required</h1>")
            # As nginx does, which passes the header Authorization on.
            request.headers["x-forwarded-user"] = user
            request.headers["x-forwarded-for"] = "198.51.100.7"
        request.url = request.url.copy_with(
            scheme="http", host="127.0.0.1", port=self._port
        )
        real = self._proxy if host == PROXY else self._real
        return await real.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connections to the real server."""
        await self._real.aclose()
        await self._proxy.aclose()


def _user(authorization: str) -> str | None:
    """Return the user of HTTP's basic authentication whose password is `password`."""
    scheme, _, text = authorization.partition(" ")
    user, _, password = b64decode(text).decode().partition(":")
    return user if (scheme, password) == ("Basic", "password") else None
