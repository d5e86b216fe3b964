"""Thread that exchanges periods with the sound process: captured ones for ones to play.

It runs the callback of the stream in the appliance, where its data is.
"""

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass

from appliance.audio.driver import SAMPLE_BYTES, PeriodCallback, StreamRequest
from appliance.audio.portaudio_callback import HEARD, PLAYED
from appliance.audio.portaudio_process import MOST_BYTES
from appliance.audio.realtime import raise_priority


@dataclass(slots=True)
class _Running:
    """Stream whose periods are exchanged."""

    number: int
    callback: PeriodCallback
    heard: memoryview
    message: bytearray
    played: memoryview


class PeriodThread:
    """Thread that calls the callback of one stream at a time.

    Thread: the supervisor's, except the callback.
    """

    def __init__(self, ours: socket.socket, flag: memoryview) -> None:
        """Prepare; `begin` starts the thread.

        Args:
            ours: our end of the socket.
            flag: byte that the sound process reads within an idle window.
        """
        self._socket = ours
        self._flag = flag
        self._received = bytearray(MOST_BYTES)
        self._running: _Running | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_free(self) -> bool:
        """Whether no stream uses it."""
        return self._running is None

    def begin(
        self, number: int, wanted: StreamRequest, callback: PeriodCallback
    ) -> None:
        """Call the callback from now on, for the stream with this number."""
        frames = wanted.period_frames * SAMPLE_BYTES
        heard_bytes = frames * wanted.microphone_channels
        message = bytearray(PLAYED.size + frames * wanted.speaker_channels)
        heard = memoryview(self._received)[HEARD.size : HEARD.size + heard_bytes]
        played = memoryview(message)[PLAYED.size :]
        callback.idle_window.share(self._flag)
        self._running = _Running(number, callback, heard, message, played)
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="card periods", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Stop calling the callback."""
        self._running = None

    def end(self) -> None:
        """Stop the thread and wait for its end."""
        self.stop()
        # It is waiting for the next period.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if self._thread is not None:
            self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        raise_priority()
        # A process that ends before it has read everything resets the connection.
        with suppress(ConnectionError):
            self._exchange()

    def _exchange(self) -> None:
        receive, send = self._socket.recv_into, self._socket.send
        received, unpack, pack = self._received, HEARD.unpack_from, PLAYED.pack_into
        while receive(received):
            running = self._running
            number, period, skipped, flags, adc_s = unpack(received)
            if running is None or running.number != number:
                continue
            window = running.callback.idle_window
            window.left -= skipped
            running.callback.call(running.heard, running.played, flags, adc_s)
            pack(running.message, 0, number, period, window.left)
            # A process that does not read is about to be killed.
            with suppress(OSError):
                send(running.message, socket.MSG_DONTWAIT)
