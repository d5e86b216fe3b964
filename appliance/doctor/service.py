"""Check of the installed service: what systemd says, and what the box itself says."""

from collections.abc import Callable
from typing import Final

from appliance.core import fault_table
from appliance.doctor.checks import Finding
from appliance.doctor.http_question import Health
from appliance.doctor.programs import finished

UNIT: Final = "ptt-appliance.service"
SYSTEMCTL_S: Final = 5.0
"""systemctl responds at once unless systemd is overloaded."""

_LOG: Final = "journalctl -u ptt-appliance -n 20 --no-pager"
_ADVICE: Final = {
    "inactive": "Start it: sudo systemctl start ptt-appliance.",
    "failed": f"Read the reason: sudo {_LOG}. Then: sudo systemctl restart "
    "ptt-appliance.",
    "activating": f"If it stays so, read the log: sudo {_LOG}.",
}
"""Remedy for each state of a unit that does not run."""


def service(
    systemctl: str = "systemctl", ask: Callable[[], Health | None] = lambda: None
) -> Finding:
    """Return the state of the service; a box without it has nothing to repair.

    Args:
        systemctl: the program to call.
        ask: asks the running box for its faults; None: it does not answer.

    Source: systemctl(1), "show"; org.freedesktop.systemd1(5), `LoadState` and
    `ActiveState`.
    """
    values = _properties(systemctl)
    if values is None:
        return _running(ask(), "unknown, systemd does not respond here")
    if values.get("LoadState") == "not-found":
        return _running(ask(), "not installed")
    state = values.get("ActiveState", "unknown")
    if state != "active":
        return Finding("service", state, _ADVICE.get(state, ""))
    return _running(ask(), "running")


def _running(health: Health | None, state: str) -> Finding:
    """Return the finding with the faults of the box that answers."""
    if health is None:
        return Finding("service", state)
    faults = (*health.faults, *map(_words, health.fault_ids))
    if not faults:
        return Finding("service", f"{state}; the box reports no faults")
    found = f"{state}; the box reports: {'; '.join(faults)}"
    return Finding("service", found, f"Its log has the reasons: sudo {_LOG}.")


def _words(fault_id: str) -> str:
    """Return the words of a fault; those of another version are not known."""
    known = (fault.outline() for fault in fault_table.TABLE if fault.id == fault_id)
    return next(known, "") or fault_id


def _properties(systemctl: str) -> dict[str, str] | None:
    """Return properties of the unit; None without systemd."""
    command = [systemctl, "show", "--property=LoadState,ActiveState", UNIT]
    done = finished(command, SYSTEMCTL_S)
    if done is None or done.returncode != 0:
        return None
    pairs = (line.partition("=") for line in done.stdout.splitlines())
    return {key: value for key, _, value in pairs}
