"""Statistics of the audio path, as its metrics show them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class AudioDirection(StrEnum):
    """Direction of audio or chat, seen from the appliance."""

    SEND = "send"
    """Microphone to room."""
    RECEIVE = "receive"
    """Room to speaker."""


class AudioFault(StrEnum):
    """Faults of the audio path."""

    XRUN = "xrun"
    """PortAudio reported samples lost or missing at the card."""
    DROP = "drop"
    """PortAudio discarded captured samples without reporting it."""
    STALL = "stall"
    """The card's callback stopped coming."""
    UNPLUG = "unplug"
    """The card went away."""
    OVERFLOW = "overflow"
    """A buffer was full: audio was dropped."""
    UNDERFLOW = "underflow"
    """A buffer was empty: silence was played instead."""


@dataclass(frozen=True, slots=True)
class AudioFigures:
    """Counts since the process started, and present values."""

    blocks: Mapping[AudioDirection, int] = field(default_factory=dict)
    """Blocks of 10 ms that went to the encoder or to the card."""
    faults: Mapping[tuple[AudioDirection, AudioFault], int] = field(
        default_factory=dict
    )
    depth_s: Mapping[str, float] = field(default_factory=dict)
    """Audio waiting in each buffer, by the buffer's name."""
    drift_ppm: float = 0.0
    """How much faster the speaker's clock runs than the network's."""
