"""Log output to the journal under systemd, else to standard error, without secrets.

All lines, those of libraries included, go through one handler of the root logger, whose
formatter redacts tokens, keys, passwords and URL queries. That is a second safeguard:
the code does not log such values in the first place.
"""

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Final, Literal

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

HIDDEN = "<hidden>"
LONGEST_ENTRY = 8000
"""Characters: enough for a traceback, too few for a message to fill the disk."""
SHORTEST_SECRET = 4
"""Characters; shorter values protect nothing and are parts of ordinary words."""

_WORD = r"[A-Za-z0-9_-]"
_MIXED = r"(?=[A-Z0-9_-]*[a-z])(?=[a-z0-9_-]*[A-Z])(?=[A-Za-z_-]*[0-9])"
_KEYWORD = (
    r"(?:token|secret|passw(?:or)?d|passphrase|(?:api|private|secret|encryption)[_-]?key"
    r"|authorization|cookie|credentials?|signature)"
)
_HEADER = r"(?:proxy-)?authorization|(?:set-)?cookie|x-[\w-]{0,40}(?:key|token)"
# A value in quotes; a backslash escapes the next character.
_QUOTED = r"""b?"(?:[^"\\]|\\.)*"?|b?'(?:[^'\\]|\\.)*'?"""
_QUERY = rf"(?:{HIDDEN}|[^\s\"'<>])*"

_RULES = (
    # A JSON web token, complete or cut off: base64url of `{"` or `{ `.
    (rf"ey[AJ]{_WORD}{{5,}}(?:\.{_WORD}*){{0,4}}", HIDDEN),
    (r"(?i)\b(bearer)\s+[^\s\"',]+", rf"\1 {HIDDEN}"),
    # The value of a header extends to the end of its line.
    (rf"(?i)\b({_HEADER})(\s*:\s*)(?:{_QUOTED}|[^\r\n\"']+)", rf"\1\2{HIDDEN}"),
    # "token": "…" in JSON, in a mapping and in a list of pairs.
    (
        rf"(?i)([\"'][\w-]{{0,40}}{_KEYWORD}[\"']\s*[:,]\s*)(?:{_QUOTED}|[^\s,)}}\]]+)",
        rf"\1{HIDDEN}",
    ),
    # token=… in a query, a form and a repr.
    (rf"(?i)({_KEYWORD}\s?=\s?)(?:{_QUOTED}|[^\s&;,)\"']+)", rf"\1{HIDDEN}"),
    # User and password in a URL; its query and fragment; the same without its host.
    (r"(\w://)[^\s/@\"'<>]*@", rf"\1{HIDDEN}@"),
    (rf"(\w://[^\s?#\"'<>]{{0,500}})[?#]{_QUERY}", rf"\1?{HIDDEN}"),
    (rf"\?[\w.%~\[\]-]+={_QUERY}", f"?{HIDDEN}"),
    # LiveKit's API keys, and anything that looks like a generated secret: long, with
    # lower-case and capital letters and digits. LiveKit's have 43 characters, Solana's
    # 88.
    (r"\bAPI[A-Za-z0-9]{9,}\b", HIDDEN),
    (rf"(?<!{_WORD}){_MIXED}{_WORD}{{40,}}", HIDDEN),
)
"""Patterns, which `re` compiles once, and what is shown in their place."""
# Control characters could forge a line or move the cursor of a terminal.
_CONTROL = {
    code: f"\\x{code:02x}"
    for code in (*range(0x20), *range(0x7F, 0xA0))
    if chr(code) not in "\n\t"
} | {0x2028: "\\u2028", 0x2029: "\\u2029"}

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
        self._windows: dict[Hashable, tuple[float, int]] = {}
        """Start of the window of each kind, and its lines in it."""

    def admitted(self, kind: Hashable) -> int | None:
        """Return how many lines were left out before this one; None: leave it out."""
        now_s, left_out = self._now_s(), 0
        since_s, lines = self._windows.get(kind, (now_s, 0))
        if now_s - since_s >= self._window_s:
            left_out = max(0, lines - self._most)
            since_s, lines = now_s, 0
        self._windows[kind] = since_s, lines + 1
        return left_out if lines < self._most else None

    def log(
        self, logger: logging.Logger, level: int, message: str, *facts: object
    ) -> None:
        """Log the message, at DEBUG once there were too many of its kind.

        The message is a constant, which is the kind; the facts fill its placeholders.
        """
        left_out = self.admitted(message)
        if left_out is None:
            level = logging.DEBUG
        elif left_out:
            message = f"{message}  left_out={left_out}"
        logger.log(level, message, *facts)


def start_logging(
    level: Literal["debug", "info", "warn", "error"],
    secrets: Iterable[str] = (),
) -> None:
    """Send every log line, warning and uncaught exception to the journal or to stderr.

    A second call replaces the first one. The values in `secrets` are hidden.
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
        """`has_time`: time and level are part of the line."""
        super().__init__()
        self._secrets = secrets
        self._has_time = has_time

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, followed by the traceback if there is one."""
        line = f"[{area(record.name)}] {record.getMessage()}"
        if self._has_time:
            time = self.formatTime(record, "%H:%M:%S")
            line = f"{time} {record.levelname:<7} {line}"
        # A line feed in a name must not look like the start of another entry.
        line = line.replace("\n", "\\n").replace("\t", "\\t")
        if record.exc_info and record.exc_info[0] is not None:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return redacted(line, self._secrets)


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """Return an entry of the log without secrets and without control characters."""
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, HIDDEN)
    if len(text) > LONGEST_ENTRY:
        # Not in the middle of a word: half a token would not be recognised.
        text = re.sub(r"\s\S*\Z", " …", text[:LONGEST_ENTRY])
    for pattern, shown in _RULES:
        text = re.sub(pattern, shown, text)
    # A lone surrogate cannot be written in UTF-8.
    text = text.encode(errors="backslashreplace").decode()
    return text.translate(_CONTROL)


def _uncaught(exc: BaseException | None) -> None:
    # A thread that runs while the interpreter ends has no exception value.
    if exc is not None and not isinstance(exc, KeyboardInterrupt):
        _log.critical("unexpected error", exc_info=exc)
