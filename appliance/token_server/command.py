"""`ptt-appliance token-server`: issues short-lived tokens for the configured rooms.

It stores nothing. `config` reads its configuration, and `application` responds to the
requests.
"""

import logging
import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import uvicorn
from starlette.responses import JSONResponse

from appliance.errors import ListenError
from appliance.net.http_server import (
    UVICORN,
    BoundedServer,
    ConnectionLimits,
    ServerLimits,
)
from appliance.net.rate_limit import Rate, RateLimit
from appliance.net.server_address import listener, parsed
from appliance.net.url import is_local
from appliance.process.logs import LogLimit, start_logging
from appliance.process.systemd import Notify, systemd_notify
from appliance.token_server.access import Networks
from appliance.token_server.application import REFUSED, app
from appliance.token_server.config import (
    TokenServerConfig,
    TokenServerSettings,
    read_settings,
)
from appliance.token_server.signing import Issuer

BACKLOG: Final = 256
"""Connections that wait to be accepted: after a power cut all boxes ask at once, and a
client that finds no place tries again after a second."""
TOO_MANY: Final = 429
BURST: Final = 5
"""Seconds' worth of requests in a burst over all addresses."""
BURST_EACH: Final = 20
"""The same from one address: many boxes behind one router may start at once."""

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
    allowed = ",".join(settings.config.allow)
    message = "token server listens  address=%s allow=%s port=%d"
    _log.info(message, host, allowed, port)
    if settings.is_development:
        _log.warning("the keys are those of livekit-server --dev, for trying only")
    elif is_local(f"http://{settings.config.listen}"):
        _log.info(
            "only programs on this machine reach this address; for boxes elsewhere "
            "write listen: 0.0.0.0:8787, and who may ask: allow, secret or boxes"
        )
    serves = server(settings, client_limits(settings.config))

    def end(*_: object) -> None:
        serves.should_exit = True

    # For the time before uvicorn handles signals; it also raises each once more after
    # it has shut down cleanly.
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, end)
    _tell_ready(systemd_notify(environment))
    serves.run(sockets=[listening])
    return 0


def _tell_ready(notify: Notify) -> None:
    """Tell systemd, or a container's supervisor, that clients can connect.

    The socket listens already; connections wait in its backlog until they are accepted.
    """
    try:
        notify("READY=1")
    except OSError as exc:
        _log.warning("systemd cannot be told that the server is ready: %s", exc)


def listening_socket(listen: str) -> socket.socket:
    """Return a socket that listens on `HOST:PORT`.

    Raises:
        ListenError: the port is in use or privileged, or no interface has the address.
    """
    try:
        return listener(*parsed(listen), BACKLOG)
    except OSError as exc:
        reason = os.strerror(exc.errno or 0).lower()
        remedy = "Choose another address, or a port from 1024 on."
        message = f"cannot listen on {listen}: {reason}. {remedy}"
        raise ListenError(message) from exc


def server(
    settings: TokenServerSettings,
    limits: ServerLimits,
    issuer: Issuer | None = None,
) -> BoundedServer:
    """Return the server; its sockets are passed to `run` or `serve`."""
    served = app(settings, limits, issuer=issuer)
    # No warnings: anybody could fill the journal with malformed requests.
    config = uvicorn.Config(served, **UVICORN, ws="none", log_level="error")
    return BoundedServer(config, limits)


def client_limits(config: TokenServerConfig) -> ServerLimits:
    """Return the limits on clients of the server.

    Trusted proxies bring all clients from one address: connections of one address are
    not limited then, but requests are, by the client's own address. A second brings at
    most as many new connections as may be open.
    """
    total, each = config.connections, config.connections_each
    per_s, per_s_each = config.requests_per_s, config.requests_per_s_each
    if config.trusted_proxies:
        each = total
    log_limit = LogLimit(1)

    def refused(_address: str) -> None:
        REFUSED.labels(TOO_MANY).inc()
        log_limit.log(_log, logging.INFO, "requests refused for rate")

    headers = {"retry-after": "5", "connection": "close"}
    if config.origins:
        # Sent before Origin is read; says nothing that a page may not know.
        headers["access-control-allow-origin"] = "*"
        headers["access-control-expose-headers"] = "retry-after"
    return ServerLimits(
        connections=ConnectionLimits(
            total=total, each=each, rate=Rate(total, total), rate_each=Rate(each, each)
        ),
        requests=RateLimit(
            Rate(BURST_EACH * per_s_each, per_s_each), Rate(BURST * per_s, per_s)
        ),
        refusal=JSONResponse(
            {"error": "too many requests; wait a few seconds."}, TOO_MANY, headers
        ),
        on_refused=refused,
        proxies=Networks(config.trusted_proxies),
    )
