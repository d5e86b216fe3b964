"""Load on a token server: `python -m tests.bench.token_server_load HOST:PORT`.

Prints one line of JSON: seconds, and the response time of each request in ms.
"""

import argparse
import json
import selectors
import socket
import sys
import time
from collections import deque

BODY = b'{"room_name": "kitchen", "participant_identity": "box", "provider": "x"}'
PATIENCE_S = 10.0
"""Time-out for a response."""


class Load:
    """Requests over a fixed number of connections."""

    def __init__(self, place: tuple[str, int], connections: int, *, keeps: bool):
        """Open the connections; unless `keeps`, each is used for one request."""
        self.times_ms: list[float] = []
        self.failed = 0
        self._place = place
        self._keeps = keeps
        end = b"" if keeps else b"Connection: close\r\n"
        self._request = (
            (
                f"POST /api/token HTTP/1.1\r\nHost: {place[0]}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n"
            ).encode()
            + end
            + b"\r\n"
            + BODY
        )
        self._selector = selectors.DefaultSelector()
        self._idle = deque(self._connected() for _ in range(connections))
        self._busy: dict[socket.socket, tuple[float, bytes]] = {}

    def run(self, count: int, per_s: float) -> float:
        """Send the requests, and return the seconds until the last response.

        Args:
            count: number of requests.
            per_s: requests a second; 0: each connection sends as soon as it can.
                The response time counts from the moment at which a request is due.
        """
        start_s = time.perf_counter()
        sent = 0
        while len(self.times_ms) + self.failed < count:
            now_s = time.perf_counter()
            while sent < count and self._idle:
                due_s = start_s + sent / per_s if per_s else now_s
                if due_s > now_s:
                    break
                self._send(due_s)
                sent += 1
            pause_s = 0.0005 if per_s else PATIENCE_S
            ready = self._selector.select(pause_s)
            for key, _ in ready:
                assert isinstance(key.fileobj, socket.socket)
                self._receive(key.fileobj)
            if not (ready or per_s):
                self.failed = count - len(self.times_ms)
        return time.perf_counter() - start_s

    def _connected(self) -> socket.socket:
        connection = socket.create_connection(self._place)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(connection, selectors.EVENT_READ)
        return connection

    def _send(self, due_s: float) -> None:
        connection = self._idle.popleft()
        self._busy[connection] = (due_s, b"")
        connection.send(self._request)

    def _receive(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(65_536)
        except ConnectionError:
            data = b""
        if connection not in self._busy:
            self._replace(connection)
            return
        due_s, before = self._busy[connection]
        answer = before + data
        if data and not is_complete(answer):
            self._busy[connection] = (due_s, answer)
            return
        del self._busy[connection]
        if answer.startswith(b"HTTP/1.1 201") and is_complete(answer):
            self.times_ms.append(1000 * (time.perf_counter() - due_s))
        else:
            self.failed += 1
        if data and self._keeps:
            self._idle.append(connection)
        else:
            self._replace(connection)

    def _replace(self, connection: socket.socket) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
        self._selector.unregister(connection)
        connection.close()
        self._idle.append(self._connected())


def is_complete(answer: bytes) -> bool:
    """Return whether head and body of the response are there."""
    head, end, body = answer.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return bool(end) and len(body) >= int(length or b"0")


def main() -> None:
    """Load the server as requested."""
    parser = argparse.ArgumentParser()
    parser.add_argument("listen")
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--per-s", type=float, default=0.0)
    parser.add_argument("--reconnect", action="store_true")
    options = parser.parse_args()
    host, _, port = options.listen.rpartition(":")
    place = (host, int(port))
    load = Load(place, options.connections, keeps=not options.reconnect)
    seconds = load.run(options.requests, options.per_s)
    told = {"seconds": seconds, "times_ms": load.times_ms, "failed": load.failed}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
