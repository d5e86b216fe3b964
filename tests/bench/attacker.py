"""Load generator for a page, at the lowest priority: `python -m tests.bench.attacker`.

Prints how many connections or requests it made.
"""

import argparse
import itertools
import os
import socket
import sys
import time
from collections import deque
from contextlib import suppress

OPEN = 20
"""Number of connections for requests, or open at the same time."""
COOKIE = 'ptt_session="' + "\\\\" * 6000
"""12 kB, nearly the longest allowed head, with the escapes slowest to decode."""
PATHS = (("/health", ""), ("/", f"Cookie: {COOKIE}\r\n"))


class Flood:
    """Sequence of connections or requests to send."""

    def __init__(self, place: tuple[str, int], addresses: int) -> None:
        """Use this number of source addresses of 127.0.1.0/24 in turn."""
        self._place = place
        names = [f"127.0.1.{number + 1}" for number in range(addresses)]
        self._addresses = itertools.cycle(names)
        self._open: deque[socket.socket] = deque()
        host = f"Host: {place[0]}:{place[1]}\r\n"
        heads = [f"GET {path} HTTP/1.1\r\n{host}{more}\r\n" for path, more in PATHS]
        self._heads = itertools.cycle([head.encode() for head in heads])

    def connect(self) -> None:
        """Open one more connection, and reset the oldest."""
        self._open.append(self._connection())
        if len(self._open) > OPEN:
            self._open.popleft().close()

    def request(self) -> None:
        """Send a request on the connection idle for longest."""
        connection = (
            self._open.popleft() if len(self._open) >= OPEN else self._connection()
        )
        self._open.append(connection if self._asked(connection) else self._connection())

    def _asked(self, connection: socket.socket) -> bool:
        """Return whether the connection is usable, also while it is being opened."""
        try:
            while connection.recv(65_536):
                pass
        except BlockingIOError:
            pass
        except OSError:
            connection.close()
            return False
        else:
            connection.close()
            return False
        with suppress(OSError):
            connection.send(next(self._heads))
        return True

    def _connection(self) -> socket.socket:
        connection = socket.socket()
        connection.setblocking(False)
        connection.bind((next(self._addresses), 0))
        connection.connect_ex(self._place)
        return connection


def main() -> None:
    """Flood at the requested rate, or as fast as possible."""
    parser = argparse.ArgumentParser()
    parser.add_argument("listen")
    parser.add_argument("kind", choices=("connect", "request"))
    parser.add_argument("--per-s", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--addresses", type=int, default=1)
    options = parser.parse_args()
    os.nice(19)
    host, _, port = options.listen.rpartition(":")
    flood = Flood((host, int(port)), options.addresses)
    send = flood.connect if options.kind == "connect" else flood.request
    start_s, count = time.monotonic(), 0
    while (passed_s := time.monotonic() - start_s) < options.seconds:
        while count < passed_s * options.per_s:
            with suppress(OSError):
                send()
            count += 1
        time.sleep(0.001)
    sys.stdout.write(f"{count}\n")


if __name__ == "__main__":
    main()
