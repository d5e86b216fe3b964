"""Log output to the journal under systemd, else to standard error.

All lines, those of libraries included, go through one handler of the root logger, whose
formatter hides secrets.
"""

import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Final, Literal

from appliance.process.redaction import redacted

LINES: Final = 3
"""Lines of one kind per window; our choice: a fault that repeats is noticed."""
WINDOW_S: Final = 60.0
FAULT_LINES: Final = 10
FAULT_WINDOW_S: Final = 3600.0
"""Lines about the losses of a part in an hour, and as many about its returns."""

AREAS = {
    "appliance.tokens": "auth",
    "appliance.metrics.counters": "chat",
    "appliance.room.chat_format": "chat",
    "appliance.room.chat_channel": "chat",
    "appliance.room": "rtc",
    "appliance.page": "ui",
    "appliance.audio": "audio",
    "appliance.sound_cards": "audio",
    "appliance.panel": "panel",
    "livekit": "rtc",
    "httpx": "auth",
    "httpcore": "auth",
    "uvicorn": "ui",
    "starlette": "ui",
    "websockets": "ui",
    "gpiozero": "panel",
    "luma": "panel",
    "PIL": "panel",
}
"""Area of each logger; all others have the area `system`."""
CHATTY = ("httpx", "httpcore", "websockets", "uvicorn", "livekit", "PIL", "asyncio")
"""Libraries that log every request; only their warnings are written."""
FIELDS = {"PRIORITY", "LOGGER", "THREAD_NAME", "CODE_FILE", "CODE_LINE", "CODE_FUNC"}
"""Fields kept in a journal entry; others hold the arguments without redaction."""
_log = logging.getLogger(__name__)


class LogLimit:
    """Rate limiter that admits a few lines of each kind and counts the others.

    A kind is a place in the code, so that their number is bounded. Thread: one.
    """

    def __init__(
        self,
        lines: int = LINES,
        *,
        window_s: float = WINDOW_S,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with nothing counted; admit so many lines of one kind per window."""
        self._most = lines
        self._window_s = window_s
        self._now_s = now_s
        self._since_s: dict[Hashable, float] = {}
        """Start of the window of each kind."""
        self._lines: Counter[Hashable] = Counter()
        self._left_out: Counter[Hashable] = Counter()

    def admitted(self, kind: Hashable) -> int | None:
        """Return how many lines were left out before this one; None: leave it out."""
        now_s = self._now_s()
        if now_s - self._since_s.setdefault(kind, now_s) >= self._window_s:
            self._since_s[kind], self._lines[kind] = now_s, 0
        self._lines[kind] += 1
        if self._lines[kind] > self._most:
            self._left_out[kind] += 1
            return None
        return self._left_out.pop(kind, 0)

    def log(
        self, logger: logging.Logger, level: int, message: str, *facts: object
    ) -> None:
        """Log the message, at DEBUG once there were too many of its kind.

        The message is a constant, which is the kind; the facts fill its placeholders.
        """
        left_out = self.admitted(message)
        if left_out is None:
            level, left_out = logging.DEBUG, 0
        if left_out:
            # Without facts the message is no format.
            message = message if facts else message.replace("%", "%%")
            message, facts = f"{message}  left_out=%d", (*facts, left_out)
        logger.log(level, message, *facts)


def start_logging(
    level: Literal["debug", "info", "warn", "error"],
    secrets: Iterable[str] = (),
) -> None:
    """Send every log line of the process to the journal or to standard error.

    Uncaught exceptions and warnings become log lines too. A second call replaces the
    first one. The values in `secrets` are hidden wherever they appear.
    """
    # A full disk or a closed terminal must not end the process, and the report that
    # logging would print about it shows arguments without redaction.
    logging.raiseExceptions = False
    journal = journal_handler() if is_run_by_systemd(os.environ) else None
    handler = journal or logging.StreamHandler()
    handler.setFormatter(Redacting(tuple(secrets), has_time=journal is None))
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=number, handlers=[handler], force=True)
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, number))
    logging.captureWarnings(capture=True)
    sys.excepthook = lambda _kind, exc, _trace: _uncaught(exc)
    threading.excepthook = lambda args: _uncaught(args.exc_value)


def is_run_by_systemd(environ: Mapping[str, str], descriptor: int = 2) -> bool:
    """Return whether standard error is the journal's own socket.

    Source: systemd.exec(5), `$JOURNAL_STREAM`: device and inode of the socket; a
    program whose standard error is redirected inherits the variable too.
    """
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def area(name: str) -> str:
    """Return the area of a logger."""
    while name:
        if name in AREAS:
            return AREAS[name]
        name = name.rpartition(".")[0]
    return "system"


def journal_handler(
    send: Callable[..., object] | None = None,
) -> logging.Handler | None:
    """Return a handler for the journal, or for `send`; None without python3-systemd."""
    try:
        import systemd.journal
    except ImportError:
        return None
    deliver = send or systemd.journal.send

    def send_safe(message: str, **fields: object) -> None:
        kept = {key: value for key, value in fields.items() if key in FIELDS}
        deliver(message, SYSLOG_IDENTIFIER="ptt-appliance", **kept)

    handler: logging.Handler = systemd.journal.JournalHandler(sender_function=send_safe)
    return handler


class Redacting(logging.Formatter):
    """Formatter that writes a record as one line with its area, secrets hidden."""

    def __init__(self, secrets: tuple[str, ...] = (), *, has_time: bool) -> None:
        """Keep the values to hide; `has_time`: time and level are part of the line."""
        super().__init__()
        self._secrets = secrets
        self._has_time = has_time

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, followed by the traceback if there is one."""
        line = f"[{area(record.name)}] {_sentence(record)}"
        if self._has_time:
            time = self.formatTime(record, "%H:%M:%S")
            line = f"{time} {record.levelname:<7} {line}"
        # A line feed in a name must not look like the start of another entry.
        line = line.replace("\n", "\\n").replace("\t", "\\t")
        if record.exc_info and record.exc_info[0] is not None:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return redacted(line, self._secrets)


def _sentence(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        # The arguments do not match the format: log it without them.
        return str(record.msg)


def _uncaught(exc: BaseException | None) -> None:
    # A thread that runs while the interpreter ends has no exception value.
    if exc is not None and not isinstance(exc, KeyboardInterrupt):
        _log.critical("unexpected error", exc_info=exc)
