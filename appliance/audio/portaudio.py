"""PortAudio driver: each stream, and each search for cards, is a process of its own.

    appliance (here)                       sound process (`sound_process`)
    SoundProcess      <-- loaded --------  when it starts
                      <-- cards ---------  searches for them
                      --- stream ------->  opens and starts it, again too
                      <-- rate, latency -
    Periods           <-- 10 ms heard ---  PortAudio's callback, which waits for
                      --- 10 ms to play->  the answer or plays silence
    IdleWindow.end    --- shared byte -->  ends an idle window

Each answer has a time limit. A process that does not answer is killed, which is always
safe: the kernel closes its card, and the other processes go on. A process needs 4 MB.
Its standard output and error are memory of a fixed size, because PortAudio was observed
to write 880,000 lines in three seconds.
"""

import fcntl
import marshal
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from mmap import mmap
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

from appliance.audio.driver import (
    FULL_RATE_HZ,
    RATES_HZ,
    SAMPLE_BYTES,
    PeriodCallback,
    Stream,
    StreamRequest,
)
from appliance.audio.sound_process import (
    DONE,
    HEARD,
    MAX_BYTES,
    NO_LIBRARY,
    NO_PACKAGE,
    OUTPUT_START,
    PLAYED,
    Request,
    raise_priority,
)
from appliance.core import fault_table
from appliance.errors import SoundError
from appliance.sound_cards.devices import OURS

ANY_CARD: Final = "sound"
"""Device name in errors that concern no single card."""
START: Final = "start"
"""Task of loading the libraries."""
START_S: Final = 5.0
"""Time limit for that, from a slow disk."""
PATIENCE_S: Final = 3.0
"""Time limit of a search, and of opening a card, which takes up to a second."""
RETRY_S: Final = 1.5
"""The same after one that hung: sound must be back 3 s after the cause is gone."""
PATIENT_EVERY: Final = 10
"""One in so many attempts has the long limit: the card may only be slow."""
KILLED_S: Final = 1.0
"""Time in which a killed process ends, unless it is stuck in the kernel."""
WAITING_BYTES: Final = 32_768
"""Periods that wait for the appliance, some ten of them; later ones are dropped."""
OUTPUT_BYTES: Final = 16_384
"""Size of the shared memory, which is mostly for what native libraries write."""
BLOCKED_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Blocked in the sound process: systemd and Ctrl-C address the appliance, which still
needs it."""
_CONFIGURATION_LINE: Final = re.compile(
    r"ALSA lib conf\.c:\d+:\(\w+\) (?P<file>[^:]*):(?P<line>\d+):\d+:(?P<words>.*)"
)
"""Source: alsa-lib 1.2, conf.c, `snd_config_error`. The file is empty or `_toplevel_`
for the outermost one."""
_BROKEN_FILE: Final = re.compile(r"\) (?P<file>.+) may be old or corrupted")
_NO_BANDWIDTH: Final = "No space left on device"
"""`ENOSPC` of a USB card. Source: Linux, Documentation/driver-api/usb/error-codes.rst:
the request would overcommit the bandwidth for periodic transfers."""
Value: TypeAlias = Any
"""What an answer has: numbers, texts and lists of them."""


class PortAudio:
    """Implements `driver.Driver`. Thread: one at a time, except the callbacks."""

    def __init__(self) -> None:
        """Start without a process."""
        self._found: SoundProcess | None = None
        """Process that has searched for cards, and may open a stream."""
        self._names: set[str] = set()
        """Names of the devices that it has found."""
        self._killed: list[SoundProcess] = []
        """Those that failed and may be stuck in the kernel."""
        self._hangs = 0
        """Those since a stream was last opened."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the search; streams have to be closed by themselves."""
        if self._found is not None:
            self._found.close()
        self._found = None

    def devices(self) -> Iterable[Mapping[str, object]]:
        """Return the devices that can be opened now.

        Raises:
            SoundError: also with an error in asound.conf.
        """
        self.close()
        self._found, devices = self._searched()
        self._names = {name for name, *_ in devices}
        keys = "name", "max_input_channels", "max_output_channels", "default_samplerate"
        return [dict(zip(keys, facts, strict=True)) for facts in devices]

    def open(
        self,
        wanted: StreamRequest,
        callback: Callable[[int], PeriodCallback],
        instead_of: Stream | None = None,
    ) -> Stream:
        """Open and start a stream; `callback` makes its callback for the rate in Hz."""
        endpoints = wanted.endpoint("microphone"), wanted.endpoint("speaker")
        if isinstance(instead_of, SoundProcess):
            process = instead_of
        elif self._found and {name for name, _ in endpoints if name} <= self._names:
            process, self._found = self._found, None
        else:
            self.close()
            process, _ = self._searched()
        least_hz = 0 if wanted.is_any_rate else FULL_RATE_HZ
        process.request((*endpoints, RATES_HZ, least_hz, wanted.latency_s))
        rate_hz, process.latency_s = self._answer(process, wanted.device_name, "open")
        self._hangs = 0
        if not rate_hz:
            process.close()
            reason = fault_table.CARD_RATES.text(rates=", ".join(map(str, RATES_HZ)))
            raise SoundError(wanted.device_name, reason)
        frame_bytes = rate_hz // 100 * SAMPLE_BYTES
        sizes = (frame_bytes * channels for _, channels in endpoints)
        process.run(callback(rate_hz), *sizes)
        return process

    def _searched(self) -> tuple["SoundProcess", Value]:
        """Return a new process and the devices that it has found."""
        self._killed = [each for each in self._killed if not each.has_ended]
        for stuck in self._killed:
            # The kernel does not let it go, and another one would fare the same.
            raise SoundError(ANY_CARD, stuck.failure())
        try:
            process = SoundProcess()
        except OSError as exc:
            reason = fault_table.SOUND_NOT_STARTED.text(error=exc.strerror or exc)
            raise SoundError(ANY_CARD, reason) from exc
        self._answer(process, ANY_CARD, START)
        return process, self._answer(process, ANY_CARD, "search")

    def _answer(self, process: "SoundProcess", card: str, task: str) -> Value:
        limit_s = RETRY_S if self._hangs % PATIENT_EVERY else PATIENCE_S
        limit_s = START_S if task == START else limit_s
        try:
            return process.answer(card, task, limit_s)
        except SoundError as exc:
            self._hangs += bool(fault_table.CARD_STUCK.likeness(exc.reason))
            self._killed.append(process)
            raise


class SoundProcess:
    """A sound process, from its start to its end; implements `driver.Stream`.

    Thread: one at a time, except the callback's.
    """

    def __init__(self) -> None:
        """Start it; `OSError`: there is no memory, file or process left."""
        self.latency_s = 0.0
        self._failure = ""
        self._periods: Periods | None = None
        with ExitStack() as kept, ExitStack() as passed:
            self._memory = _bounded_memory()
            kept.callback(os.close, self._memory)
            self._control, control = _pair(kept, passed)
            self._socket, stream = _pair(kept, passed)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, WAITING_BYTES)
            stream.settimeout(0)
            self._child = _started(control, self._memory, stream.fileno())
            self._opened = kept.pop_all()

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._child.poll() is not None

    def failure(self) -> str:
        """Return why it has ended; empty: it runs."""
        if not self._failure and self.has_ended:
            self._end(self._cause(""))
        return self._failure

    def answer(self, card: str, task: str, limit_s: float) -> Value:
        """Return the answer when a task is done.

        Raises:
            SoundError: PortAudio refuses, or the process ends or does not answer in
                time; then it is killed.
        """
        message = b""
        try:
            self._control.settimeout(limit_s)
            message = self._control.recv(MAX_BYTES)
        except TimeoutError:
            # Loading it from a slow disk takes its time; no card is at fault.
            late = fault_table.SOUND_NOT_STARTED.text(error="no answer")
            stuck = fault_table.CARD_STUCK.text(call=task)
            self._end(late if task == START else stuck)
        except OSError:
            pass  # It ended before it had read everything.
        if message:
            kind, *values = marshal.loads(message)
            if kind == DONE:
                return values[0]
            self._end(_refusal(kind, *values))
        elif not self._failure:
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(KILLED_S)
            self._end(self._cause(f", in {task}"))
        raise SoundError(card, self._failure)

    def request(self, request: Request) -> None:
        """Let it open its stream, again too; the next answer has rate and latency."""
        # One that has ended does not answer.
        with suppress(OSError):
            self._control.send(marshal.dumps(request))

    def run(
        self, callback: PeriodCallback, heard_bytes: int, played_bytes: int
    ) -> None:
        """Call the callback from now on, with periods of these sizes."""
        callback.idle_window.share(memoryview(mmap(self._memory, OUTPUT_START))[:1])
        if self._periods is None:
            self._periods = Periods(self._socket, callback, heard_bytes, played_bytes)
        self._periods.callback = callback

    def close(self) -> None:
        """Kill it, if it runs; the kernel closes the card."""
        self._end("closed")

    def _end(self, reason: str) -> None:
        if self._failure:
            return
        self._failure = reason
        self._child.kill()
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(KILLED_S)
        if self._periods is not None:
            self._periods.end()
        self._opened.close()

    def _cause(self, within: str) -> str:
        """Return why it has ended by itself."""
        code = self._child.poll() or 0
        if code == -signal.SIGXCPU:
            # It has exceeded the limit that it sets itself.
            return fault_table.CARD_STOPPED.text()
        end = signal.Signals(-code).name if code < 0 else f"status {code}"
        size = OUTPUT_BYTES - OUTPUT_START
        written = os.pread(self._memory, size, OUTPUT_START).decode(errors="replace")
        last = written.rstrip("\0").strip().rpartition("\n")[2] if code > 0 else ""
        return fault_table.SOUND_CRASHED.text(end=f"{last or end}{within}")


class Periods(threading.Thread):
    """Thread that calls the callback of a stream with each period."""

    def __init__(
        self,
        ours: socket.socket,
        callback: PeriodCallback,
        heard_bytes: int,
        played_bytes: int,
    ) -> None:
        """Start the thread; `ours` is a socket to the sound process."""
        super().__init__(name="card periods", daemon=True)
        self._socket = ours
        self.callback = callback
        self._sizes = heard_bytes, played_bytes
        self.start()

    def end(self) -> None:
        """Stop the thread and wait for its end."""
        # It is waiting for the next period.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self.join()

    def run(self) -> None:
        """Exchange periods until the socket is shut down."""
        raise_priority()
        # A process that ends before it has read everything resets the connection.
        with suppress(ConnectionError):
            self._exchange(*self._sizes)

    def _exchange(self, heard_bytes: int, played_bytes: int) -> None:
        receive, send = self._socket.recv_into, self._socket.send
        unpack, pack = HEARD.unpack_from, PLAYED.pack_into
        received, message = bytearray(MAX_BYTES), bytearray(PLAYED.size + played_bytes)
        heard = memoryview(received)[HEARD.size : HEARD.size + heard_bytes]
        played = memoryview(message)[PLAYED.size :]
        while receive(received):
            period, skipped, flags, adc_s = unpack(received)
            left = self.callback.call(heard, played, flags, adc_s, skipped)
            pack(message, 0, period, left)
            # A process that does not read is about to be killed.
            with suppress(OSError):
                send(message, socket.MSG_DONTWAIT)


def reason_in(written: str) -> str:
    """Return the mistake in ALSA's configuration that is named; empty: none is."""
    place, file = _CONFIGURATION_LINE.search(written), _BROKEN_FILE.search(written)
    if place is None:
        return ""
    named = place["file"].strip()
    if named in {"", "_toplevel_"} and file is not None:
        named = file["file"].strip()
    return fault_table.ALSA_CONFIGURATION.text(
        file=named or "the ALSA configuration",
        line=place["line"],
        words=place["words"].strip(),
    )


def with_host_text(sentence: str, host_text: str) -> str:
    """Return PortAudio's sentence with ALSA's text, if any, and a remedy if known."""
    if not host_text:
        return sentence
    if host_text == _NO_BANDWIDTH:
        return fault_table.USB_BANDWIDTH.text(sentence=sentence, host=host_text)
    return f"{sentence} ({host_text})"


def _refusal(kind: int, *values: Value) -> str:
    """Return the reason in an answer that is none of success."""
    if kind == NO_PACKAGE:
        return fault_table.SOUND_PACKAGE.text()
    if kind == NO_LIBRARY:
        return fault_table.SOUND_LIBRARY.text(error=values[0])
    reason, host_text, written = values
    mistake = reason_in(written.decode(errors="replace"))
    return mistake or with_host_text(reason, host_text)


def _pair(kept: ExitStack, passed: ExitStack) -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return kept.enter_context(ours), passed.enter_context(theirs)


def _bounded_memory() -> int:
    """Return a descriptor that takes `OUTPUT_BYTES` and refuses the rest."""
    memory = os.memfd_create("ptt-sound", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.ftruncate(memory, OUTPUT_BYTES)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    os.lseek(memory, OUTPUT_START, os.SEEK_SET)
    return memory


def _started(
    control: socket.socket, memory: int, stream: int
) -> subprocess.Popen[bytes]:
    """Start isolated and without site-packages, which needs 4 MB instead of 10."""
    path = [str(Path(__file__).parents[2]), *filter(None, sys.path)]
    main = "from appliance.audio.sound_process import main\nmain()"
    code = f"import sys\nsys.path[:] = {path!r}\n{main}"
    command = [sys.executable, "-I", "-S", "-B", "-c", code]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED_SIGNALS)
    try:
        return subprocess.Popen(
            [*command, OURS, str(stream)],
            stdin=control.fileno(),
            stdout=memory,
            stderr=memory,
            pass_fds=[stream],
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
