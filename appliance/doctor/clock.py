"""Check of the clock, because tokens and certificates depend on it."""

from datetime import UTC, datetime
from typing import Final

from appliance.core import fault_table
from appliance.doctor.checks import Finding, finding
from appliance.doctor.http_question import RemoteClock

OLDEST_YEAR: Final = 2026
"""Year of this version; the clock of a Pi without network starts in the past."""
TOLERANCE_S: Final = 60
"""A token that is valid from now on is refused by a server whose clock is behind."""
_UNITS: Final = ((86_400, "days"), (3600, "hours"), (60, "minutes"))


def clock(now_s: float, remote: RemoteClock | None) -> Finding:
    """Compare the clock with that of another machine.

    Args:
        now_s: seconds since the epoch, right after the remote clock was read.
        remote: clock of another machine; None: nobody says the time.
    """
    now = datetime.fromtimestamp(now_s, UTC)
    found = f"{now:%Y-%m-%d %H:%M} UTC"
    if remote is None:
        if now.year < OLDEST_YEAR:
            return finding("clock", fault_table.CLOCK_WRONG, now=found)
        return Finding("clock", found)
    difference_s = now_s - remote.now_s
    if abs(difference_s) <= TOLERANCE_S:
        return Finding("clock", f"{found}, as at {remote.host}")
    way = "ahead of" if difference_s > 0 else "behind"
    found += f", {_duration(abs(difference_s))} {way} {remote.host}"
    return finding("clock", fault_table.CLOCK_WRONG, now=found)


def _duration(seconds: float) -> str:
    for unit_s, unit in _UNITS:
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds:.0f} seconds"
