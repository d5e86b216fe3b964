"""Settings and clients of the token server, for the tests of this folder."""

import json
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import jwt

from appliance.token_server.config import TokenServerSettings, read_settings
from appliance.token_server.server import app, client_limits
from appliance.token_server.signing import Issue

NOW_S = 1_700_000_000
SECRET = "0123456789abcdef0123456789abcdef"
SHARED = "a-shared-secret-of-the-team"
BOX = "the-secret-of-the-kitchen-box"
ENVIRONMENT = {
    "LIVEKIT_URL": "wss://lk.example.com",
    "LIVEKIT_API_KEY": "key",
    "LIVEKIT_API_SECRET": SECRET,
    "TOKEN_SERVER_ROOMS": "[kitchen, 'lab-*']",
    "TOKEN_SERVER_ORIGINS": "['https://app.example.com']",
}


def environment(**keys: object) -> dict[str, str]:
    """Return the environment of a server with these keys."""
    given = {f"TOKEN_SERVER_{key.upper()}": json.dumps(keys[key]) for key in keys}
    return ENVIRONMENT | given


def settings(variables: Mapping[str, str] | None = None, **keys: object):
    """Return the settings of a server with these keys and variables."""
    return read_settings(None, None, {**environment(**keys), **(variables or {})})


@asynccontextmanager
async def asking(*, address: str = "127.0.0.1", host: str = "127.0.0.1", **keys):
    """Yield a client at `address` of a server with these keys, reached as `host`."""
    async with asking_server(settings(**keys), address, host) as client:
        yield client


@asynccontextmanager
async def asking_server(
    chosen: TokenServerSettings,
    address: str = "127.0.0.1",
    host: str = "127.0.0.1",
    issue: Issue | None = None,
    now_s: Callable[[], float] = lambda: NOW_S,
):
    """Yield a client at `address` of a server with these settings."""
    serves = app(chosen, client_limits(chosen.config), now_s, issue=issue)
    transport = httpx.ASGITransport(serves, client=(address, 5000))
    async with httpx.AsyncClient(
        transport=transport, base_url=f"http://{host}:8787"
    ) as client:
        yield client


def claims_of(response: httpx.Response) -> dict[str, Any]:
    """Return the verified claims of the token in a response."""
    assert response.is_success, response.text
    return jwt.decode(
        response.json()["participant_token"],
        SECRET,
        algorithms=["HS256"],
        options={"verify_exp": False, "verify_nbf": False},
    )


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}
