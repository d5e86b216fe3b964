"""Acceptor of TCP connections with limits, which handles every error of accept().

asyncio's own server reports a lack of file descriptors to the loop's exception handler,
once per connection in the backlog, and raises the network errors that accept() returns.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass

from appliance.net.minute_log import MinuteLog
from appliance.net.rate_limit import Rate, RateLimit

BATCH = 16
"""Connections accepted in one iteration of the event loop."""
PAUSE_S = 0.02
"""Pause after a full batch or a refusal. Our choice: a flood costs at most 50 batches a
second (800 accepted and closed sockets, 2 % of a PC's core)."""
NO_RESOURCE_S = 1.0
"""Pause when file descriptors or memory are used up; asyncio's is as long."""
NO_RESOURCE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
FROM_NETWORK = frozenset(
    {
        *(errno.EPERM, errno.EPROTO, errno.ENOPROTOOPT, errno.EOPNOTSUPP),
        *(errno.ENETDOWN, errno.EHOSTDOWN, errno.ENONET, errno.ENETUNREACH),
        *(errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.ECONNABORTED, errno.ECONNRESET),
        *(errno.ENOSR, errno.ESOCKTNOSUPPORT, errno.EPROTONOSUPPORT),
    }
)
"""Errors of the new connection, not of the listening socket. Source: accept(2)."""

Client = tuple[str, int]
"""Address and port of the client."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Limits on connections; those beyond are closed as soon as they are accepted."""

    total: int
    """Open at once."""
    each: int
    """Open at once from one address."""
    rate: Rate
    """Of new connections, over all addresses."""
    rate_each: Rate
    """Of new connections from one address."""


class Acceptor:
    """Acceptor of one listening socket; creates a transport for each connection.

    Thread: the loop's.
    """

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[Client], asyncio.Protocol],
        limits: ConnectionLimits,
    ) -> None:
        """Start accepting; `protocol` creates a protocol for each connection."""
        self._listening = listening
        self._protocol = protocol
        self._limits = limits
        self._rate = RateLimit(limits.rate_each, limits.rate)
        self._open: dict[socket.socket, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        self._refused = MinuteLog(_log_refused)
        self._failed = MinuteLog(_log_failed)
        listening.settimeout(0)
        self._resume()

    def close(self) -> None:
        """Stop accepting; open connections are not closed."""
        if self._is_closed:
            return
        self._is_closed = True
        self._loop.remove_reader(self._listening)
        if self._timer is not None:
            self._timer.cancel()

    def _resume(self) -> None:
        self._loop.add_reader(self._listening, self._accept)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listening)
        self._timer = self._loop.call_later(seconds, self._resume)

    def _accept(self) -> None:
        is_idle = True
        for _ in range(BATCH):
            try:
                connection, address = self._listening.accept()
            except BlockingIOError:
                break
            except OSError as exc:
                self._pause(self._wait_s(exc))
                return
            is_idle = self._admit(connection, address) and is_idle
        else:
            is_idle = False
        if not is_idle:
            self._pause(PAUSE_S)

    def _wait_s(self, exc: OSError) -> float:
        if exc.errno in NO_RESOURCE:
            self._failed.note()
            return NO_RESOURCE_S
        if exc.errno in FROM_NETWORK:
            return PAUSE_S
        raise exc

    def _admit(self, connection: socket.socket, address: tuple[str, int]) -> bool:
        """Serve the connection if it is within the limits, and return whether it is."""
        host = address[0]
        if not self._rate.take(host) or self._is_full(host):
            connection.close()
            self._refused.note()
            return False
        self._open[connection] = host
        task = self._loop.create_task(self._connect(connection, (host, address[1])))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def _is_full(self, host: str) -> bool:
        # A closed socket has no descriptor; one whose transport still sends has one.
        self._open = {each: h for each, h in self._open.items() if each.fileno() >= 0}
        of_host = sum(each == host for each in self._open.values())
        return len(self._open) >= self._limits.total or of_host >= self._limits.each

    async def _connect(self, connection: socket.socket, client: Client) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._protocol(client), connection
            )
        except OSError:
            connection.close()


def _log_refused(count: int) -> None:
    _log.info("connections refused  count=%d", count)


def _log_failed(count: int) -> None:
    _log.warning("connections cannot be accepted: no resources  count=%d", count)
