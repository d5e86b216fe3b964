"""Parser of a token source's response, and of the access token in it.

The token's claims are read without verifying the signature, for which only the server
has the key (RFC 7519, section 7.2). Each error's sentence begins with its subject, so
that it can be shown unchanged.
"""

import binascii
import contextlib
import re
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from typing import Annotated, Final, NamedTuple, TypeVar

import msgspec

from appliance.config import RoomKind, RoomSettings
from appliance.core.events import Cause, ConnectionDetails
from appliance.errors import TokenRefused, TokenUnreachable
from appliance.net.url import address_fault, is_local, without_query
from appliance.process.redaction import HIDDEN, redacted

MAX_TOKEN_CHARACTERS: Final = 16_384
"""Our choice: servers accept 8 KiB in a header; a longer text is not a token."""
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
_FALLBACKS_KEY: Final = "fallback_urls"
"""Key of our own token server's answers about dTelecom rooms."""
_MAX_FALLBACKS: Final = 4
_LONGEST_KEYS: Final = 80
"""Characters of an error sentence that may list the keys of a response."""
_LONGEST_URL: Final = 500
"""Characters; the error sentence contains the address twice."""

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
    match payload.room_config:
        case {"agents": [_, *_]}:
            expects_agent = True
        case _:
            expects_agent = False
    is_dtelecom = _is_dtelecom(header.alg, payload.iss)
    return Claims(
        identity=payload.sub,
        room=payload.video.room,
        may_join=payload.video.room_join,
        expires_at_s=payload.exp,
        not_before_s=payload.nbf,
        profile=RoomKind.DTELECOM if is_dtelecom else RoomKind.LIVEKIT,
        expects_agent=expects_agent,
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
    from appliance.dtelecom.tokens import is_public_key

    return is_public_key(issuer)


def _values(body: bytes) -> dict[str, object] | None:
    """Return the keys of a response in any known form; None: it is none of them.

    The forms: a JSON object, perhaps inside another one; JSON in a JSON string; the
    token alone, as plain text or as a JSON string.
    """
    try:
        text = body.decode("utf-8-sig").strip()
    except UnicodeError:
        return None
    values = _object(text)
    if values is None:
        return None
    inner = next(filter(None, (_object(values.get(key)) for key in _WRAPPERS)), {})
    return values if _texts(values, _TOKEN_KEYS) else values | inner


def _object(value: object) -> dict[str, object] | None:
    """Return the decoded JSON object; a bare token becomes `{"token": …}`."""
    for _ in range(3):
        if not isinstance(value, str):
            break
        text = value.strip()
        is_long = len(text) > MAX_TOKEN_CHARACTERS and _JWT.fullmatch(text) is not None
        if is_long or read_claims(text) is not None:
            return {"token": value}
        try:
            value = msgspec.json.decode(value)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def _kind_of(body: bytes) -> str:
    """Return what a body without any known form seems to be, for an error sentence."""
    start = body.lstrip()[:1]
    if not start:
        return "nothing"
    if start == b"<":
        return "a web page (wrong address, or a network that requires a login?)"
    return "something that is not a JSON object"


def _texts(values: dict[str, object], keys: tuple[str, ...]) -> list[str]:
    """Return the texts of these keys that are not empty.

    A value from an environment file may end with a line break.
    """
    found = (values.get(key) for key in keys)
    return [*filter(None, (x.strip() for x in found if isinstance(x, str)))]


def remark(body: bytes, secrets: frozenset[str]) -> str:
    """Return what a token source says about an error, as a sentence; "": nothing.

    The body is JSON with `error` or `message`, and perhaps the field in `key`, or plain
    text, of which the first line counts. The `secrets` in it are hidden.
    """
    values = _values(body)
    if values is None:
        key, found = [], _first_line(body)
    else:
        inner = values.get("error")
        found = _texts(inner, ("message",)) if isinstance(inner, dict) else []
        key, found = _texts(values, ("key",)), found + _texts(values, _REMARK_KEYS)
    field, text = _line(key, secrets), _line(found, secrets)
    said = f"{field}: {text}" if field else text
    return "" if text in {"", HIDDEN} else f'It says: "{said}".'


def _line(found: list[str], secrets: frozenset[str]) -> str:
    """Return the first text on one line, with secrets hidden and its end cut off."""
    text = " ".join(found[0].split()) if found else ""
    # Redacted last: characters that are left out could hide a secret.
    text = redacted("".join(filter(str.isprintable, text)), secrets)
    return text if len(text) <= _LONGEST_REMARK else f"{text[: _LONGEST_REMARK - 1]}…"


def _first_line(body: bytes) -> list[str]:
    """Return the first line of plain text or of a JSON string, if it is one of them."""
    try:
        text = body.decode("utf-8-sig").strip()
    except UnicodeError:
        return []
    try:
        value = msgspec.json.decode(text)
        text = value.strip() if isinstance(value, str) else ""
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        # A web page, or JSON that is cut off.
        text = "" if text[:1] in {"<", "{"} else text
    return text.splitlines()[:1]


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """A token that can be used, and what it claims."""

    details: ConnectionDetails
    claims: Claims


class Clock(NamedTuple):
    """Seconds since the epoch, by the clock here or there, at the token source."""

    now_s: float
    place: str = "here"


def read_answer(
    body: bytes,
    room: RoomSettings,
    where: str,
    clock: Clock,
    secrets: frozenset[str] = frozenset(),
) -> TokenAnswer:
    """Return token and server address from a 2xx response, whatever its Content-Type.

    Args:
        body: of the response.
        room: names the server if the response does not.
        where: address of the token source without secrets.
        clock: the token source's, if it is known.
        secrets: texts that no error sentence may contain.

    Raises:
        TokenUnreachable: the response cannot be used. A retry may help, because a token
            source may be deployed or configured right now.
    """
    values = _values(body)
    if values is None:
        sentence = f"{where} answered with {_kind_of(body)}, where JSON was expected."
        raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence)
    tokens = _texts(values, _TOKEN_KEYS)
    if not tokens:
        names = ", ".join(sorted(filter(str.isidentifier, values)))
        # Cut off last: a part of a secret would not be recognised.
        keys = redacted(names, secrets)[:_LONGEST_KEYS] or "none"
        sentence = (
            f"{where} answered without a token. Expected one of these keys: "
            f"{', '.join(_TOKEN_KEYS)}; found {keys}."
        )
        said = remark(body, secrets)
        raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence, remark=said)
    token = next((text for text in tokens if read_claims(text)), tokens[0])
    claims = _claims(token, room, f"{where} gave", clock)
    url = _server(_texts(values, _URL_KEYS), room, where, secrets)
    return _answer(url, token, claims, room.kind, _fallbacks(values, room, where))


def fixed_answer(room: RoomSettings, now_s: float) -> TokenAnswer:
    """Return token and server address from the configuration.

    Raises:
        TokenRefused: the token cannot be used.
    """
    assert room.token is not None
    advice = " Write another, or token_url."
    try:
        claims = _claims(room.token, room, "room.token is", Clock(now_s))
        advice = ""
        url = _server([], room, "room.token")
    except TokenUnreachable as exc:
        sentence = f"{exc.sentence}{advice}"
        raise TokenRefused(Cause.MISCONFIGURED, sentence, timing=exc.timing) from exc
    # The server itself judges the start of its validity.
    return _answer(url, room.token, claims, room.kind)


def _answer(
    url: str,
    token: str,
    claims: Claims,
    kind: RoomKind,
    fallback_urls: tuple[str, ...] = (),
) -> TokenAnswer:
    details = ConnectionDetails(
        url,
        token,
        claims.identity,
        claims.expects_agent,
        RoomKind.DTELECOM in {kind, claims.profile},
        fallback_urls,
    )
    return TokenAnswer(details, claims)


def _claims(token: str, room: RoomSettings, subject: str, clock: Clock) -> Claims:
    """Return the claims of a token that can be used.

    Raises:
        TokenUnreachable: it cannot; the sentence begins with `subject`, and asks for
            the clock here or there.
    """
    claims, timing = read_claims(token), ""
    if len(token) > MAX_TOKEN_CHARACTERS:
        fault = f"a token of more than {MAX_TOKEN_CHARACTERS} characters."
        timing = f"It has {len(token)}."
    elif claims is None:
        fault = "a text that is not a JSON Web Token."
    elif claims.profile is not RoomKind.LIVEKIT and room.kind is RoomKind.LIVEKIT:
        fault = "an EdDSA token, for which room.kind must be auto."
    elif not claims.room:
        fault = "a token without a room (its claim video.room is empty)."
    elif not claims.may_join:
        fault = "a token that cannot join (its claim video.roomJoin is not true)."
    elif not claims.identity:
        fault = "a token without an identity (its claim sub is empty)."
    elif claims.expires_at_s is not None and claims.expires_at_s <= clock.now_s:
        fault = f"a token that has expired. Is the clock {clock.place} right?"
        timing = f"It expired {clock.now_s - claims.expires_at_s:.0f} s ago."
    else:
        return claims
    sentence = f"{subject} {fault}"
    raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence, timing=timing)


def _server(
    answered: list[str],
    room: RoomSettings,
    where: str,
    secrets: frozenset[str] = frozenset(),
) -> str:
    """Return the address of the server.

    Raises:
        TokenUnreachable: there is none, or connecting to it is not allowed. Only this
            machine itself may name a service on it.
    """
    url = next(iter(answered), room.url)
    if url is None:
        sentence = f"{where} names no server. Write its address to room.url."
        raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence)
    # Some sources give the https address that their dashboard shows.
    url = re.sub(r"^http(?=s?://)", "ws", url)
    fault = f"its address has more than {_LONGEST_URL} characters."
    if len(url) <= _LONGEST_URL:
        fault = address_fault(url, "wss", room.allow_insecure) or ""
    if not fault and answered and is_local(url) and not is_local(where):
        fault = (
            f"{without_query(url)} means this box itself. Write the address that the "
            "server has in the network there, for example in LIVEKIT_URL."
        )
    if fault:
        shown = redacted(fault, secrets)
        sentence = f"the server that {where} names cannot be used: {shown}"
        raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence)
    return url


def _fallbacks(
    values: dict[str, object], room: RoomSettings, where: str
) -> tuple[str, ...]:
    """Return the other servers to which connecting is allowed; no fault is an error."""
    named = values.get(_FALLBACKS_KEY)
    found = []
    for url in named[:_MAX_FALLBACKS] if isinstance(named, list) else ():
        with contextlib.suppress(TokenUnreachable):
            if isinstance(url, str) and url:
                found.append(_server([url], room, where))
    return tuple(found)
