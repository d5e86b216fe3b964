"""The appliance's side of the sound process, whose own side is `sound_process_main`.

    appliance (here)                            sound process
    SoundProcess.call    -- name, arguments ->  a native call, e.g. Pa_OpenStream
                         <------- answer -----
    PeriodThread         <-- 10 ms captured --  PortAudio's callback, which waits for
                         --- 10 ms to play -->  the answer or plays silence
    IdleWindow.end       --- shared byte ---->  ends an idle window

The process is light to start (4 MB), and killing it is always safe: the kernel then
closes the cards. Its standard output and error are memory of a fixed size, because
PortAudio was observed to write 880,000 lines in three seconds. What alsa-lib says there
about the cause of a refusal is put into words.
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
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Any, Final, TypeAlias

from appliance.audio.driver import SAMPLE_BYTES, PeriodCallback, StreamRequest
from appliance.audio.realtime import raise_priority
from appliance.audio.sound_process_main import (
    CALL_BYTES,
    CALL_PLACE,
    HEARD,
    MAX_BYTES,
    PLAYED,
    SHARED_BYTES,
    STREAMS,
)
from appliance.core import fault_table
from appliance.sound_cards.alsa_devices import OURS

_CONFIGURATION_LINE: Final = re.compile(
    r"ALSA lib conf\.c:\d+:\(\w+\) (?P<file>[^:]*):(?P<line>\d+):\d+:(?P<words>.*)"
)
"""Source: alsa-lib 1.2, conf.c, `snd_config_load` and `snd_config_error`. The file is
empty or `_toplevel_` for the outermost one."""
_BROKEN_FILE: Final = re.compile(r"\) (?P<file>.+) may be old or corrupted")
_ANY_ALSA_ERROR: Final = re.compile(r"ALSA lib [^(]*\(\w+\) (?P<words>.*)")
_NO_BANDWIDTH: Final = "No space left on device"
"""Error of the kernel whose own words mislead.

Source: Linux, Documentation/driver-api/usb/error-codes.rst, `ENOSPC`: this request
would overcommit the usb bandwidth reserved for periodic transfers."""

WAITING_BYTES: Final = 32_768
"""Periods that wait for the appliance, some ten of them; later ones are dropped."""
OUTPUT_BYTES: Final = 16_384
"""Space for what native libraries write; the rest is dropped."""
KILLED_S: Final = 1.0
"""Time in which a killed process ends, unless it is stuck in the kernel."""
BLOCKED_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Blocked in the sound process: systemd and Ctrl-C address the appliance, which still
needs it."""
Value: TypeAlias = Any
"""What a call takes or returns: numbers, texts and lists of them."""


def with_host_text(sentence: str, host_text: str) -> str:
    """Return PortAudio's sentence with ALSA's text, if any, and a remedy if known."""
    if not host_text:
        return sentence
    if host_text == _NO_BANDWIDTH:
        return fault_table.USB_BANDWIDTH.text(sentence=sentence, host=host_text)
    return f"{sentence} ({host_text})"


def reason_in(written: str) -> str:
    """Return the cause that ALSA wrote, with file and line; empty: it names none."""
    place, file = _CONFIGURATION_LINE.search(written), _BROKEN_FILE.search(written)
    if place is None:
        other = _ANY_ALSA_ERROR.search(written)
        return other["words"].strip() if other else ""
    named = place["file"].strip()
    if named in {"", "_toplevel_"} and file is not None:
        named = file["file"].strip()
    return fault_table.ALSA_CONFIGURATION.text(
        file=named or "the ALSA configuration",
        line=place["line"],
        words=place["words"].strip(),
    )


@dataclass(slots=True)
class _Running:
    """Stream whose periods are exchanged."""

    number: int
    callback: PeriodCallback
    heard: memoryview
    message: bytearray
    played: memoryview


class PeriodThread:
    """Calls the callback of one stream at a time, on a thread of its own.

    Thread of the methods: the supervisor's, never the callback's.
    """

    def __init__(self, ours: socket.socket, flag: memoryview) -> None:
        """The sound process reads `flag` within an idle window."""
        self._socket = ours
        self._flag = flag
        self._received = bytearray(MAX_BYTES)
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
        heard_bytes = frames * wanted.channels("microphone")
        message = bytearray(PLAYED.size + frames * wanted.channels("speaker"))
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


class RefusedError(Exception):
    """PortAudio refuses a call."""

    def __init__(self, reason: str, host_text: str, output: bytes) -> None:
        """Store PortAudio's reason, ALSA's, and what both wrote meanwhile."""
        super().__init__(reason)
        self.reason = with_host_text(reason, host_text)
        self.output = output.decode(errors="replace")


class ProcessGoneError(Exception):
    """The process has ended, or does not answer; the text is the reason."""


class SoundProcess:
    """A running sound process. Thread: one at a time, except the callbacks."""

    def __init__(self) -> None:
        """Start it; `OSError`: the system has no memory, files or processes left."""
        with ExitStack() as opened:
            memory = os.memfd_create("ptt-sound")
            opened.callback(os.close, memory)
            os.ftruncate(memory, SHARED_BYTES)
            self._shared = mmap(memory, SHARED_BYTES)
            with ExitStack() as kept:
                self._output = _bounded_memory()
                kept.callback(os.close, self._output)
                self._control, control = _pair()
                kept.enter_context(self._control)
                opened.enter_context(control)
                pairs = [_pair() for _ in range(STREAMS)]
                for ours, theirs in pairs:
                    kept.enter_context(ours)
                    opened.enter_context(theirs)
                    theirs.setsockopt(
                        socket.SOL_SOCKET, socket.SO_SNDBUF, WAITING_BYTES
                    )
                    theirs.settimeout(0)
                inherited = [memory, *(theirs.fileno() for _, theirs in pairs)]
                self._child = _started(control, self._output, inherited)
                kept.pop_all()
        self._periods = [
            PeriodThread(ours, memoryview(self._shared)[slot : slot + 1])
            for slot, (ours, _) in enumerate(pairs)
        ]

    @property
    def has_ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._child.poll() is not None

    @property
    def cause(self) -> str:
        """Why it has ended, with the native call in which it was."""
        code = self._child.poll() or 0
        end = signal.Signals(-code).name if code < 0 else f"status {code}"
        written = os.pread(self._output, OUTPUT_BYTES, 0).decode(errors="replace")
        last = written.rstrip("\0").strip().rpartition("\n")[2] if code > 0 else ""
        within = self.native_call and f", in {self.native_call}"
        return fault_table.SOUND_CRASHED.text(end=f"{last or end}{within}")

    @property
    def native_call(self) -> str:
        """Native function that is being called; empty: none."""
        place = slice(CALL_PLACE, CALL_PLACE + CALL_BYTES)
        return self._shared[place].rstrip(b"\0").decode()

    def call(self, name: str, *arguments: Value, limit_s: float) -> Value:
        """Let the process call one of its functions.

        Raises:
            RefusedError: PortAudio refuses.
            ProcessGoneError: the process has ended or does not answer in time.
        """
        self._control.settimeout(limit_s)
        try:
            self._control.send(marshal.dumps((name, *arguments)))
            message = self._control.recv(MAX_BYTES)
        except TimeoutError as exc:
            raise ProcessGoneError(self._late_reason(limit_s)) from exc
        except OSError:
            message = b""
        if not message:
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(KILLED_S)
            raise ProcessGoneError(self.cause)
        is_done, *answer = marshal.loads(message)
        if not is_done:
            raise RefusedError(*answer)
        return answer[0]

    def _late_reason(self, limit_s: float) -> str:
        if call := self.native_call:
            return fault_table.CARD_STUCK.text(call=call)
        # Loading it from a slow disk takes its time; no card is at fault.
        error = f"no answer for {limit_s:.0f} s"
        return fault_table.SOUND_NOT_STARTED.text(error=error)

    def take(self, number: int, wanted: StreamRequest, callback: PeriodCallback) -> int:
        """Reserve one of the streams for this callback, and return it."""
        slot = next(x for x, periods in enumerate(self._periods) if periods.is_free)
        self._periods[slot].begin(number, wanted, callback)
        return slot

    def release(self, slot: int) -> None:
        """Stop calling the callback of this stream."""
        if self._periods:
            self._periods[slot].stop()

    def kill(self) -> None:
        """Kill it; the kernel closes the cards.

        Only `has_ended` and `release` may be called afterwards.
        """
        self._child.kill()
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(KILLED_S)
        self._control.close()
        for periods in self._periods:
            periods.end()
        self._periods = []
        os.close(self._output)


def _pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def _bounded_memory() -> int:
    """Return a descriptor that takes `OUTPUT_BYTES` and refuses the rest."""
    memory = os.memfd_create("ptt-sound-output", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.ftruncate(memory, OUTPUT_BYTES)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    return memory


def _started(
    control: socket.socket, output: int, inherited: list[int]
) -> subprocess.Popen[bytes]:
    """Start isolated and without site-packages, which needs 4 MB instead of 10."""
    path = [str(Path(__file__).parents[2]), *filter(None, sys.path)]
    main = "from appliance.audio.sound_process_main import main\nmain()"
    code = f"import sys\nsys.path[:] = {path!r}\n{main}"
    command = [sys.executable, "-I", "-S", "-B", "-c", code]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED_SIGNALS)
    try:
        return subprocess.Popen(
            [*command, OURS, *map(str, inherited)],
            stdin=control.fileno(),
            stdout=output,
            stderr=output,
            pass_fds=inherited,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
