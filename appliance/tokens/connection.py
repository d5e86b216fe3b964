"""One client's connection to the token server, with a bound on its patience."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS = 64
"""Our choice: a house full of boxes asks once in minutes; more are closed at once."""
REQUEST_S = 10.0
"""To begin a request: idle or endless ones must not use up the connections."""


class Connection(H11Protocol):
    """HTTP/1.1 that waits neither for ever nor for everybody.

    A request that has begun is answered at once, except for its body, which the route
    reads for at most `REQUEST_S`.
    """

    request_s = REQUEST_S
    most = CONNECTIONS

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or close it when there are too many."""
        assert isinstance(transport, asyncio.Transport)
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
            return
        self._check_later()

    def _check_later(self) -> None:
        self.loop.call_later(self.request_s, self._check, self.cycle)

    def _check(self, seen: object) -> None:
        """Close the connection if no request has begun since the last look."""
        if self not in self.connections:
            return
        if self.cycle is seen:
            self.transport.abort()
            return
        self._check_later()
