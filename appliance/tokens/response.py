"""Parser of token sources' responses.

Each error's sentence begins with its subject, so that it can be shown unchanged.
"""

import contextlib
import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import msgspec

from appliance.config import RoomKind, RoomSettings
from appliance.core.events import Cause
from appliance.errors import TokenRefused, TokenUnreachable
from appliance.net.url import address_fault
from appliance.process.redaction import HIDDEN, redacted
from appliance.tokens.claims import Claims, read_claims

TOKEN_KEYS: Final = (
    *("participant_token", "participantToken", "token", "accessToken"),
    *("access_token", "jwt"),
)
_WRAPPERS: Final = ("result", "data", "body")
"""Keys whose value is the response proper: Firebase callables, serverless proxies."""
_REMARK_KEYS: Final = ("error", "message", "detail")
_LONGEST_REMARK: Final = 120
"""Characters of an error sentence that the token source itself may write."""
URL_KEYS: Final = (
    *("server_url", "serverUrl", "wsUrl", "ws_url"),
    *("livekitUrl", "livekit_url", "url"),
)
FALLBACKS_KEY: Final = "fallback_urls"
"""Key of our own token server's answers about dTelecom rooms."""
MAX_FALLBACKS: Final = 4
_LONGEST_KEYS: Final = 80
"""Characters of an error sentence that may list the keys of a response."""
_LONGEST_URL: Final = 500
"""Characters; the error sentence contains the address twice."""
_MILLISECONDS: Final = 10_000_000_000.0
"""Times above this are in milliseconds; as seconds they would be after 2286."""
_LATEST: Final = _MILLISECONDS * 1000


def read_values(body: bytes) -> dict[str, object] | None:
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
    return values if texts_of(values, TOKEN_KEYS) else values | inner


def _object(value: object) -> dict[str, object] | None:
    """Return a JSON object, perhaps as text, or an object with the token that it is."""
    for _ in range(2):
        if not isinstance(value, str):
            break
        if read_claims(value.strip()) is not None:
            return {"token": value}
        try:
            value = msgspec.json.decode(value)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return None
    # A JSON string that contains the token.
    if isinstance(value, str) and read_claims(value.strip()) is not None:
        return {"token": value}
    return value if isinstance(value, dict) else None


def kind_of(body: bytes) -> str:
    """Return what a body without any known form seems to be, for an error sentence."""
    start = body.lstrip()[:1]
    if not start:
        return "nothing"
    if start == b"<":
        return "a web page (wrong address, or a network that requires a login?)"
    return "something that is not a JSON object"


def texts_of(values: dict[str, object], keys: tuple[str, ...]) -> list[str]:
    """Return the texts of these keys that are not empty.

    A value from an environment file may end with a line break.
    """
    found = (values.get(key) for key in keys)
    texts = (value.strip() for value in found if isinstance(value, str))
    return [text for text in texts if text]


def remark(body: bytes, secrets: frozenset[str]) -> str:
    """Return what a token source says about an error, as a sentence; "": nothing.

    Args:
        body: of the response; JSON with `error` or `message`, or plain text, of which
            the first line counts.
        secrets: texts to hide.
    """
    values = read_values(body)
    if values is None:
        found = _first_line(body)
    else:
        inner = values.get("error")
        found = texts_of(inner, ("message",)) if isinstance(inner, dict) else []
        found += texts_of(values, _REMARK_KEYS)
    text = " ".join(found[0].split()) if found else ""
    # Redacted last: characters that are left out could hide a secret.
    text = redacted("".join(filter(str.isprintable, text)), secrets)
    if len(text) > _LONGEST_REMARK:
        text = f"{text[: _LONGEST_REMARK - 1]}…"
    return "" if text in {"", HIDDEN} else f'It says: "{text}".'


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
    """A token and the address of the server that accepts it."""

    url: str
    token: str = field(repr=False)
    identity: str
    room: str
    wait_s: float = 0.0
    """Time until the token becomes valid; the server would refuse it before."""
    expires_at_s: float | None = None
    """Seconds since the epoch, by the issuer's clock; None: never."""
    expects_agent: bool = False
    """The token brings a voice agent into the room."""
    is_dtelecom: bool = False
    """The room is on dTelecom's network."""
    fallback_urls: tuple[str, ...] = ()
    """Other servers that accept the token, in the order in which to try them."""


def read_answer(
    body: bytes,
    room: RoomSettings,
    where: str,
    now_s: float,
    secrets: frozenset[str] = frozenset(),
) -> TokenAnswer:
    """Return token and server address from a 2xx response, whatever its Content-Type.

    Args:
        body: of the response.
        room: names the server if the response does not.
        where: address of the token source without secrets.
        now_s: seconds since the epoch, by the token source's clock if it is known.
        secrets: texts that no error sentence may contain.

    Raises:
        TokenUnreachable: the response cannot be used. A retry may help, because a token
            source may be deployed or configured right now.
    """
    values = read_values(body)
    if values is None:
        sentence = f"{where} answered with {kind_of(body)}, where JSON was expected."
        raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence)
    tokens = texts_of(values, TOKEN_KEYS)
    if not tokens:
        raise _without_token(values, body, where, secrets)
    token = next((text for text in tokens if read_claims(text)), tokens[0])
    stated = values.get("expires_at", values.get("expiresAt"))
    claims = _claims(token, room, f"{where} gave", now_s, stated)
    url = _server(texts_of(values, URL_KEYS), room, where, secrets)
    answer = _answer(url, token, claims, room.kind, claims.not_before_s - now_s)
    return replace(answer, fallback_urls=_fallbacks(values, room, where))


def fixed_answer(room: RoomSettings, now_s: float) -> TokenAnswer:
    """Return token and server address from the configuration.

    Raises:
        TokenRefused: the token cannot be used.
    """
    assert room.token is not None
    advice = "Write another, or token_url."
    try:
        claims = _claims(room.token, room, "room.token is", now_s)
        advice = ""
        url = _server([], room, "room.token")
    except TokenUnreachable as exc:
        sentence = f"{exc.sentence} {advice}".rstrip()
        raise TokenRefused(Cause.MISCONFIGURED, sentence, timing=exc.timing) from exc
    # The server itself judges the start of its validity.
    return _answer(url, room.token, claims, room.kind, wait_s=0.0)


def _answer(
    url: str, token: str, claims: Claims, kind: RoomKind, wait_s: float
) -> TokenAnswer:
    return TokenAnswer(
        url,
        token,
        claims.identity,
        claims.room,
        wait_s=max(0.0, wait_s),
        expires_at_s=claims.expires_at_s,
        expects_agent=claims.expects_agent,
        is_dtelecom=RoomKind.DTELECOM in {kind, claims.profile},
    )


def _time_s(value: object) -> float | None:
    """Return seconds since the epoch, from those, milliseconds or RFC 3339; or None."""
    match value:
        case bool():
            return None
        case int() | float() if 0 <= value < _LATEST:
            return value / 1000 if value > _MILLISECONDS else value
        case str():
            try:
                time = datetime.fromisoformat(value)
                return time.timestamp() if time.tzinfo else None
            except (ValueError, OverflowError):
                return None
        case _:
            return None


def _without_token(
    values: dict[str, object], body: bytes, where: str, secrets: frozenset[str]
) -> TokenUnreachable:
    """Return the error for a response that may say itself why there is no token."""
    names = ", ".join(sorted(filter(str.isidentifier, values)))
    # Cut off last: a part of a secret would not be recognised.
    keys = redacted(names, secrets)[:_LONGEST_KEYS] or "none"
    sentence = (
        f"{where} answered without a token. Expected one of these keys: "
        f"{', '.join(TOKEN_KEYS)}; found {keys}."
    )
    said = remark(body, secrets)
    return TokenUnreachable(Cause.TOKEN_SOURCE, sentence, remark=said)


def _claims(
    token: str, room: RoomSettings, subject: str, now_s: float, stated: object = None
) -> Claims:
    """Return the claims of a token that can be used.

    Args:
        token: any text.
        room: for which it is.
        subject: begins the sentence about a fault.
        now_s: seconds since the epoch.
        stated: end of a token without one, in any form; None: never.

    Raises:
        TokenUnreachable: the token cannot be used.
    """
    claims, timing = read_claims(token), ""
    if claims is None:
        fault = "a text that is not a JSON Web Token."
    else:
        end_s = claims.expires_at_s
        end_s = _time_s(stated) if end_s is None else end_s
        claims = replace(claims, expires_at_s=end_s)
        fault = _fault(claims, room)
        if not fault and end_s is not None and end_s <= now_s:
            fault = "a token that has expired. Is the clock here right?"
            timing = f"It expired {now_s - end_s:.0f} s ago."
        if not fault:
            return claims
    sentence = f"{subject} {fault}"
    raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence, timing=timing)


def _fault(claims: Claims, room: RoomSettings) -> str:
    """Return why a token cannot be used, whatever the time; "": it can."""
    if claims.profile is not RoomKind.LIVEKIT and room.kind is RoomKind.LIVEKIT:
        return "an EdDSA token, for which room.kind must be auto."
    if not claims.room:
        return "a token without a room (its claim video.room is empty)."
    if not claims.may_join:
        return "a token that cannot join (its claim video.roomJoin is not true)."
    if not claims.identity:
        return "a token without an identity (its claim sub is empty)."
    return ""


def _server(
    answered: list[str],
    room: RoomSettings,
    where: str,
    secrets: frozenset[str] = frozenset(),
) -> str:
    """Return the address of the server.

    Raises:
        TokenUnreachable: there is none, or connecting to it is not allowed.
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
    if fault:
        shown = redacted(fault, secrets)
        sentence = f"the server that {where} names cannot be used: {shown}"
        raise TokenUnreachable(Cause.TOKEN_SOURCE, sentence)
    return url


def _fallbacks(
    values: dict[str, object], room: RoomSettings, where: str
) -> tuple[str, ...]:
    """Return the other servers to which connecting is allowed; no fault is an error."""
    named = values.get(FALLBACKS_KEY)
    found = []
    for url in named[:MAX_FALLBACKS] if isinstance(named, list) else ():
        with contextlib.suppress(TokenUnreachable):
            if isinstance(url, str) and url:
                found.append(_server([url], room, where))
    return tuple(found)
