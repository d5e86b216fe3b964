"""Reads what a token says, without the key that it was signed with."""

import binascii
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from typing import Annotated, TypeVar

import msgspec

MAX_TOKEN_LETTERS = 16_384
"""Our choice: servers take a header of 8 KiB; more is no token."""
_DOTS = 2

StructT = TypeVar("StructT", bound=msgspec.Struct)


class _Header(msgspec.Struct):
    alg: str


class _Video(msgspec.Struct, rename="camel"):
    room: str = ""
    room_join: bool = False


class _Payload(msgspec.Struct):
    sub: str = ""
    exp: Annotated[float, msgspec.Meta(ge=0)] | None = None
    nbf: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    video: _Video = msgspec.field(default_factory=_Video)


@dataclass(frozen=True, slots=True)
class Claims:
    """Who may join which room until when; unverified."""

    identity: str
    room: str
    may_join: bool
    expires_at_s: float | None
    """Seconds since the epoch; None: never."""
    not_before_s: float
    """Seconds since the epoch; 0: valid from the start."""
    is_ed25519: bool
    """Signed as dTelecom signs; LiveKit uses HS256."""


def read_claims(token: str) -> Claims | None:
    """Return what the token says, None if it is no JSON Web Token of this kind.

    Source: RFC 7519, section 7.2, without the verification, which is the server's.
    """
    if token.count(".") != _DOTS or len(token) > MAX_TOKEN_LETTERS:
        return None
    first, second, _ = token.split(".")
    header, payload = _decoded(first, _Header), _decoded(second, _Payload)
    if header is None or payload is None:
        return None
    return Claims(
        identity=payload.sub,
        room=payload.video.room,
        may_join=payload.video.room_join,
        expires_at_s=payload.exp,
        not_before_s=payload.nbf,
        is_ed25519=header.alg == "EdDSA",
    )


def _decoded(part: str, shape: type[StructT]) -> StructT | None:
    try:
        raw = urlsafe_b64decode(part.encode("ascii") + b"==")
        return msgspec.json.decode(raw, type=shape)
    except (binascii.Error, UnicodeError, msgspec.MsgspecError, RecursionError):
        return None
