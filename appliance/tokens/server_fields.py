"""Checks of single fields of a request to the token server, and refusals."""

from enum import StrEnum
from typing import Final

from starlette.datastructures import Headers

LONGEST_NAME: Final = 200
"""Characters of a room, an identity or a display name."""
LONGEST_TEXT: Final = 4096
"""Characters of metadata, and of all attributes together."""


class Reason(StrEnum):
    """Kind of refusal, for the log and the metrics."""

    SECRET = "secret"
    ADDRESS = "address"
    ORIGIN = "origin"
    HOST = "host"
    ROOM = "room"
    IDENTITY = "identity"
    FIELD = "field"
    BODY = "body"
    SERVER = "server"
    """No node of the rooms' server is known."""


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(
        self, status: int, reason: Reason, sentence: str, key: str | None = None
    ) -> None:
        """Store the status and the content of the response."""
        super().__init__(status, reason, sentence, key)
        self.status = status
        self.reason = reason
        self.sentence = sentence
        self.key = key


def wrong(key: str, sentence: str) -> Refused:
    """Return the refusal of a field with a wrong value."""
    return Refused(400, Reason.FIELD, sentence, key)


def not_passed(key: str, configuration: str) -> Refused:
    """Return the refusal of a field that `configuration` would accept."""
    sentence = f"this is not accepted here; the server's file needs {configuration}."
    return Refused(403, Reason.FIELD, sentence, key)


def is_given(value: object) -> bool:
    """Return whether a value says anything."""
    return value not in (None, "", [], {})


def text(value: object, key: str) -> str | None:
    """Return a short text on one line; None if it is missing or empty.

    Raises:
        Refused: it is something else.
    """
    if not is_given(value):
        return None
    if not isinstance(value, str) or len(value) > LONGEST_NAME:
        raise wrong(key, f"expected text of 1-{LONGEST_NAME} characters.")
    if not value.isprintable():
        raise wrong(key, "expected text on one line.")
    return value


def long_text(value: object, key: str) -> str:
    """Return a text that may have several lines.

    Raises:
        Refused: it is something else.
    """
    if not is_given(value):
        return ""
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise wrong(key, f"expected text of at most {LONGEST_TEXT} characters.")
    return value


def shown(name: str) -> str:
    """Return the name of a field for a sentence, whatever the client sent."""
    return "".join(sign if sign.isprintable() else "�" for sign in name[:60])


def header_text(headers: Headers, name: str) -> str | None:
    """Return the text of a header; None if it is missing or empty.

    Starlette decodes headers as ISO-8859-1; clients send names in UTF-8.

    Raises:
        Refused: it is there twice, so that a proxy and we may read different ones.
    """
    values = [value for value in headers.getlist(name) if value]
    if len(values) > 1:
        raise wrong(name, "this header is given twice.")
    try:
        return values[0].encode("latin-1").decode() if values else None
    except UnicodeDecodeError:
        return values[0]
