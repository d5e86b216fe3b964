"""Claims of an access token: identity, room and validity.

They are read without verifying the signature, for which only the server has the key
(RFC 7519, section 7.2).
"""

import binascii
import re
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

import msgspec

from appliance.config import RoomKind

MAX_TOKEN_CHARACTERS: Final = 16_384
"""Our choice: servers accept 8 KiB in a header; a longer text is not a token."""
# Python's decoder skips all other characters, the server's does not.
_JWT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*")

StructT = TypeVar("StructT", bound=msgspec.Struct)


class _Header(msgspec.Struct):
    alg: str


class _Video(msgspec.Struct, rename="camel"):
    room: str = ""
    room_join: bool = False


class _Payload(msgspec.Struct, rename="camel"):
    iss: object = None
    sub: str = ""
    exp: Annotated[float, msgspec.Meta(ge=0)] | None = None
    nbf: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    video: _Video = msgspec.field(default_factory=_Video)
    room_config: object = None


@dataclass(frozen=True, slots=True)
class Claims:
    """Identity, room and validity of a token."""

    identity: str
    room: str
    may_join: bool
    expires_at_s: float | None
    """Seconds since the epoch; None: never."""
    not_before_s: float
    """Seconds since the epoch; 0: valid from the start."""
    profile: RoomKind
    """`DTELECOM` if signed with EdDSA by an Ed25519 key in base58, else `LIVEKIT`."""
    expects_agent: bool = False
    """The server brings a voice agent into the room (claim `roomConfig.agents`)."""


def read_claims(token: str) -> Claims | None:
    """Return the claims of a token; None if it is not a JSON Web Token of this kind."""
    parts = _JWT.fullmatch(token) if len(token) <= MAX_TOKEN_CHARACTERS else None
    if parts is None:
        return None
    header, payload = _decoded(parts[1], _Header), _decoded(parts[2], _Payload)
    if header is None or payload is None:
        return None
    is_dtelecom = _is_dtelecom(header.alg, payload.iss)
    return Claims(
        identity=payload.sub,
        room=payload.video.room,
        may_join=payload.video.room_join,
        expires_at_s=payload.exp,
        not_before_s=payload.nbf,
        profile=RoomKind.DTELECOM if is_dtelecom else RoomKind.LIVEKIT,
        expects_agent=_has_agents(payload.room_config),
    )


def _decoded(part: str, shape: type[StructT]) -> StructT | None:
    try:
        raw = urlsafe_b64decode(part.encode("ascii") + b"==")
        return msgspec.json.decode(raw, type=shape)
    except (binascii.Error, UnicodeError, msgspec.MsgspecError, RecursionError):
        return None


def _is_dtelecom(alg: str, issuer: object) -> bool:
    """Return whether the signature is dTelecom's, whose API keys are Ed25519 keys."""
    if alg != "EdDSA" or not isinstance(issuer, str):
        return False
    from appliance.dtelecom.base58 import is_public_key

    return is_public_key(issuer)


def _has_agents(room_config: object) -> bool:
    match room_config:
        case {"agents": [_, *_]}:
            return True
        case _:
            return False
