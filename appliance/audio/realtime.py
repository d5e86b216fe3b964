"""Real-time scheduling of the audio threads."""

import os

URGENCY = 5
"""Real-time priority, if the unit's `LimitRTPRIO` allows it: above every ordinary
process, below the kernel's own threads (50)."""


def raise_priority() -> None:
    """Request real-time priority for the calling thread; ignore a refusal."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(URGENCY))
    except PermissionError:
        return
