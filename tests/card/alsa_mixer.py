"""Virtual mixers for tests: the real libasound on controls in a text file.

mixer = Mixer(tmp_path, "Device")
mixer.write(Control("PCM Playback Volume", 12, 0, 32, -32, 1))
with mixers_here(tmp_path):
    ...  # snd_mixer_attach finds it as "hw:Device"
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from appliance.sound_cards.alsa_mixer import LIBRARY
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


@contextmanager
def mixers_here(folder: Path) -> Iterator[None]:
    """Let libasound in this process find the mixers of a folder, and nothing else."""
    path = folder / "mixers.conf"
    path.write_text(
        f'ctl_type.ptt {{ lib "{plugin(MIXER)}" }}\n'
        "ctl.hw { @args [ CARD ] @args.CARD { type string }\n"
        f'type ptt dir "{folder}" card $CARD }}\n'
    )
    name = "ALSA_CONFIG_PATH"
    before = os.environ.get(name)
    os.environ[name] = str(path)
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
        # PortAudio reads the configuration only if there is none in memory.
        ctypes.CDLL(LIBRARY).snd_config_update_free_global()
