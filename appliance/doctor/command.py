"""Command `doctor`: runs all checks and prints each finding with its remedy."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from appliance.config import Config
from appliance.core import fault_table
from appliance.doctor import checks
from appliance.doctor.checks import Finding
from appliance.errors import ApplianceError
from appliance.net.monitor import current_address

INTERFACES = Path("/sys/class/net")
IW = "/usr/sbin/iw"
"""In Debian it is in a folder that only root has in its PATH."""
IW_S = 5.0
"""Longest time for `iw`, which only takes long if a driver hangs."""

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

FindCard = Callable[[Literal["microphone", "speaker"]], str]
"""Return the name of the card for `microphone` or `speaker`.

Raises:
    SoundError: there is none; the sentence has the remedy.
"""
FetchToken = Callable[[], tuple[str, str]]
"""Fetch a token; return a description without the token, and its server's URL.

Raises:
    TokenError: none was issued; the sentence has the reason.
"""


def doctor(
    config: Config,
    find_card: FindCard,
    fetch_token: FetchToken,
    *,
    as_json: bool = False,
) -> int:
    """Print the findings; return 0 if nothing is wrong, else 1.

    Args:
        config: configuration without faults.
        find_card: returns the name of the sound card.
        fetch_token: fetches a token from the source.
        as_json: print JSON, for scripts.
    """
    findings = list(findings_of(config, find_card, fetch_token))
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    else:
        print("\n".join(map(_lines, findings)))
    return 0 if all(finding.is_good for finding in findings) else 1


def findings_of(
    config: Config, find_card: FindCard, fetch_token: FetchToken
) -> Iterator[Finding]:
    """Yield the result of each check, from the box to the server."""
    yield Finding("configuration", "no mistakes")
    yield service()
    yield checks.result_of("microphone", lambda: find_card("microphone"))
    yield checks.result_of("speaker", lambda: find_card("speaker"))
    yield checks.screen(config.screen)
    yield checks.pins(config.buttons, config.lamps)
    yield checks.network(current_address)
    yield wifi()
    yield checks.clock(datetime.now(UTC))
    yield checks.names((config.room.token_url, config.room.url))
    yield from room(config.room.url, fetch_token)


def room(url: str | None, fetch_token: FetchToken) -> Iterator[Finding]:
    """Check the token source and the server that its token is for.

    Args:
        url: configured address of the server, used without a token.
        fetch_token: fetches a token from the source.
    """
    try:
        description, url = fetch_token()
    except ApplianceError as exc:
        yield Finding("token source", "does not work", str(exc))
    else:
        yield Finding("token source", description)
    yield checks.server(url)


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


def wifi(interfaces: Path = INTERFACES, iw: str | None = None) -> Finding:
    """Check the power saving of Wi-Fi, which delays packets by tenths of a second.

    Args:
        interfaces: folder with the kernel's network interfaces.
        iw: program to call; None: the installed one.
    """
    wireless = sorted(path.parent.name for path in interfaces.glob("*/wireless"))
    if not wireless:
        return Finding("Wi-Fi", "not used")
    program = iw or shutil.which("iw") or IW
    states = {name: _power_save(program, name) for name in wireless}
    found = ", ".join(f"{name} power save {state}" for name, state in states.items())
    if "on" in states.values():
        facts = {"interfaces": found, "interface": wireless[0]}
        return checks.finding("Wi-Fi", fault_table.WIFI_SLEEPS, **facts)
    if "unknown" in states.values():
        advice = "Install iw (sudo apt install iw) and run doctor again."
        return Finding("Wi-Fi", found, advice)
    return Finding("Wi-Fi", found)


def _power_save(iw: str, interface: str) -> str:
    """Return `on`, `off` or `unknown`."""
    command = [iw, "dev", interface, "get", "power_save"]
    done = _finished(command, IW_S)
    if done is None:
        return "unknown"
    state = done.stdout.strip().rpartition(" ")[2]
    return state if state in {"on", "off"} else "unknown"


def _properties(systemctl: str) -> dict[str, str] | None:
    """Return properties of the unit; None without systemd."""
    command = [systemctl, "show", "--property=LoadState,ActiveState", UNIT]
    done = _finished(command, SYSTEMCTL_S)
    if done is None or done.returncode != 0:
        return None
    pairs = (line.partition("=") for line in done.stdout.splitlines())
    return {key: value for key, _, value in pairs}


def _finished(
    command: list[str], longest_s: float
) -> subprocess.CompletedProcess[str] | None:
    """Run a program; None if it is missing or does not end in time."""
    try:
        return subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=longest_s
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _lines(finding: Finding) -> str:
    mark = "ok   " if finding.is_good else "WRONG"
    line = f"{mark}  {finding.part}: {finding.found}"
    return line if finding.is_good else f"{line}\n       {finding.advice}"
