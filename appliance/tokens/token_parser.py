"""Parser of a token source's response, and of the access token in it.

The token's claims are read without verifying the signature, for which only the server
has the key.
"""

import binascii
import contextlib
import re
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from typing import Annotated, Final, NamedTuple

import msgspec

from appliance.config import RoomKind, RoomSettings
from appliance.core.events import Cause, ConnectionDetails
from appliance.errors import TokenRefused, TokenUnreachable
from appliance.net.url import address_fault, is_local, without_query
from appliance.process.logs import HIDDEN, redacted

MAX_TOKEN_CHARACTERS: Final = 16_384
"""Our choice: servers accept 8 KiB in a header; a longer text is not a token."""
LONGEST_WAIT_S: Final = 8.0
"""Longest wait until a token is valid; less than the core's, even after a request."""
LONGEST_SHOWN: Final = 300
"""Characters of an error sentence that the token source may determine."""
# Python's decoder skips all other characters, the server's does not.
_JWT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*")
_TOKEN_KEYS: Final = (
    *("participant_token", "participantToken", "token", "accessToken"),
    *("access_token", "jwt"),
)
_URL_KEYS: Final = (
    *("server_url", "serverUrl", "wsUrl", "ws_url"),
    *("livekitUrl", "livekit_url", "url"),
)
_WRAPPERS: Final = ("result", "data", "body")
"""Keys whose value is the response proper: Firebase callables, serverless proxies."""
_REMARK_KEYS: Final = ("error", "message", "detail")
_LONGEST_REMARK: Final = 120
"""Characters of a text in an error sentence that the token source itself writes."""
_MAX_FALLBACKS: Final = 4
_NOT_JSON: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


class _Header(msgspec.Struct):
    alg: str


class _Video(msgspec.Struct, rename="camel"):
    room: str = ""
    room_join: bool = False


class _Payload(msgspec.Struct, rename="camel"):
    iss: str = ""
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
    is_dtelecom: bool = False
    """Signed with EdDSA by an Ed25519 key in base58."""
    expects_agent: bool = False
    """The server brings a voice agent into the room (claim `roomConfig.agents`)."""


def read_claims(token: str) -> Claims | None:
    """Return the claims of a token; None if it is not a JSON Web Token of this kind."""
    parts = _JWT.fullmatch(token)
    if parts is None or len(token) > MAX_TOKEN_CHARACTERS:
        return None
    try:
        header = msgspec.json.decode(urlsafe_b64decode(f"{parts[1]}=="), type=_Header)
        payload = msgspec.json.decode(urlsafe_b64decode(f"{parts[2]}=="), type=_Payload)
    except (binascii.Error, *_NOT_JSON):
        return None
    is_dtelecom = header.alg == "EdDSA"
    if is_dtelecom:
        # Imported only for such rooms.
        from appliance.dtelecom.tokens import is_public_key

        is_dtelecom = is_public_key(payload.iss)
    config = payload.room_config
    agents = config.get("agents") if isinstance(config, dict) else None
    return Claims(
        identity=payload.sub,
        room=payload.video.room,
        may_join=payload.video.room_join,
        expires_at_s=payload.exp,
        not_before_s=payload.nbf,
        is_dtelecom=is_dtelecom,
        expects_agent=isinstance(agents, list) and bool(agents),
    )


def _values(body: bytes) -> dict[str, object] | None:
    """Return the keys of a response; None: it has no known form.

    The forms: a JSON object, perhaps inside another one; JSON in a JSON string; the
    token alone, as plain text or as a JSON string.
    """
    values = _object(_text_of(body))
    if values is None:
        return None
    inner = next(filter(None, (_object(values.get(key)) for key in _WRAPPERS)), {})
    return values if _texts(values, _TOKEN_KEYS) else values | inner


def _text_of(body: bytes) -> str:
    return body.decode("utf-8-sig", errors="ignore").strip()


def _object(value: object) -> dict[str, object] | None:
    """Return the decoded JSON object; a bare token becomes `{"token": …}`."""
    for _ in range(2):
        if not isinstance(value, str):
            break
        if _JWT.fullmatch(value.strip()):
            return {"token": value}
        try:
            value = msgspec.json.decode(value)
        except _NOT_JSON:
            return None
    return value if isinstance(value, dict) else None


def _texts(values: dict[str, object], keys: tuple[str, ...]) -> list[str]:
    """Return the texts of these keys that are not empty, without spaces around them."""
    found = (values.get(key) for key in keys)
    return [*filter(None, (x.strip() for x in found if isinstance(x, str)))]


def remark(body: bytes, secrets: frozenset[str]) -> str:
    """Return what a token source says about an error, as a sentence; "": nothing.

    The body is JSON with `error` or `message`, and perhaps the field in `key`, or plain
    text, of which the first line counts. `secrets` are hidden.
    """
    values = _values(body)
    if values is None:
        plain = _text_of(body)
        # Neither a web page nor JSON that is cut off.
        said = [] if plain[:1] in {"<", "{", "["} else plain.strip('"').splitlines()
        key: list[str] = []
    else:
        inner = values.get("error")
        said = _texts(inner, ("message",)) if isinstance(inner, dict) else []
        said += _texts(values, _REMARK_KEYS)
        key = _texts(values, ("key",))
    text = " ".join(": ".join(key[:1] + said[:1]).split()) if said else ""
    # Redacted last: characters that are left out could hide a secret.
    text = redacted("".join(filter(str.isprintable, text)), secrets)
    if text in {"", HIDDEN}:
        return ""
    if len(text) > _LONGEST_REMARK:
        text = f"{text[: _LONGEST_REMARK - 1]}…"
    return f'It says: "{text}".'


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """A token that can be used, and what it claims."""

    details: ConnectionDetails
    claims: Claims


class Clock(NamedTuple):
    """Clock by which a token is judged."""

    now_s: float
    """Seconds since the epoch."""
    owner: str = "this box"


def read_answer(
    body: bytes,
    room: RoomSettings,
    where: str,
    clock: Clock,
    secrets: frozenset[str] = frozenset(),
) -> TokenAnswer:
    """Return token and server address from a 2xx response, whatever its Content-Type.

    `room` names the server if the response does not, `where` is the address of the
    token source without `secrets`, which no error sentence contains either.

    Raises:
        TokenUnreachable: the response cannot be used. A retry may help, because a token
            source may be deployed or configured right now.
    """
    values = _values(body)
    if values is None:
        sentence = (
            f"{where} answered with something other than JSON. Is the address wrong, "
            "or does the network require a login?"
        )
        raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence)
    tokens = _texts(values, _TOKEN_KEYS)
    if not tokens:
        keys = ", ".join(_TOKEN_KEYS)
        sentence = f"{where} answered without a token. Expected one of the keys {keys}."
        said = remark(body, secrets)
        raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence, remark=said)
    token = next((text for text in tokens if read_claims(text)), tokens[0])
    claims = _claims(token, room, where, clock)
    details = ConnectionDetails(
        _server(_texts(values, _URL_KEYS), room, where, secrets),
        token,
        claims.identity,
        claims.expects_agent,
        room.kind is RoomKind.DTELECOM or claims.is_dtelecom,
        _fallbacks(values, room, where),
    )
    return TokenAnswer(details, claims)


def fixed_answer(room: RoomSettings, now_s: float) -> TokenAnswer:
    """Return token and server address from the configuration.

    Raises:
        TokenRefused: the token cannot be used.
    """
    claims = read_claims(room.token or "")
    # The server judges the start of its validity: a Pi's clock may be behind.
    clock = Clock(max(now_s, claims.not_before_s if claims else 0.0))
    try:
        body = msgspec.json.encode({"token": room.token})
        return read_answer(body, room, "room.token", clock)
    except TokenUnreachable as exc:
        raise TokenRefused(Cause.MISCONFIGURED, exc.sentence) from exc


def _claims(token: str, room: RoomSettings, where: str, clock: Clock) -> Claims:
    """Return the claims of a token that can be used now or within `LONGEST_WAIT_S`."""
    claims = read_claims(token)
    if claims is None:
        fault = "a text that is not a JSON Web Token."
    elif claims.is_dtelecom and room.kind is RoomKind.LIVEKIT:
        fault = "an EdDSA token, for which room.kind must be auto."
    elif not claims.room:
        fault = "a token without a room (its claim video.room is empty)."
    elif not claims.may_join:
        fault = "a token that cannot join (its claim video.roomJoin is not true)."
    elif not claims.identity:
        fault = "a token without an identity (its claim sub is empty)."
    elif claims.expires_at_s is not None and claims.expires_at_s <= clock.now_s:
        fault = f"a token that has expired. Is the clock of {clock.owner} right?"
    elif claims.not_before_s > clock.now_s + LONGEST_WAIT_S:
        fault = f"a token that is not valid yet. Is the clock of {clock.owner} right?"
    else:
        return claims
    raise TokenUnreachable(Cause.TOKEN_SOURCE, f"{where} gave {fault}")


def _server(
    answered: list[str],
    room: RoomSettings,
    where: str,
    secrets: frozenset[str] = frozenset(),
) -> str:
    """Return the address of the server, to which connecting is allowed.

    Only this machine itself may name a service on it.
    """
    url = next(iter(answered), room.url)
    if url is None:
        sentence = f"{where} names no server. Write its address to room.url."
        raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence)
    # Some sources give the https address that their dashboard shows.
    url = re.sub(r"^http(?=s?://)", "ws", url)
    fault = address_fault(url, "wss", room.allow_insecure)
    if fault is None and answered and is_local(url) and not is_local(where):
        fault = (
            f"{without_query(url)} means this box itself. Write the address that the "
            "server has in the network there, for example in LIVEKIT_URL."
        )
    if fault is not None:
        shown = redacted(fault, secrets)[:LONGEST_SHOWN]
        sentence = f"the server that {where} names cannot be used: {shown}"
        raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence)
    return url


def _fallbacks(
    values: dict[str, object], room: RoomSettings, where: str
) -> tuple[str, ...]:
    """Return the other servers to which connecting is allowed; no fault is an error."""
    # Our own token server's answers about dTelecom rooms have them.
    named = values.get("fallback_urls")
    found = []
    for url in named[:_MAX_FALLBACKS] if isinstance(named, list) else ():
        with contextlib.suppress(TokenUnreachable):
            if isinstance(url, str) and url:
                found.append(_server([url], room, where))
    return tuple(found)
