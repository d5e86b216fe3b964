"""`ptt-appliance token-server`: issues short-lived tokens for the configured rooms.

It stores nothing. `config` reads its configuration, and `application` responds to the
requests.
"""

import errno
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import uvicorn
from starlette.responses import JSONResponse

from appliance.errors import ListenError
from appliance.net.http_protocol import ConnectionLimits, ServerLimits
from appliance.net.http_server import UVICORN, BoundedServer
from appliance.net.listen import listener, parsed
from appliance.net.rate_limit import Rate, RateLimit
from appliance.net.url import is_local, without_query
from appliance.process.logs import start_logging
from appliance.process.systemd import Notify, systemd_notify
from appliance.token_server.access import Networks, Reason
from appliance.token_server.application import Counts, app
from appliance.token_server.config import (
    TokenServerConfig,
    TokenServerSettings,
    read_settings,
)
from appliance.token_server.signing import Issuer

BACKLOG: Final = 256
"""Connections that wait to be accepted: after a power cut all boxes ask at once, and a
client that finds no place tries again after a second."""
BURST: Final = 5
"""Seconds' worth of requests in a burst over all addresses."""
BURST_EACH: Final = 20
"""The same from one address: many boxes behind one router may start at once."""
CONNECTS: Final = Rate(burst=100, per_s=50)
"""New connections at least: each request of a box has one of its own."""
CONNECTS_EACH: Final = Rate(burst=40, per_s=10)
_FOR_PAGES: Final = {
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "retry-after",
}
"""Headers with which a web page can read a refusal; it is sent before `Origin` is read,
and says nothing that a page may not know."""

_log = logging.getLogger(__name__)


def serve(path: Path | None, listen: str | None, environment: Mapping[str, str]) -> int:
    """Issue tokens until SIGTERM or Ctrl-C, and return the exit status.

    Raises:
        ConfigError: the configuration cannot be used.
        ListenError: the server cannot listen on the address.
    """
    settings = read_settings(path, listen, environment)
    start_logging("info", settings.secrets)
    listening = listening_socket(settings.config.listen)
    host, port = listening.getsockname()[:2]
    _log.info("token server listens  address=%s port=%d", host, port)
    for sentence in warnings(settings):
        _log.warning("%s", sentence)
    ready = partial(_tell_ready, systemd_notify(environment))
    serves = server(settings, client_limits(settings.config), started=ready)

    def end(*_: object) -> None:
        serves.should_exit = True

    # For the time before uvicorn handles signals; it also raises each once more after
    # it has shut down cleanly.
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, end)
    serves.run(sockets=[listening])
    return 0


def _tell_ready(notify: Notify) -> None:
    """Tell systemd that connections are accepted."""
    try:
        notify("READY=1")
    except OSError as exc:
        _log.warning("systemd cannot be told that the server is ready: %s", exc)


def warnings(settings: TokenServerSettings) -> Iterator[str]:
    """Yield what an administrator should know about the configuration."""
    config = settings.config
    is_here = is_local(f"http://{config.listen}")
    if is_local(settings.url) and (config.trusted_proxies or not is_here):
        yield (
            f"LIVEKIT_URL is {without_query(settings.url)}, which means the "
            "box itself to each box: write the server's address in the network"
        )
    if settings.is_development:
        yield "the keys are those of `livekit-server --dev`, for trying only"
    if is_here:
        yield (
            "only programs on this machine reach this address; for boxes elsewhere "
            "write listen: 0.0.0.0:8787, and who may ask: allow, secret or boxes"
        )
    elif "anybody" in config.allow:
        yield "everybody who reaches this address gets tokens (allow: [anybody])"
    elif set(config.allow) <= {"loopback"} and not (
        config.secret or config.boxes or config.user_header
    ):
        yield "other machines are refused; write who may ask: allow, secret or boxes"


def listening_socket(listen: str) -> socket.socket:
    """Return a socket that listens on `HOST:PORT`.

    Raises:
        ListenError: the port is in use or privileged, or no interface has the address.
    """
    try:
        return listener(*parsed(listen), BACKLOG)
    except OSError as exc:
        raise ListenError(listen_sentence(listen, exc)) from exc


def listen_sentence(listen: str, exc: OSError) -> str:
    """Return why the address cannot be listened on, and what to do."""
    remedy = "Choose another address."
    if exc.errno == errno.EACCES:
        remedy = "Ports below 1024 are for root: choose a higher one."
    reason = os.strerror(exc.errno or 0).lower()
    return f"cannot listen on {listen}: {reason}. {remedy}"


def server(
    settings: TokenServerSettings,
    limits: ServerLimits,
    issuer: Issuer | None = None,
    started: Callable[[], object] = lambda: None,
) -> BoundedServer:
    """Return the server; its sockets are passed to `run` or `serve`.

    `started` is called when it accepts connections.
    """
    counts = Counts()
    limits = replace(limits, on_refused=lambda _: counts.note_refused(Reason.RATE))
    served = app(settings, limits, issuer=issuer, counts=counts)
    # No warnings: anybody could fill the journal with malformed requests.
    config = uvicorn.Config(served, **UVICORN, ws="none", log_level="error")
    return BoundedServer(config, limits, started)


def client_limits(config: TokenServerConfig) -> ServerLimits:
    """Return the limits on clients of the server.

    Connections of one address are not limited where there are trusted proxies, which
    bring all clients from one address; requests are, by the client's own address.
    """
    total, each = config.connections, config.connections_each
    per_s, per_s_each = config.requests_per_s, config.requests_per_s_each
    rate = _at_least(CONNECTS, total, per_s)
    rate_each = _at_least(CONNECTS_EACH, each, per_s_each)
    if config.trusted_proxies:
        each, rate_each = total, rate
    headers = {"retry-after": "5", "connection": "close"}
    error = {"error": "too many requests; wait a few seconds."}
    return ServerLimits(
        connections=ConnectionLimits(
            total=total, each=each, rate=rate, rate_each=rate_each
        ),
        requests=RateLimit(
            Rate(BURST_EACH * per_s_each, per_s_each), Rate(BURST * per_s, per_s)
        ),
        refusal=JSONResponse(
            error, 429, headers | _FOR_PAGES if config.origins else headers
        ),
        proxies=Networks(config.trusted_proxies),
    )


def _at_least(rate: Rate, burst: float, per_s: float) -> Rate:
    return Rate(burst=max(rate.burst, burst), per_s=max(rate.per_s, per_s))
