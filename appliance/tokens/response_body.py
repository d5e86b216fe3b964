"""Forms of a token source's response body: JSON, wrapped JSON, or the token alone."""

from typing import Final

import msgspec

from appliance.process.redaction import redacted
from appliance.tokens.claims import read_claims

TOKEN_KEYS: Final = (
    *("participant_token", "participantToken", "token", "accessToken"),
    *("access_token", "jwt"),
)
_WRAPPERS: Final = ("result", "data", "body")
"""Keys whose value is the response proper: Firebase callables, serverless proxies."""
_REMARK_KEYS: Final = ("error", "message", "detail")
_LONGEST_REMARK: Final = 120
"""Characters of an error sentence that the token source itself may write."""


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
        body: of the response; JSON with `error` or `message`.
        secrets: texts to hide.
    """
    values = read_values(body) or {}
    inner = values.get("error")
    found = texts_of(inner, ("message",)) if isinstance(inner, dict) else []
    found += texts_of(values, _REMARK_KEYS)
    text = " ".join(found[0].split()) if found else ""
    # Redacted last: characters that are left out could hide a secret.
    text = redacted("".join(filter(str.isprintable, text)), secrets)
    if len(text) > _LONGEST_REMARK:
        text = f"{text[: _LONGEST_REMARK - 1]}…"
    return f'It says: "{text}".' if text else ""
