"""`ptt-appliance doctor`: looks at everything a box needs and says what to do."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from appliance.config import Config
from appliance.doctor import checks
from appliance.doctor.checks import Finding
from appliance.errors import ApplianceError
from appliance.net.monitor import current_address

INTERFACES = Path("/sys/class/net")
IW = "/usr/sbin/iw"
"""Debian keeps it where only root looks."""
IW_S = 5.0
"""`iw` answers at once; this is for a driver that hangs."""

FindCard = Callable[[Literal["microphone", "speaker"]], str]
"""Return the name of the card for `microphone` or `speaker`.

Raises:
    SoundError: there is none; the sentence says what to do.
"""
FetchToken = Callable[[], tuple[str, str]]
"""Fetch a token; return what to say of it, without the token, and its server's URL.

Raises:
    TokenError: none could be had; the sentence says why.
"""


def doctor(
    config: Config,
    find_card: FindCard,
    fetch_token: FetchToken,
    *,
    as_json: bool = False,
) -> int:
    """Print what was found; return 0 when there is nothing to do, else 1.

    Args:
        config: checked already.
        find_card: asks the sound system.
        fetch_token: asks the token source.
        as_json: for a script.
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
    """Yield the answer to each question, the nearest first."""
    yield Finding("configuration", "no mistakes")
    yield checks.ask("microphone", lambda: find_card("microphone"))
    yield checks.ask("speaker", lambda: find_card("speaker"))
    yield checks.screen(config.screen)
    yield checks.pins(config.buttons, config.lamps)
    yield checks.network(current_address)
    yield wifi()
    yield checks.clock(datetime.now(UTC))
    yield checks.names((config.room.token_url, config.room.url))
    yield from room(config.room.url, fetch_token)


def room(url: str | None, fetch_token: FetchToken) -> Iterator[Finding]:
    """Say whether there is a token, and a server that could take it.

    Args:
        url: of the server, where the configuration names one.
        fetch_token: asks the token source.
    """
    try:
        said, url = fetch_token()
    except ApplianceError as error:
        yield Finding("token source", "does not work", str(error))
    else:
        yield Finding("token source", said)
    yield checks.server(url)


def wifi(interfaces: Path = INTERFACES, iw: str | None = None) -> Finding:
    """Say whether Wi-Fi saves power, which costs tenths of a second.

    Args:
        interfaces: where the kernel lists them.
        iw: the program to ask; None: the system's.
    """
    wireless = sorted(path.parent.name for path in interfaces.glob("*/wireless"))
    if not wireless:
        return Finding("Wi-Fi", "not used")
    program = iw or shutil.which("iw") or IW
    told = {name: _power_save(program, name) for name in wireless}
    found = ", ".join(f"{name} power save {state}" for name, state in told.items())
    if "on" in told.values():
        advice = f"Switch it off: sudo iw dev {wireless[0]} set power_save off."
        return Finding("Wi-Fi", found, advice)
    if "unknown" in told.values():
        advice = "Install iw (sudo apt install iw) and ask again."
        return Finding("Wi-Fi", found, advice)
    return Finding("Wi-Fi", found)


def _power_save(iw: str, interface: str) -> str:
    """Return `on`, `off` or `unknown`."""
    command = [iw, "dev", interface, "get", "power_save"]
    try:
        told = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=IW_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    state = told.stdout.strip().rpartition(" ")[2]
    return state if state in {"on", "off"} else "unknown"


def _lines(finding: Finding) -> str:
    mark = "ok   " if finding.is_good else "WRONG"
    line = f"{mark}  {finding.part}: {finding.found}"
    return line if finding.is_good else f"{line}\n       {finding.advice}"
