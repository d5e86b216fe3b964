"""Virtual USB sound cards for tests: real alsa-lib and PortAudio on a simulated clock.

A card is a folder of plain files, so any process may speak into it, listen to it or
unplug it while another one plays::

    kitchen = Card(tmp_path / "kitchen", name="USB PnP Sound Device")
    env = plug_in(tmp_path / "asound.conf", kitchen, default=kitchen)
    process = subprocess.Popen([...], env=os.environ | env)
    at_s = kitchen.now_s() + 1.0
    kitchen.speak(words, at_s)
    ...
    delay_s = mouth_to_ear_s(words, kitchen.heard(at_s), kitchen.rate_hz)

`tests.card.faults` lists what can be wrong with a card. Sample n of stimulus and
recording belongs to the moment `epoch_ns` + n / rate.
"""

import os
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tests.card.build import plugin

Samples: TypeAlias = NDArray[np.int16]
"""Mono samples, shape (n,)."""


_SHARED = struct.Struct("=19q")
"""The card's `struct shared`: its counters, then its controls."""
_COUNTERS = 6


STUCK_MICROPHONE = 1
STUCK_SPEAKER = 2


class Control(IntEnum):
    """Control of a card, switchable at any time; the value is its place in `shared`."""

    IS_UNPLUGGED = 6
    IS_STALLED = 7
    """The clock of both directions stands still, without errors."""
    OPEN_ERRNO_MICROPHONE = 8
    """Error of each attempt to open this direction."""
    OPEN_ERRNO_SPEAKER = 9
    OPENABLE_AT_NS = 10
    """Monotonic time before which opening it is not permitted."""
    OPEN_MS = 11
    """Duration of each attempt to open it, successful or not."""
    START_ERRNO = 12
    """Error of each start of a stream."""
    START_STUCK = 13
    """Bit mask of the directions whose start does not return: `STUCK_MICROPHONE` and
    `STUCK_SPEAKER`."""
    IS_ERROR_LOOP = 14
    """While the card is unplugged, stopping or closing its streams does not return and
    writes about 100,000 lines a second to standard error."""
    IS_DEAD_MICROPHONE = 15
    """The clock of this direction stands still, without errors."""
    IS_DEAD_SPEAKER = 16
    SILENT_CHANNELS = 17
    """Bit mask of the microphone's channels that deliver zeros; -1: all."""
    IS_CRASHING = 18
    """A running stream ends its process by a segmentation fault."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Counters of a card, summed over all processes since its creation."""

    overruns: int
    """Overruns: the capture buffer was full."""
    underruns: int
    """Underruns: the playback buffer was empty."""
    microphone_starts: int
    speaker_starts: int
    microphone_frames: int
    speaker_frames: int


@dataclass(frozen=True, slots=True)
class Card:
    """One USB sound card in a folder of its own.

    The folder is made if it is not there. Cards that are measured against each other
    must share `epoch_ns`.
    """

    folder: Path
    name: str = "USB PnP Sound Device"
    """Name in PortAudio: any text without `.` and `"`. A real card reads
    `USB PnP Sound Device: Audio (hw:1,0)`; that works, too. Lone surrogates are bytes
    that are not UTF-8, as in `os.fsdecode`."""
    rates_hz: Sequence[int] = (48_000,)
    """Supported rates; the first is also that of stimulus and recording."""
    microphone_rates_hz: Sequence[int] = ()
    """Rates of the microphone, if they differ from those."""
    speaker_rates_hz: Sequence[int] = ()
    sample_format: str = "S16_LE"
    """Format of its samples: also `S24_3LE` or `S32_LE`."""
    microphone_channels: int = 1
    """0: the card has no microphone."""
    speaker_channels: int = 2
    """0: the card has no speaker. The recording is the mean of all channels."""
    ppm: float = 0.0
    """Clock drift against nominal; negative is slower."""
    is_looped: bool = False
    """Whether the stimulus repeats at its end."""
    echo_gain: float = 0.0
    """Gain of the echo from speaker to microphone: 0.1 is -20 dB."""
    echo_ms: int = 20
    """Delay of the echo; must be more than the application's buffer."""
    epoch_ns: int = field(default_factory=time.monotonic_ns)

    def __post_init__(self) -> None:
        """Make the folder and its files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("stimulus.raw", "heard.raw", "shared"):
            (self.folder / name).touch()
        os.truncate(self.folder / "shared", _SHARED.size)

    @property
    def rate_hz(self) -> int:
        """Sample rate of stimulus and recording."""
        return self.rates_hz[0]

    def now_s(self) -> float:
        """Return seconds since the epoch."""
        return (time.monotonic_ns() - self.epoch_ns) / 1e9

    def speak(self, samples: Samples, at_s: float) -> None:
        """Add samples to the stimulus of the microphone.

        The card reads them when their moment has passed, so this works while it runs;
        what is written into the past is not heard.

        Args:
            samples: int16, mono, at `rate_hz`.
            at_s: Seconds since the epoch, of the first sample.
        """
        with (self.folder / "stimulus.raw").open("r+b") as file:
            file.seek(round(at_s * self.rate_hz) * 2)
            file.write(samples.astype("<i2").tobytes())

    def heard(self, since_s: float = 0.0, until_s: float | None = None) -> Samples:
        """Return the recording of the speaker.

        Args:
            since_s: Seconds since the epoch.
            until_s: The end; if not given, the last sound. Silence fills up to it.
        """
        first = round(since_s * self.rate_hz)
        with (self.folder / "heard.raw").open("rb") as file:
            file.seek(first * 2)
            last = None if until_s is None else round(until_s * self.rate_hz)
            got = file.read() if last is None else file.read((last - first) * 2)
        samples = np.frombuffer(got, dtype="<i2").astype(np.int16)
        if last is None:
            return samples
        return np.pad(samples, (0, last - first - len(samples)))

    def counts(self) -> Counts:
        """Return the counters."""
        numbers = _SHARED.unpack((self.folder / "shared").read_bytes())
        return Counts(*numbers[:_COUNTERS])

    def unplug(self) -> None:
        """Unplug the card; its streams end within one period and do not recover."""
        self.set(Control.IS_UNPLUGGED, 1)

    def plug(self) -> None:
        """Plug the card in again; it can be opened."""
        self.set(Control.IS_UNPLUGGED, 0)

    def stall(self) -> None:
        """Stop the card's clock: no blocks, no errors."""
        self.set(Control.IS_STALLED, 1)

    def resume(self) -> None:
        """Resume the clock; the time in between is lost, nothing is shifted."""
        self.set(Control.IS_STALLED, 0)

    def set(self, control: Control, value: int) -> None:
        """Set a control; 0 is the value of a card without faults."""
        with (self.folder / "shared").open("r+b") as file:
            file.seek(8 * control)
            file.write(struct.pack("=q", value))


def plug_in(path: Path, *cards: Card, default: Card | None = None) -> dict[str, str]:
    """Write an ALSA configuration with these cards and nothing else.

    Args:
        path: The configuration file, made or replaced; ALSA takes a blank or a colon in
            its name for the end of it.
        cards: PortAudio lists them in this order.
        default: The card that ALSA's `default` names; PortAudio then lists that, too.

    Returns:
        Environment variables for the process that shall see these cards. In this
        process, use `seen_here`.

    Raises:
        ValueError: ALSA would not find a file of this name.
    """
    if set(str(path)) & set(" :"):
        message = f"path: expected no blank and no colon, found {str(path)!r}"
        raise ValueError(message)
    nodes = [f'pcm_type.ptt {{ lib "{plugin()}" }}']
    nodes += [_listed(card) for card in cards]
    # PortAudio 19.6 aborts if it can use everything it finds (an assert in
    # BuildDeviceList of pa_linux_alsa.c): so add a device that it cannot use.
    nodes.append('pcm.nothing { type ptt dir "/" epoch_ns "1" rates [ 48000 ]')
    nodes.append("capture_channels 0 playback_channels 0 }")
    if default is not None:
        nodes.append(_node("default", default))
    path.write_text("\n".join(nodes) + "\n", "utf-8", "surrogateescape")
    return {"ALSA_CONFIG_PATH": str(path)}


def _listed(card: Card) -> str:
    """Return the configuration by which PortAudio and alsa-lib find the card.

    PortAudio lists the names of all nodes that it can open. alsa-lib takes what follows
    a colon as arguments of the node before it; alone, that node cannot be opened.
    """
    name, colon, arguments = card.name.partition(":")
    if not colon:
        return _node(card.name, card)
    letters = "ABCDEFGH"[: arguments.count(",") + 1]
    types = "".join(f"@args.{letter} {{ type string }}\n" for letter in letters)
    wanted = f"@args [ {' '.join(letters)} ]\n{types}is_alias yes argument $A"
    return f'pcm."{card.name}" {{ type ptt }}\n' + _node(name, card, wanted)


def _node(name: str, card: Card, arguments: str = "") -> str:
    lists = {
        "rates": card.rates_hz,
        "capture_rates": card.microphone_rates_hz,
        "playback_rates": card.speaker_rates_hz,
    }
    rates = "\n    ".join(
        f"{key} [ {' '.join(map(str, values))} ]"
        for key, values in lists.items()
        if values
    )
    return f"""pcm."{name}" {{
    {arguments}
    type ptt
    dir "{card.folder}"
    epoch_ns "{card.epoch_ns}"
    {rates}
    format {card.sample_format}
    capture_channels {card.microphone_channels}
    playback_channels {card.speaker_channels}
    ppm {card.ppm:.6f}
    loop {"yes" if card.is_looped else "no"}
    echo_gain {card.echo_gain:.6f}
    echo_ms {card.echo_ms}
}}"""
