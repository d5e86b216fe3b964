"""Report of a fault that comes and goes: events for the core, lines for the log.

The first failure is a warning, repeats are debug lines, the recovery is an info line;
at most a few an hour.
"""

import logging
import time
from collections.abc import Callable

from appliance.core.events import Part, PartFound, PartLost
from appliance.ports import Post
from appliance.process.logs import FAULT_LINES, FAULT_WINDOW_S, LogLimit


class FaultLog:
    """Log lines of one recurring fault."""

    def __init__(
        self,
        log: logging.Logger,
        failing: str,
        recovered: str = "",
        *,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`failing` and `recovered` are the lines; no `recovered`: none is written."""
        self._log = log
        self._failing = failing.replace("%", "%%") + "  reason=%s"
        self._recovered = recovered
        self._limit = LogLimit(FAULT_LINES, window_s=FAULT_WINDOW_S, now_s=now_s)
        self.reason: str | None = None
        """Reason of the present fault; None: there is no fault."""

    def failed(self, reason: object) -> bool:
        """Log the fault, and return True if the fault or its reason is new."""
        if self.reason is None:
            self._limit.log(self._log, logging.WARNING, self._failing, reason)
        else:
            self._log.debug(self._failing, reason)
        is_new = str(reason) != self.reason
        self.reason = str(reason)
        return is_new

    def worked(self) -> bool:
        """Log the recovery, if any, and return True if there was a fault."""
        if self.reason is None:
            return False
        self.reason = None
        if self._recovered:
            self._limit.log(self._log, logging.INFO, self._recovered)
        return True


class FaultReport:
    """Reports of one part to the core and to the log. Thread: any, one at a time."""

    def __init__(
        self, post: Post, part: Part, name: str, log: FaultLog, patience: int = 0
    ) -> None:
        """`patience` losses at the start are ignored: udev may be some seconds late."""
        self._post = post
        self._part = part
        self._name = name
        self._log = log
        self._patience = patience

    @property
    def is_lost(self) -> bool:
        """Whether the part is missing now."""
        return self._log.reason is not None

    def lost(self, reason: str) -> None:
        """Report that the part is missing; the same reason is posted only once."""
        if self._patience:
            self._patience -= 1
        elif self._log.failed(reason):
            self._post(PartLost(self._part, self._name, reason))

    def found(self) -> None:
        """Report that the part works, if it was missing before."""
        self._patience = 0
        if self._log.worked():
            self._post(PartFound(self._part, self._name))
