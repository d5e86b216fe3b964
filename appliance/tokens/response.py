"""Parser of token sources' responses, and of the claims of the tokens in them.

Each error's sentence begins with its subject, so that it can be shown unchanged.
"""

import binascii
from base64 import urlsafe_b64decode
from dataclasses import dataclass, field
from typing import Annotated, TypeVar

import msgspec

from appliance.config import RoomKind, RoomSettings
from appliance.core.events import Cause
from appliance.errors import TokenRefused, TokenUnreachable
from appliance.net.url import address_fault

TOKEN_KEYS = ("participant_token", "participantToken", "token", "accessToken")
URL_KEYS = ("server_url", "serverUrl", "wsUrl", "ws_url")
_LONGEST_KEYS = 80
"""Characters of an error sentence that may list the keys of a response."""
_SCHEMES = {"https://": "wss://", "http://": "ws://"}
_NO_TOKEN = "a text that is not a JSON Web Token."
MAX_TOKEN_CHARACTERS = 16_384
"""Our choice: servers accept 8 KiB in a header; a longer text is not a token."""
_DOTS = 2

StructT = TypeVar("StructT", bound=msgspec.Struct)


class _Header(msgspec.Struct):
    alg: str


class _Video(msgspec.Struct, rename="camel"):
    room: str = ""
    room_join: bool = False


class _Payload(msgspec.Struct, rename={"room_config": "roomConfig"}):
    sub: str = ""
    exp: Annotated[float, msgspec.Meta(ge=0)] | None = None
    nbf: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    video: _Video = msgspec.field(default_factory=_Video)
    room_config: object = None


@dataclass(frozen=True, slots=True)
class Claims:
    """Claims of a token: identity, room and validity; the signature is not verified."""

    identity: str
    room: str
    may_join: bool
    expires_at_s: float | None
    """Seconds since the epoch; None: never."""
    not_before_s: float
    """Seconds since the epoch; 0: valid from the start."""
    is_ed25519: bool
    """Signed with EdDSA, as dTelecom does; LiveKit uses HS256."""
    has_agents: bool = False
    """The server brings a voice agent into the room."""


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """A token and the address of the server that accepts it."""

    url: str
    token: str = field(repr=False)
    identity: str
    room: str
    wait_s: float = 0.0
    """Time until the token becomes valid; the server would refuse it before."""
    expects_agent: bool = False
    """A voice agent comes into the room."""


def read_claims(token: str) -> Claims | None:
    """Return the claims of a token; None if it is not a JSON Web Token of this kind.

    Source: RFC 7519, section 7.2, without the verification, for which only the server
    has the key.
    """
    if token.count(".") != _DOTS or len(token) > MAX_TOKEN_CHARACTERS:
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
        has_agents=_has_agents(payload.room_config),
    )


def read_answer(
    body: bytes, room: RoomSettings, where: str, now_s: float
) -> TokenAnswer:
    """Return token and server address from a 2xx response, whatever its Content-Type.

    Args:
        body: of the response.
        room: names the server if the response does not.
        where: address of the token source without secrets.
        now_s: seconds since the epoch, by the token source's clock if it is known.

    Raises:
        TokenRefused: the response cannot be used, and a retry would not help.
        TokenUnreachable: the response cannot be used, but a retry may help.
    """
    values = _values(body, where)
    token = _first(values, TOKEN_KEYS)
    if token is None:
        names = sorted(filter(str.isidentifier, values))
        keys = ", ".join(names)[:_LONGEST_KEYS] or "none"
        sentence = (
            f"{where} answered without a token. Expected one of these keys: "
            f"{', '.join(TOKEN_KEYS)}; found {keys}."
        )
        raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence)
    claims = _claims(token, room, f"{where} gave")
    fault = None if claims is None else _token_fault(claims, now_s)
    if claims is None or fault is not None:
        sentence = f"{where} gave {fault or _NO_TOKEN}"
        raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence)
    url = _server(_first(values, URL_KEYS), room, where)
    wait_s = max(0.0, claims.not_before_s - now_s)
    expects_agent = claims.has_agents or room.expect_agent
    return TokenAnswer(url, token, claims.identity, claims.room, wait_s, expects_agent)


def fixed_answer(room: RoomSettings, now_s: float) -> TokenAnswer:
    """Return token and server address from the configuration.

    Raises:
        TokenRefused: the token cannot be used.
    """
    assert room.token is not None
    claims = _claims(room.token, room, "room.token is")
    fault = None if claims is None else _token_fault(claims, now_s)
    if claims is None or fault is not None:
        sentence = f"room.token is {fault or _NO_TOKEN} Write another, or token_url."
        raise TokenRefused(Cause.MISCONFIGURED, sentence)
    url = _server(None, room, "room.token")
    return TokenAnswer(
        url,
        room.token,
        claims.identity,
        claims.room,
        expects_agent=claims.has_agents or room.expect_agent,
    )


def _values(body: bytes, where: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        sentence = f"{where} answered with {_kind(body)}, where JSON was expected."
        raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence) from exc


def _kind(body: bytes) -> str:
    start = body.lstrip()[:1]
    if not start:
        return "nothing"
    if start == b"<":
        return "a web page (wrong address, or a network that requires a login?)"
    return "something that is not a JSON object"


def _first(values: dict[str, object], keys: tuple[str, ...]) -> str | None:
    found = (values.get(key) for key in keys)
    return next((value for value in found if value and isinstance(value, str)), None)


def _claims(token: str, room: RoomSettings, subject: str) -> Claims | None:
    """Return the claims of the token, None if it is not a token.

    Raises:
        TokenRefused: the token is for dTelecom.
    """
    claims = read_claims(token)
    if claims is None or not claims.is_ed25519:
        return claims
    if room.kind is RoomKind.LIVEKIT:
        sentence = f"{subject} a token signed with EdDSA, but room.kind is livekit."
    else:
        sentence = f"{subject} a token for dTelecom, whose rooms are not supported."
    raise TokenRefused(Cause.MISCONFIGURED, sentence)


def _has_agents(room_config: object) -> bool:
    """Return whether the claim names agents; an unreadable one names none."""
    return isinstance(room_config, dict) and bool(room_config.get("agents"))


def _token_fault(claims: Claims, now_s: float) -> str | None:
    """Return why the token cannot be used, or None if it can."""
    if not claims.room:
        return "a token without a room (its claim video.room is empty)."
    if not claims.may_join:
        return "a token that cannot join (its claim video.roomJoin is not true)."
    if not claims.identity:
        return "a token without an identity (its claim sub is empty)."
    if claims.expires_at_s is not None and claims.expires_at_s <= now_s:
        late_s = now_s - claims.expires_at_s
        return f"a token that expired {late_s:.0f} s ago. Is the clock here right?"
    return None


def _server(answered: str | None, room: RoomSettings, where: str) -> str:
    """Return the address of the server if connecting to it is allowed."""
    url = answered or room.url
    if url is None:
        sentence = f"{where} names no server. Write its address to room.url."
        raise TokenRefused(Cause.MISCONFIGURED, sentence)
    for web, socket in _SCHEMES.items():
        # Some sources give the https address that their dashboard shows.
        url = url.replace(web, socket, 1) if url.startswith(web) else url
    fault = address_fault(url, "wss", room.allow_insecure)
    if fault is not None:
        sentence = f"the server that {where} names cannot be used: {fault}"
        raise TokenRefused(Cause.MISCONFIGURED, sentence)
    return url


def _decoded(part: str, shape: type[StructT]) -> StructT | None:
    try:
        raw = urlsafe_b64decode(part.encode("ascii") + b"==")
        return msgspec.json.decode(raw, type=shape)
    except (binascii.Error, UnicodeError, msgspec.MsgspecError, RecursionError):
        return None
