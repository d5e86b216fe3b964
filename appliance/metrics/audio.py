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
    """Samples were lost or missing at the card, or no block was ready for it in time.
    In a duplex stream a lost period counts for both directions, because PortAudio then
    starts both again."""
    DROP = "drop"
    """PortAudio discarded captured samples without reporting it."""
    STALL = "stall"
    """The card's callback stopped coming, as of an unplugged card too, or brought no
    captured samples for a second."""
    UNPLUG = "unplug"
    """A card that had worked was not listed any more."""
    OVERFLOW = "overflow"
    """A buffer was full: audio was dropped. Each time counts once."""
    UNDERFLOW = "underflow"
    """A buffer was empty in speech: silence was played or sent instead. Each gap counts
    once."""


@dataclass(frozen=True, slots=True)
class AudioFigures:
    """Counts since the process started, and present values."""

    blocks: Mapping[AudioDirection, int] = field(default_factory=dict)
    """Blocks of 10 ms that went to the encoder or to the card, silence included."""
    faults: Mapping[tuple[AudioDirection, AudioFault], int] = field(
        default_factory=dict
    )
    depth_s: Mapping[str, float] = field(default_factory=dict)
    """Audio waiting in each buffer, by the buffer's name."""
    drift_ppm: float = 0.0
    """How much faster the speaker's clock runs than the network's, by the sound of the
    newest talker."""
