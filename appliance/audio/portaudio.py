"""PortAudio driver: PortAudio runs in a process of its own, see `sound_process_main`.

Each call has a time limit. A process that does not answer is killed, which also
releases the card, and the next search for cards starts a new one.
"""

import logging
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final, Self

from appliance.audio.driver import PeriodCallback, Stream, StreamRequest
from appliance.audio.sound_process_client import (
    ProcessGoneError,
    RefusedError,
    SoundProcess,
    Value,
    reason_in,
)
from appliance.core import fault_table
from appliance.errors import SoundError
from appliance.process.logs import FAULT_WINDOW_S, LogLimit

ANY_CARD: Final = "sound"
"""Device name in errors that concern no single card."""
PATIENCE_S: Final = 5.0
"""Time limit of a native call; opening a card takes up to a second."""
RETRY_S: Final = 2.0
"""The same after a call that hung: sound must be back 3 s after the cause is gone."""
PATIENT_EVERY: Final = 10
"""One in so many attempts has the long limit: the card may only be slow."""
CLOSE_S: Final = 2.0
LATE_REFUSAL_S: Final = 0.9
"""PortAudio waits a second for its thread to start. After that it cancels the thread,
which leaves the card open or alsa-lib locked: only a new process helps."""
MAX_SEARCHES: Final = 500
"""Searches of one process. PortAudio and alsa-lib keep 0.5 to 8 kB at each (measured),
and for a card that does not work there is one every two seconds."""
LOG_LINES: Final = 2
"""Lines about ended processes in an hour; losses of the card are logged as well."""
_log = logging.getLogger(__name__)


class PortAudio:
    """Implements `driver.Driver`. Thread: one at a time, except the callbacks."""

    def __init__(self) -> None:
        """Start without a process; entering the context starts it."""
        self._process: SoundProcess | None = None
        self._killed: SoundProcess | None = None
        self._failure = ""
        self._log_limit = LogLimit(LOG_LINES, window_s=FAULT_WINDOW_S)
        self._hangs = 0
        self._searches = 0
        self._streams = 0
        self.answered_at_s = 0.0
        """Time at which the last call ended, also if it ended the process."""

    def __enter__(self) -> Self:
        """Start the process, which searches for cards."""
        try:
            self.renew()
        except SoundError:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def failure(self) -> str:
        """Return why every stream has ended; empty: they have not."""
        process = self._process
        if process is not None and process.has_ended:
            self._discard(process, process.cause)
        return self._failure if self._process is None else ""

    def devices(self) -> Iterable[Mapping[str, object]]:
        """Return the devices found at the last initialisation."""
        found = self._call(ANY_CARD, "devices")
        keys = "name", "max_input_channels", "max_output_channels", "default_samplerate"
        return [
            dict(zip(keys, (name.decode(errors="replace"), *facts), strict=True))
            for name, *facts in found
        ]

    def renew(self) -> None:
        """Initialise PortAudio again, because it finds new cards only then.

        Raises:
            SoundError: also with an error in asound.conf, or if the process cannot be
                started.
        """
        if self._searches >= MAX_SEARCHES:
            self.close()
        if self._process is None:
            if self._killed is not None and not self._killed.has_ended:
                # The kernel does not let it go, and another one would fare the same.
                raise SoundError(ANY_CARD, self._failure)
            try:
                self._process = SoundProcess()
            except OSError as exc:
                reason = fault_table.SOUND_NOT_STARTED.text(error=exc.strerror or exc)
                raise SoundError(ANY_CARD, reason) from exc
            self._searches = 0
        missing, error = self._call(ANY_CARD, "load", limit_s=PATIENCE_S)
        if missing == "package":
            raise SoundError(ANY_CARD, fault_table.SOUND_PACKAGE.text())
        if missing:
            raise SoundError(ANY_CARD, fault_table.SOUND_LIBRARY.text(error=error))
        self._searches += 1
        self._call(ANY_CARD, "initialise")

    def can(self, wanted: StreamRequest) -> bool:
        """Return whether PortAudio supports such a stream."""
        return bool(self._call(wanted.device_name, "can", *_parameters(wanted)))

    def open(self, wanted: StreamRequest, callback: PeriodCallback) -> Stream:
        """Open a stream; `start` of the result starts the callbacks."""
        name, process = wanted.device_name, self._process
        if process is None:
            raise SoundError(name, self.failure())
        self._streams += 1
        slot = process.take(self._streams, wanted, callback)
        opened = _Opened(self, process, name, slot)
        try:
            opened.latency_s = self._call(
                name, "open", slot, self._streams, *_parameters(wanted)
            )
        except SoundError:
            process.release(slot)
            raise
        return opened

    def close(self) -> None:
        """End the process, and with it every stream."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()

    def start_stream(self, process: SoundProcess, name: str, slot: int) -> None:
        """Start the callbacks of a stream, if its process is still there."""
        if process is not self._process:
            raise SoundError(name, self.failure())
        begun_s = time.monotonic()
        try:
            self._call(name, "start", slot)
        except SoundError as exc:
            if self._process and time.monotonic() - begun_s > LATE_REFUSAL_S:
                self._discard(process, exc.reason)
            raise
        self._hangs = 0

    def close_stream(self, process: SoundProcess, slot: int) -> None:
        """Close a stream, if its process is still there."""
        if process is self._process:
            with suppress(SoundError):
                self._call(ANY_CARD, "close", slot, limit_s=CLOSE_S)
        process.release(slot)

    def _call(
        self, card: str, name: str, *arguments: Value, limit_s: float | None = None
    ) -> Value:
        """Let the process make a call; an error if it refuses or has ended."""
        process = self._process
        if process is None:
            raise SoundError(card, self.failure())
        if limit_s is None:
            limit_s = RETRY_S if self._hangs % PATIENT_EVERY else PATIENCE_S
        try:
            return process.call(name, *arguments, limit_s=limit_s)
        except RefusedError as exc:
            cause = reason_in(exc.output) if card == ANY_CARD else ""
            raise SoundError(card, cause or exc.reason) from exc
        except ProcessGoneError as exc:
            self._discard(process, str(exc))
            raise SoundError(card, str(exc)) from exc
        finally:
            self.answered_at_s = time.monotonic()

    def _discard(self, process: SoundProcess, reason: str) -> None:
        self._process, self._hangs, self._failure = None, self._hangs + 1, reason
        message = "sound process ended  reason=%r"
        self._log_limit.log(_log, logging.WARNING, message, reason)
        process.kill()
        self._killed = process


class _Opened:
    def __init__(
        self, driver: PortAudio, process: SoundProcess, name: str, slot: int
    ) -> None:
        self._driver = driver
        self._process = process
        self._name = name
        self._slot: int | None = slot
        self.latency_s = 0.0

    def start(self) -> None:
        assert self._slot is not None
        self._driver.start_stream(self._process, self._name, self._slot)

    def close(self) -> None:
        slot, self._slot = self._slot, None
        if slot is not None:
            self._driver.close_stream(self._process, slot)


def _parameters(wanted: StreamRequest) -> tuple[int, int, int, int, int, float]:
    """Return the parameters as `sound_process_main` takes them."""
    devices = wanted.microphone, wanted.speaker
    microphone, speaker = (0 if x is None else x.index for x in devices)
    heard = microphone, wanted.channels("microphone")
    played = speaker, wanted.channels("speaker")
    return (*heard, *played, wanted.rate_hz, wanted.latency_s)
