"""Questions of the doctor to sound cards and token source, asked as the box does."""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from appliance.audio.card_levels import levels_found
from appliance.audio.device_list import all_devices, card_name
from appliance.audio.devices import Device, Direction, chosen
from appliance.audio.portaudio import PortAudio
from appliance.config import Cards, Config
from appliance.doctor.checks import try_token
from appliance.errors import SoundError
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
    search = _Search()

    def find_card(direction: Direction) -> str:
        wished = wishes[direction]
        if wished == "none":
            return "none configured"
        return card_name(wished, direction, search.devices())

    def find_levels(direction: Direction) -> tuple[str, str]:
        wished = wishes[direction]
        if wished == "none":
            return "none configured", ""
        return levels_found(chosen(wished, search.devices(), direction), direction)

    def fetch_token() -> tuple[str, str]:
        identity = Store(state_folder(os.environ), _ignore).read().identity
        source = TokenSource(config, identity=identity, post=_ignore)
        return asyncio.run(try_token(source, time.time()))

    return Probes(find_card, find_levels, fetch_token)


class _Search:
    """One search for cards, for all questions: a card may take seconds to fail."""

    def __init__(self) -> None:
        self._found: tuple[Device, ...] | SoundError | None = None

    def devices(self) -> tuple[Device, ...]:
        """Return the cards.

        Raises:
            SoundError: PortAudio cannot list them, or does not answer.
        """
        if self._found is None:
            try:
                with PortAudio() as driver:
                    self._found = all_devices(driver)
            except SoundError as exc:
                self._found = exc
        if isinstance(self._found, SoundError):
            raise self._found
        return self._found


def _ignore(_event: object) -> None:
    """Ignore the event: there is no control loop here."""
