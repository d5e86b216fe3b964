"""Check of the installed systemd service."""

import subprocess

from appliance.doctor.checks import Finding

UNIT = "ptt-appliance.service"
SYSTEMCTL_S = 5.0
"""systemctl responds at once unless systemd is overloaded."""

_LOG = "journalctl -u ptt-appliance -n 20 --no-pager"
_ADVICE = {
    "inactive": "Start it: sudo systemctl start ptt-appliance.",
    "failed": f"Read the reason: sudo {_LOG}. Then: sudo systemctl restart "
    "ptt-appliance.",
    "activating": f"If it stays so, read the log: sudo {_LOG}.",
}
"""Remedy for each state of a unit that does not run."""


def service(systemctl: str = "systemctl") -> Finding:
    """Return the state of the service; a box without it has nothing to repair.

    Args:
        systemctl: the program to call.

    Source: systemctl(1), "show"; org.freedesktop.systemd1(5), `LoadState` and
    `ActiveState`.
    """
    values = _properties(systemctl)
    if values is None:
        return Finding("service", "unknown, systemd does not respond here")
    if values.get("LoadState") == "not-found":
        return Finding("service", "not installed")
    state = values.get("ActiveState", "unknown")
    found = "running" if state == "active" else state
    return Finding("service", found, _ADVICE.get(state, ""))


def _properties(systemctl: str) -> dict[str, str] | None:
    """Return properties of the unit; None without systemd."""
    command = [systemctl, "show", "--property=LoadState,ActiveState", UNIT]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=SYSTEMCTL_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    pairs = (line.partition("=") for line in done.stdout.splitlines())
    return {key: value for key, _, value in pairs}
