"""The SDK's own log lines, made fit for a journal.

The native library reports every attempt to connect, and with a refused token the
token itself: the server's answer quotes it.
"""

import logging
import re
from pathlib import PurePath

from appliance.process.log_limit import LogLimit

_SECRETS = re.compile(
    r"eyJ[\w-]+(\.[\w-]*)*"  # a token, or what is left of one
    r"|\?[^\s\"']+"  # the query of an address
)
_NATIVE = "%s:%s:%s - %s"
"""The format of lines that the SDK passes on from the native library."""
_IGNORED = ("ignoring text stream", "ignoring byte stream")
"""Said of each stream on a topic that we do not read; how many, and what the topic is,
its sender decides. Agents send several a second."""
_STUMBLED = "error running user callback"
"""The SDK prints the whole event behind this, chat and tokens included."""


def limit_log() -> None:
    """Redact the SDK's lines and demote the native ones; twice is fine."""
    for logger in (logging.getLogger("livekit"), logging.getLogger()):
        if not any(isinstance(known, _Tamer) for known in logger.filters):
            logger.addFilter(_Tamer())


def redacted(line: str) -> str:
    """Return the line without tokens and without queries of addresses."""
    return _SECRETS.sub("…", line)


class _Tamer(logging.Filter):
    """Rewrites records that come from the SDK, whichever logger it took."""

    def __init__(self) -> None:
        super().__init__()
        self._limit = LogLimit()

    def filter(self, record: logging.LogRecord) -> bool:
        if PurePath(record.pathname).parts[-3:-1] != ("livekit", "rtc"):
            return True
        if record.msg == _NATIVE:
            # Whatever matters in them reaches us as an event as well.
            _demote(record)
        for start in _IGNORED:
            if str(record.msg).startswith(start):
                _demote(record)
                record.msg, record.args = start, ()
        if str(record.msg).startswith(_STUMBLED):
            record.msg, record.args = _STUMBLED, ()
        record.msg, record.args = redacted(record.getMessage()), ()
        is_enabled = logging.getLogger(record.name).isEnabledFor(record.levelno)
        return is_enabled and self._is_admitted(record)

    def _is_admitted(self, record: logging.LogRecord) -> bool:
        """Return whether it is one of the few of its kind; the place is the kind."""
        if record.levelno < logging.INFO:
            return True
        left_out = self._limit.admitted((record.pathname, record.lineno))
        if left_out:
            record.msg = f"{record.msg}  left_out={left_out}"
        return left_out is not None


def _demote(record: logging.LogRecord) -> None:
    record.levelno, record.levelname = logging.DEBUG, "DEBUG"
