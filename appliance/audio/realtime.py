"""Which threads come first when the machine is busy."""

import contextlib
import os
from typing import Final

URGENCY: Final = 5
"""Real-time priority, if the unit's `LimitRTPRIO` allows it: above everything that is
not sound, below the kernel's own threads (50)."""


def raise_priority() -> None:
    """Ask for real-time priority for the calling thread; without the right, go on."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(URGENCY))
