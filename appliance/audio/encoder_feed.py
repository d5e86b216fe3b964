"""Feed of LiveKit's encoder, in whole packets."""

import threading
from collections.abc import Callable, Iterable

from appliance.pcm import Block, Packet


class EncoderFeed:
    """Feed of the encoder in whole packets; implements `ports.MicrophoneFeed`.

    Thread: `send` the sender's; `connect` and `disconnect` the loop's.
    """

    def __init__(self) -> None:
        """Start without a track."""
        self._sending = threading.Lock()
        self._send: Callable[[Block], None] | None = None
        self.blocks = 0
        """Number of blocks sent."""

    @property
    def is_connected(self) -> bool:
        """Whether there is a track, so that what is sent goes anywhere."""
        return self._send is not None

    def connect(self, send: Callable[[Block], None]) -> None:
        """Pass every packet to `send` from now on."""
        with self._sending:
            self._send = send

    def disconnect(self) -> None:
        """Stop sending; when this returns, `send` is not running."""
        with self._sending:
            self._send = None

    def send(self, packets: Iterable[Packet]) -> bool:
        """Send the packets and return whether a track is connected."""
        # One lock for all, so that a new track does not begin in between: its encoder
        # would combine the second half of one packet with the first of the next.
        with self._sending:
            if self._send is None:
                return False
            for packet in packets:
                for block in packet:
                    self._send(block)
                self.blocks += len(packet)
            return True
