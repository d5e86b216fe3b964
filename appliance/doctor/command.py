"""Command `doctor`: runs all checks and prints each finding with its remedy."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict

from appliance.audio.devices import Direction
from appliance.config import Config
from appliance.doctor import checks
from appliance.doctor.checks import Finding
from appliance.doctor.clock import clock
from appliance.doctor.http_question import health, remote_clock
from appliance.doctor.probes import Probes
from appliance.doctor.service import service
from appliance.doctor.wifi import wifi
from appliance.errors import ApplianceError
from appliance.net.monitor import current_address, current_interface


def doctor(config: Config, probes: Probes, *, as_json: bool = False) -> int:
    """Print the findings; return 0 if nothing is wrong, else 1.

    Args:
        config: configuration without faults.
        probes: questions to sound cards and token source.
        as_json: print JSON, for scripts.
    """
    findings = list(findings_of(config, probes))
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    else:
        print("\n".join(map(_lines, findings)))
    return 0 if all(finding.is_good for finding in findings) else 1


def findings_of(config: Config, probes: Probes) -> Iterator[Finding]:
    """Yield the result of each check, from the box to the server."""
    urls = config.room.token_url, config.room.url
    yield Finding("configuration", "no mistakes")
    page = config.page
    yield service(ask=lambda: health(page.listen) if page.enabled else None)
    yield from sound("microphone", probes)
    yield from sound("speaker", probes)
    yield checks.screen(config.screen)
    yield checks.pins(config.buttons, config.lamps)
    yield checks.network(current_address)
    yield wifi(current_interface)
    remote = remote_clock(urls)
    yield clock(time.time(), remote)
    yield checks.names(urls)
    yield from room(config.room.url, probes.fetch_token)


def sound(direction: Direction, probes: Probes) -> Iterator[Finding]:
    """Check the card of one direction and, if there is one, its levels."""
    yield checks.result_of(direction, lambda: probes.find_card(direction))
    try:
        found, advice = probes.find_levels(direction)
    except ApplianceError:
        # There is no card, which has been said.
        return
    yield Finding(f"{direction} level", found, advice)


def room(
    url: str | None, fetch_token: Callable[[], tuple[str, str]]
) -> Iterator[Finding]:
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


def _lines(finding: Finding) -> str:
    mark = "ok   " if finding.is_good else "WRONG"
    line = f"{mark}  {finding.part}: {finding.found}"
    return line if finding.is_good else f"{line}\n       {finding.advice}"
