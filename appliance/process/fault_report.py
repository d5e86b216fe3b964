"""Report of a fault that comes and goes: an event for the core, a line for the log.

The first failure is a warning, repeats are debug lines, the recovery is an info line.
The core learns of each reason once and of the recovery once.
"""

import logging

from appliance.core.events import Part, PartFound, PartLost
from appliance.ports import Post


class FaultLog:
    """Log lines of one thing that fails again and again."""

    def __init__(self, log: logging.Logger, failing: str, recovered: str = "") -> None:
        """Start without a fault.

        Args:
            log: takes the lines.
            failing: what is wrong, for example "network cannot be read".
            recovered: the line when it works again; empty: none is written.
        """
        self._log = log
        self._failing = failing
        self._recovered = recovered
        self.reason: str | None = None
        """Reason of the present fault; None: there is none."""

    def failed(self, reason: object) -> bool:
        """Write the line, and return whether the fault or its reason is new."""
        level = logging.WARNING if self.reason is None else logging.DEBUG
        self._log.log(level, "%s  reason=%s", self._failing, reason)
        is_new = str(reason) != self.reason
        self.reason = str(reason)
        return is_new

    def worked(self) -> bool:
        """Write that it works again, and return whether it did not before."""
        if self.reason is None:
            return False
        self.reason = None
        if self._recovered:
            self._log.info("%s", self._recovered)
        return True


class FaultReport:
    """A part of the box that may be missing, as the core and the log learn of it.

    Thread: that of `post`, which is any.
    """

    def __init__(self, post: Post, part: Part, name: str, log: FaultLog) -> None:
        """Start without a fault.

        Args:
            post: takes `PartLost` and `PartFound`.
            part: what sort of part it is.
            name: which one.
            log: takes the lines.
        """
        self._post = post
        self._part = part
        self._name = name
        self._log = log

    @property
    def is_lost(self) -> bool:
        """Whether the part is missing now."""
        return self._log.reason is not None

    def lost(self, reason: str) -> None:
        """Report that the part is missing; a repeat with the same reason is quiet."""
        if self._log.failed(reason):
            self._post(PartLost(self._part, self._name, reason))

    def found(self) -> None:
        """Report that the part works, if it did not before."""
        if self._log.worked():
            self._post(PartFound(self._part, self._name))
