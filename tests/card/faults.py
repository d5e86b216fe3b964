"""Faults of the virtual card: `python -m tests.card.faults` prints the table.

`tests.card.conditions` runs the box through them, and `ptt-appliance demo --card NAME`
lets a person see what the box says about one.
"""

import errno
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.card.asound import STUCK_MICROPHONE, STUCK_SPEAKER, Card, Control

FOR_EVER_MS: Final = 1_000_000_000
LATE_MS: Final = 1500
"""Time after which udev has set the permissions of a card's nodes."""
ALL_CHANNELS: Final = -1
AT_OPENING: Final = {
    Control.OPEN_ERRNO_MICROPHONE,
    Control.OPEN_ERRNO_SPEAKER,
    Control.OPEN_MS,
    Control.START_ERRNO,
    Control.START_STUCK,
}
"""Controls without an effect on a stream that runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFault:
    """One thing that can be wrong with a card."""

    name: str
    condition: str
    """What the card does."""
    controls: Mapping[Control, int] = field(default_factory=dict)
    """What is set while the fault lasts: it can be switched while the card runs."""
    openable_after_ms: int = 0
    """Time after the fault begins in which the card is listed, but cannot be opened."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """How the card is made: it has the fault for ever."""

    @property
    def is_lasting(self) -> bool:
        """Whether the card is made with the fault, which cannot be switched."""
        return bool(self.options) and not self.controls

    @property
    def is_at_opening(self) -> bool:
        """Whether it has no effect on a stream that runs."""
        return bool(self.openable_after_ms) or not AT_OPENING.isdisjoint(self.controls)

    def card(self, folder: Path, **options: Any) -> Card:
        """Return a card that has or may have this fault; it has not begun."""
        return Card(folder, **{**options, **self.options})

    def begin(self, card: Card) -> None:
        """Let the fault begin."""
        for control, value in self.controls.items():
            card.set(control, value)
        if self.openable_after_ms:
            later_ns = self.openable_after_ms * 1_000_000
            card.set(Control.OPENABLE_AT_NS, time.monotonic_ns() + later_ns)

    def end(self, card: Card) -> None:
        """Remove the cause."""
        # Plugged in last: the card that comes back has no fault.
        for control in sorted(self.controls, reverse=True):
            card.set(control, 0)


def _made(name: str, condition: str, /, **options: object) -> CardFault:
    """Return a fault that the card has for ever."""
    return CardFault(name=name, condition=condition, options=options)


def _switched(name: str, condition: str, *controls: tuple[Control, int]) -> CardFault:
    """Return a fault that can come and go."""
    return CardFault(name=name, condition=condition, controls=dict(controls))


_UNPLUGGED: Final = (Control.IS_UNPLUGGED, 1)
FAULTS: Final = {
    fault.name: fault
    for fault in (
        _switched("unplugged", "it is unplugged", _UNPLUGGED),
        _switched(
            "error-loop",
            "unplugged, closing its stream does not return and floods standard error",
            _UNPLUGGED,
            (Control.IS_ERROR_LOOP, 1),
        ),
        _switched("crash", "its library crashes", (Control.IS_CRASHING, 1)),
        _switched("stalled", "its clock stands still", (Control.IS_STALLED, 1)),
        _switched(
            "microphone-dead",
            "the clock of the microphone stands still, the speaker plays",
            (Control.IS_DEAD_MICROPHONE, 1),
        ),
        _switched(
            "speaker-dead",
            "the clock of the speaker stands still, the microphone captures",
            (Control.IS_DEAD_SPEAKER, 1),
        ),
        _switched(
            "zeros",
            "the microphone delivers exact zeros",
            (Control.SILENT_CHANNELS, ALL_CHANNELS),
        ),
        _switched(
            "start-refused",
            "a stream opens, but cannot be started (no USB bandwidth)",
            (Control.START_ERRNO, errno.ENOSPC),
        ),
        _switched(
            "start-hangs",
            "starting a stream does not return",
            (Control.START_STUCK, STUCK_MICROPHONE | STUCK_SPEAKER),
        ),
        _switched(
            "microphone-hangs",
            "starting the microphone does not return, the speaker works",
            (Control.START_STUCK, STUCK_MICROPHONE),
        ),
        _switched(
            "speaker-hangs",
            "starting the speaker does not return, the microphone works",
            (Control.START_STUCK, STUCK_SPEAKER),
        ),
        _switched("open-slow", "opening it takes 60 s", (Control.OPEN_MS, 60_000)),
        _switched(
            "open-hangs", "opening it does not return", (Control.OPEN_MS, FOR_EVER_MS)
        ),
        _switched(
            "microphone-busy",
            "another program uses the microphone",
            (Control.OPEN_ERRNO_MICROPHONE, errno.EBUSY),
        ),
        _switched(
            "speaker-busy",
            "another program uses the speaker",
            (Control.OPEN_ERRNO_SPEAKER, errno.EBUSY),
        ),
        _switched(
            "not-permitted",
            "opening it is not permitted",
            (Control.OPEN_ERRNO_MICROPHONE, errno.EACCES),
            (Control.OPEN_ERRNO_SPEAKER, errno.EACCES),
        ),
        CardFault(
            name="permission-late",
            condition=f"it is listed {LATE_MS} ms before opening it is permitted",
            openable_after_ms=LATE_MS,
        ),
        CardFault(
            name="one-channel",
            condition="its stereo microphone has sound in the left channel only",
            controls={Control.SILENT_CHANNELS: 0b10},
            options={"microphone_channels": 2},
        ),
        _made("name-utf8", "its name is not ASCII", name="USB Küche 麦克风 🎤"),
        _made(
            "name-bytes", "its name is not UTF-8", name="USB K\udcfcche \udcff\udcfe"
        ),
        _made("name-long", "its name has 200 characters", name=f"USB {'sound ' * 32}X"),
        _made("s24", "its samples have 24 bits", sample_format="S24_3LE"),
        _made("s32", "its samples have 32 bits", sample_format="S32_LE"),
        _made("44100-hz", "44.1 kHz only", rates_hz=(44_100,)),
        _made("22050-hz", "22.05 kHz only", rates_hz=(22_050,)),
        _made("192000-hz", "192 kHz only", rates_hz=(192_000,)),
        _made("88200-hz", "88.2 kHz only", rates_hz=(88_200,)),
        _made("24000-hz", "24 kHz only", rates_hz=(24_000,)),
        _made("16000-hz", "16 kHz only", rates_hz=(16_000,)),
        _made("8000-hz", "8 kHz only", rates_hz=(8_000,)),
        _made(
            "rates-differ",
            "the microphone has 16 kHz only, the speaker 48 kHz only",
            microphone_rates_hz=(16_000,),
            speaker_rates_hz=(48_000,),
        ),
    )
}
"""All faults by name."""


def table() -> str:
    """Return the names and conditions as lines of text."""
    width = max(map(len, FAULTS))
    return "\n".join(f"{x.name:{width}}  {x.condition}" for x in FAULTS.values())


if __name__ == "__main__":
    print(table())
