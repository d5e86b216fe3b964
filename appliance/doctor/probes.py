"""Questions of the doctor to sound cards and token source, asked as the box does."""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from appliance.audio.card_levels import levels_found
from appliance.audio.device_list import all_devices, card_name
from appliance.audio.devices import Direction, chosen
from appliance.audio.portaudio import PortAudio
from appliance.config import Cards, Config
from appliance.doctor.checks import try_token
from appliance.process.state_files import state_folder
from appliance.process.store import Store
from appliance.tokens.source import TokenSource


@dataclass(frozen=True, slots=True)
class Probes:
    """The questions; each raises an `ApplianceError` whose sentence has the remedy."""

    find_card: Callable[[Direction], str]
    """Return the name of the card for a direction."""
    find_levels: Callable[[Direction], tuple[str, str]]
    """Return the hardware levels of that card and advice; no advice: they are good."""
    fetch_token: Callable[[], tuple[str, str]]
    """Fetch a token; return a description without the token, and its server's URL."""


def probes_of(config: Config) -> Probes:
    """Return the questions for this configuration."""
    wishes: dict[Direction, Cards] = {
        "microphone": config.sound.microphone,
        "speaker": config.sound.speaker,
    }

    def find_card(direction: Direction) -> str:
        wished = wishes[direction]
        if wished == "none":
            return "none configured"
        return card_name(wished, direction, all_devices(PortAudio()))

    def find_levels(direction: Direction) -> tuple[str, str]:
        wished = wishes[direction]
        if wished == "none":
            return "none configured", ""
        devices = all_devices(PortAudio())
        return levels_found(chosen(wished, devices, direction), direction)

    def fetch_token() -> tuple[str, str]:
        identity = Store(state_folder(os.environ), _ignore).read().identity
        source = TokenSource(config, identity=identity, post=_ignore)
        return asyncio.run(try_token(source, time.time()))

    return Probes(find_card, find_levels, fetch_token)


def _ignore(_event: object) -> None:
    """Ignore the event: there is no control loop here."""
