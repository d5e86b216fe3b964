"""Probes of the doctor: it asks servers and programs that may be missing or hang.

The clock of a server and the health of this box are asked without checking
certificates, because with a wrong clock none is valid.
"""

import ssl
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import httpx
import msgspec

from appliance.net.listen import parsed, url
from appliance.tokens.client import date_s

ASK_S: Final = 5.0
"""Longest time for one question; as for a token source's connection.

The system's tools only take long if a driver hangs or systemd is overloaded.
"""
_SCHEMES: Final = {"ws": "http", "wss": "https", "http": "http", "https": "https"}


def finished(command: list[str]) -> subprocess.CompletedProcess[str] | None:
    """Run a program; None if it is missing or does not end within `ASK_S`."""
    try:
        return subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=ASK_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


@dataclass(frozen=True, slots=True)
class RemoteClock:
    """Clock of another machine."""

    host: str
    now_s: float
    """Seconds since the epoch, at the time of its answer."""


class Health(msgspec.Struct, frozen=True):
    """Answer of the page's `/health`, which has all of these keys."""

    status: str
    faults: tuple[str, ...]
    fault_ids: tuple[str, ...]
    """Faults of the hardware, by their ids in the fault table."""


def remote_clock(urls: Iterable[str | None]) -> RemoteClock | None:
    """Return the clock of the first server that says its time; None: nobody does.

    Any status will do; nothing but the host is taken from the address.
    """
    for origin in map(_origin, filter(None, urls)):
        response = _asked("HEAD", origin) if origin else None
        now_s = date_s(response.headers.get("date", "")) if response else None
        if now_s is not None:
            return RemoteClock(urlsplit(origin).hostname or "", now_s)
    return None


def health(listen: str) -> Health | None:
    """Return what the box that listens there says of itself; None: no answer."""
    response = _asked("GET", f"{url(*parsed(listen), '127.0.0.1')}/health")
    if response is None:
        return None
    try:
        return msgspec.json.decode(response.content, type=Health)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _origin(server: str) -> str:
    """Return the address of the server alone; empty where it has no usable one."""
    try:
        parts = urlsplit(server)
        scheme, host, port = _SCHEMES.get(parts.scheme), parts.hostname, parts.port
    except ValueError:
        return ""
    if scheme is None or not host or "{" in host:
        return ""
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" + (f":{port}" if port else "") + "/"


def _asked(method: str, address: str) -> httpx.Response | None:
    """Return the response; None if there is none in time."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        # No proxies of the environment: as for the token source.
        with httpx.Client(verify=context, timeout=ASK_S, trust_env=False) as client:
            return client.request(method, address)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError):
        return None
