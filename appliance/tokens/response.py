"""Makes a token and a server address out of what a token source answered.

Each error's sentence begins with its subject, so that it can be shown as it is.
"""

from dataclasses import dataclass, field

import msgspec

from appliance.config import RoomKind, RoomSettings
from appliance.core.events import Cause
from appliance.errors import TokenRefused, TokenUnreachable
from appliance.net.url import address_fault
from appliance.tokens.claims import Claims, read_claims

TOKEN_KEYS = ("participant_token", "participantToken", "token", "accessToken")
URL_KEYS = ("server_url", "serverUrl", "wsUrl", "ws_url")
_LONGEST_KEYS = 80
_SCHEMES = {"https://": "wss://", "http://": "ws://"}


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """What is needed to join."""

    url: str
    token: str = field(repr=False)
    identity: str
    room: str
    wait_s: float = 0.0
    """How long the token is not valid yet: the server would refuse it."""


def read_answer(
    body: bytes, room: RoomSettings, where: str, now_s: float
) -> TokenAnswer:
    """Return what a 2xx answer says; its Content-Type is not asked.

    Args:
        body: as it came.
        room: says which server to take if the answer names none.
        where: the token source, as people may see it.
        now_s: seconds since the epoch, by the clock of the token source if it told it.

    Raises:
        TokenRefused: the same answer would be of no use next time either.
        TokenUnreachable: it may be better next time.
    """
    values = _values(body, where)
    token = _first(values, TOKEN_KEYS)
    if token is None:
        names = sorted(filter(str.isidentifier, values))
        keys = ", ".join(names)[:_LONGEST_KEYS] or "none"
        sentence = (
            f"{where} answered without a token. Wanted one of these keys: "
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
    return TokenAnswer(url, token, claims.identity, claims.room, wait_s)


def fixed_answer(room: RoomSettings, now_s: float) -> TokenAnswer:
    """Return what the configuration says itself: `room.url` and `room.token`.

    Raises:
        TokenRefused: it cannot be used; asking again brings the same.
    """
    assert room.token is not None
    claims = _claims(room.token, room, "room.token is")
    fault = None if claims is None else _token_fault(claims, now_s)
    if claims is None or fault is not None:
        sentence = f"room.token is {fault or _NO_TOKEN} Write another, or token_url."
        raise TokenRefused(Cause.MISCONFIGURED, sentence)
    url = _server(None, room, "room.token")
    return TokenAnswer(url, room.token, claims.identity, claims.room)


_NO_TOKEN = "something that is no JSON Web Token."


def _values(body: bytes, where: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        sentence = f"{where} answered with {_kind(body)}, where JSON was wanted."
        raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence) from exc


def _kind(body: bytes) -> str:
    start = body.lstrip()[:1]
    if not start:
        return "nothing"
    if start == b"<":
        return "a web page (wrong address, or a network that wants a log-in?)"
    return "something that is no JSON object"


def _first(values: dict[str, object], keys: tuple[str, ...]) -> str | None:
    found = (values.get(key) for key in keys)
    return next((value for value in found if value and isinstance(value, str)), None)


def _claims(token: str, room: RoomSettings, subject: str) -> Claims | None:
    """Return what the token says, None if it is no token.

    Raises:
        TokenRefused: it is signed as dTelecom signs.
    """
    claims = read_claims(token)
    if claims is None or not claims.is_ed25519:
        return claims
    if room.kind is RoomKind.LIVEKIT:
        sentence = f"{subject} a token signed with EdDSA, but room.kind is livekit."
    else:
        sentence = f"{subject} a token for dTelecom, whose rooms are not supported."
    raise TokenRefused(Cause.MISCONFIGURED, sentence)


def _token_fault(claims: Claims, now_s: float) -> str | None:
    """Return what sort of useless token it is, or None if it can be used."""
    if not claims.room:
        return "a token for no room (its claim video.room is empty)."
    if not claims.may_join:
        return "a token that may not join (its claim video.roomJoin is not true)."
    if not claims.identity:
        return "a token for nobody (its claim sub is empty)."
    if claims.expires_at_s is not None and claims.expires_at_s <= now_s:
        late_s = now_s - claims.expires_at_s
        return f"a token that expired {late_s:.0f} s ago. Is the clock here right?"
    return None


def _server(answered: str | None, room: RoomSettings, where: str) -> str:
    """Return the address of the server, if it is one that may be spoken to."""
    url = answered or room.url
    if url is None:
        sentence = f"{where} names no server. Write its address to room.url."
        raise TokenRefused(Cause.MISCONFIGURED, sentence)
    for web, socket in _SCHEMES.items():
        # Some sources give the address as their dashboard shows it.
        url = url.replace(web, socket, 1) if url.startswith(web) else url
    fault = address_fault(url, "wss", room.allow_insecure)
    if fault is not None:
        sentence = f"the server that {where} names cannot be used: {fault}"
        raise TokenRefused(Cause.MISCONFIGURED, sentence)
    return url
