"""Filter for the log lines of LiveKit's SDK: no secrets, and a limited rate."""

import logging
from pathlib import PurePath
from typing import Final

from appliance.process.logs import LogLimit
from appliance.process.redaction import redacted

_NATIVE: Final = "%s:%s:%s - %s"
"""The format of lines that the SDK passes on from the native library."""
_IGNORED: Final = ("ignoring text stream", "ignoring byte stream")
"""Logged for each stream on a topic without a handler; the sender chooses the number
and the topic. Agents send several a second."""
_CALLBACK_FAILED: Final = "error running user callback"
"""The SDK logs the whole event after this, chat and tokens included."""


def limit_log() -> None:
    """Install the filter; calling it again changes nothing."""
    for logger in (logging.getLogger("livekit"), logging.getLogger()):
        if not any(isinstance(known, _SdkFilter) for known in logger.filters):
            logger.addFilter(_SdkFilter())


class _SdkFilter(logging.Filter):
    """Rewrites records that come from the SDK, whichever logger it used."""

    def __init__(self) -> None:
        super().__init__()
        self._limit = LogLimit()

    def filter(self, record: logging.LogRecord) -> bool:
        if PurePath(record.pathname).parts[-3:-1] != ("livekit", "rtc"):
            return True
        if record.msg == _NATIVE:
            # Everything that matters in them is reported as an event as well.
            _demote(record)
        for start in _IGNORED:
            if str(record.msg).startswith(start):
                _demote(record)
                record.msg, record.args = start, ()
        if str(record.msg).startswith(_CALLBACK_FAILED):
            record.msg, record.args = _CALLBACK_FAILED, ()
        if not logging.getLogger(record.name).isEnabledFor(record.levelno):
            return False
        record.msg, record.args = redacted(record.getMessage()), ()
        return self._is_admitted(record)

    def _is_admitted(self, record: logging.LogRecord) -> bool:
        """Return whether the rate limit admits it; the line of code is the kind."""
        if record.levelno < logging.INFO:
            return True
        left_out = self._limit.admitted((record.pathname, record.lineno))
        if left_out:
            record.msg = f"{record.msg}  left_out={left_out}"
        return left_out is not None


def _demote(record: logging.LogRecord) -> None:
    record.levelno, record.levelname = logging.DEBUG, "DEBUG"
