"""What the companion tells the demo: one JSON object per line of its output."""

from typing import TypeAlias

import msgspec


class Order(msgspec.Struct):
    """The first line of the companion's input: where to go."""

    url: str
    token: str


class Joined(msgspec.Struct, tag="joined"):
    """It is in the room, and whoever speaks now is heard."""


class Heard(msgspec.Struct, tag="heard"):
    """Somebody spoke and has fallen silent."""

    number: int
    """Counts what was heard, from 1."""
    at_s: float
    """When the first sample arrived, on the machine's monotonic clock."""
    pcm: bytes
    """int16, little-endian, 48 kHz, mono; some silence before and after the speech."""


class Said(msgspec.Struct, tag="said"):
    """It has repeated what it heard."""

    number: int
    at_s: float
    """When the first of these samples was spoken."""
    first: int
    """Where in the `pcm` of `Heard` the repetition begins, in samples."""
    count: int
    """How many samples were repeated."""


class Answered(msgspec.Struct, tag="answered"):
    """It has answered a line of chat."""


class Lost(msgspec.Struct, tag="lost"):
    """It cannot be in the room."""

    sentence: str


Report: TypeAlias = Joined | Heard | Said | Answered | Lost

LONGEST_LINE = 8 * 1024 * 1024
"""Bytes; 30 s of sound in base64 are 4 MB."""

_DECODER: msgspec.json.Decoder[Report] = msgspec.json.Decoder(Report)


def encoded(report: Report) -> bytes:
    """Return the line, with its end."""
    return msgspec.json.encode(report) + b"\n"


def decoded(line: bytes) -> Report:
    """Return what the line says.

    Raises:
        msgspec.MsgspecError: it is no report.
    """
    return _DECODER.decode(line)
