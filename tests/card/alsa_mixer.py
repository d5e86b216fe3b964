"""Virtual mixers for tests: the real libasound on controls in a text file.

    mixer = Mixer(tmp_path, "Device", ("PCM Playback Volume", 12, 0, 32, -32, 1))
    env = plug_in_mixers(tmp_path / "asound.conf", tmp_path)

A process with these variables finds the mixer as `hw:Device`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.card.build import MIXER, plugin


class Control(NamedTuple):
    """One control of a card, named as the kernel does: `PCM Playback Volume`."""

    name: str
    value: int
    least: int = 0
    most: int = 1
    least_db: float = 0.0
    step_db: float = 0.0
    """Decibels of one step; 0: the driver says nothing about decibels."""


@dataclass(frozen=True, slots=True)
class Mixer:
    """Controls of one card, in the file that the plugin reads."""

    folder: Path
    card_id: str

    def write(self, *controls: Control) -> None:
        """Replace all controls."""
        lines = ("|".join(map(str, control)) for control in controls)
        self._path.write_text("".join(f"{line}\n" for line in lines))

    def values(self) -> dict[str, int]:
        """Return the present value of each control."""
        fields = (line.split("|") for line in self._path.read_text().splitlines())
        return {name: int(value) for name, value, *_ in fields}

    @property
    def _path(self) -> Path:
        return self.folder / f"{self.card_id}.mixer"


def plug_in_mixers(path: Path, folder: Path) -> dict[str, str]:
    """Write an ALSA configuration with the mixers of a folder.

    Returns:
        Environment variables for the process that shall see them.
    """
    path.write_text(
        f'ctl_type.ptt {{ lib "{plugin(MIXER)}" }}\n'
        "ctl.hw { @args [ CARD ] @args.CARD { type string }\n"
        f'type ptt dir "{folder}" card $CARD }}\n'
    )
    return {"ALSA_CONFIG_PATH": str(path)}
