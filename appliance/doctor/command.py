"""Command `doctor`: runs all checks and prints each finding with its remedy."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

from appliance.audio.portaudio import PortAudio
from appliance.config import Config, Preset, RoomConfig
from appliance.core import fault_table
from appliance.doctor import checks
from appliance.doctor.checks import Finding, Health, finished, health, ignore
from appliance.doctor.devices import all_devices
from appliance.doctor.hardware import pins, screen, sound, wifi
from appliance.errors import ApplianceError
from appliance.net.network_monitor import current_address, current_interface
from appliance.process.state_files import machine_identity, state_folder
from appliance.sound_cards.devices import Device
from appliance.tokens.adapter import TokenAdapter

UNIT: Final = "ptt-appliance.service"

_LOG: Final = "journalctl -u ptt-appliance -n 20 --no-pager"
_NOT_RUNNING: Final = (
    "Start it: sudo systemctl restart ptt-appliance. If it does not run then, its log "
    f"has the reason: sudo {_LOG}."
)
RUNNING: Final = "running"
_NO_PAGE: Final = (
    "If it has just started, run this again. Else its log has the reason, for example "
    f"another program on the port of page.listen: sudo {_LOG}."
)


@dataclass(frozen=True, slots=True)
class CheckInputs:
    """Configuration file, which may be absent, and functions that may fail.

    They raise an `ApplianceError` whose sentence has the remedy.
    """

    path: Path
    devices: Callable[[], tuple[Device, ...]]
    """Search for sound cards, also those in use."""
    fetch_token: Callable[[str | None], tuple[str, str]]
    """As `checks.try_token` does, for a preset or the first room (None)."""


def check_inputs(config: Config, path: Path) -> CheckInputs:
    """Return the inputs for this configuration from this file."""

    @cache
    def devices() -> tuple[Device, ...]:
        with PortAudio() as driver:
            return all_devices(driver)

    def fetch_token(preset: str | None) -> tuple[str, str]:
        identity = machine_identity(state_folder(os.environ))
        source = TokenAdapter(config, identity=identity, post=ignore)
        return asyncio.run(checks.try_token(source, time.time(), preset))

    return CheckInputs(path, devices, fetch_token)


def service(
    systemctl: str = "systemctl", ask: Callable[[], Health | None] | None = None
) -> Finding:
    """Return the state of the service; a box without it has nothing to repair.

    `ask` returns the health of the running box, None if it does not answer; without
    `ask` its page is off.

    Source: systemctl(1), "show"; org.freedesktop.systemd1(5).
    """
    done = finished([systemctl, "show", "--property=LoadState,ActiveState", UNIT])
    if done is None or done.returncode != 0:
        return _running(ask, "unknown, systemd does not respond here")
    values = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    if values.get("LoadState") == "not-found":
        return _running(ask, "not installed")
    state = values.get("ActiveState", "unknown")
    if state != "active":
        return Finding("service", state, _NOT_RUNNING)
    return _running(ask, RUNNING)


def _running(ask: Callable[[], Health | None] | None, state: str) -> Finding:
    """Return the finding with the faults of the box, if it answers."""
    health = ask() if ask else None
    if health is None:
        if state != RUNNING:
            return Finding("service", state)
        words = f"{state}; its faults are not known, because its page"
        if ask is None:
            return Finding("service", f"{words} is off")
        return Finding("service", f"{words} does not answer", _NO_PAGE)
    faults = (*health.faults, *map(_words, health.fault_ids))
    if not faults:
        return Finding("service", f"{state}; the box reports no faults")
    found = f"{state}; the box reports: {'; '.join(faults)}"
    return Finding("service", found, f"Its log has the reasons: sudo {_LOG}.")


def _words(fault_id: str) -> str:
    """Return the words of a fault; those of another version are not known."""
    known = (fault.outline() for fault in fault_table.TABLE if fault.id == fault_id)
    return next(known, "") or fault_id


def doctor(config: Config, inputs: CheckInputs, *, as_json: bool = False) -> int:
    """Print each finding as it comes, or all as JSON; return 1 if anything is wrong."""
    findings = []
    for finding in findings_of(config, inputs):
        findings.append(finding)
        if not as_json:
            # Also into a pipe: the next check may take long.
            print(_lines(finding), flush=True)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    return 0 if all(finding.is_good for finding in findings) else 1


def findings_of(config: Config, inputs: CheckInputs) -> Iterator[Finding]:
    """Yield the result of each check, from the box to the server."""
    rooms = (config.room, *config.room.presets)
    # As keys, because presets inherit them.
    urls = dict.fromkeys(url for room in rooms for url in (room.token_url, room.url))
    is_there = inputs.path.exists()
    remark = "" if is_there else f"; there is no file {inputs.path} yet"
    yield Finding("configuration", f"no mistakes{remark}")
    page = config.page
    yield service(ask=(lambda: health(page.listen)) if page.enabled else None)
    yield from sound("microphone", config.sound.microphone, inputs.devices)
    yield from sound("speaker", config.sound.speaker, inputs.devices)
    yield screen(config.screen)
    yield pins(config.buttons, config.lamps)
    for key_file in dict.fromkeys(room.encryption_key_file for room in rooms):
        if key_file is not None:
            yield checks.encryption_key(key_file)
    yield checks.network(current_address)
    yield wifi(current_interface)
    remote = checks.remote_clock(urls)
    yield checks.clock(time.time(), remote)
    yield checks.names([*urls, config.metrics.post_url])
    yield from tokens(config.room, inputs.fetch_token)


def tokens(
    room: RoomConfig, fetch_token: Callable[[str | None], tuple[str, str]]
) -> Iterator[Finding]:
    """Check the token source of the room and of each preset, and each server once.

    Without a token, it is the server of the configuration, if there is one.
    """
    servers: set[str | None] = set()
    for place in (room, *room.presets):
        preset = place.name if isinstance(place, Preset) else None
        mark = f" ({preset})" if preset else ""
        url = place.url
        try:
            description, url = fetch_token(preset)
        except ApplianceError as exc:
            yield Finding(f"token source{mark}", "does not work", str(exc))
        else:
            yield Finding(f"token source{mark}", description)
        if url not in servers:
            yield replace(checks.server(url), part=f"server{mark}")
            servers.add(url)


def _lines(finding: Finding) -> str:
    line = f"{finding.part}: {finding.found}"
    if finding.is_good:
        return f"ok     {line}"
    return f"WRONG  {line}\n       {finding.advice}"
