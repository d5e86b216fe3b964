"""Responses in JSON, refused requests and the bounded reading of request bodies.

Starlette is imported inside the functions that need it: the adapter imports this module
at start-up, when joining the room must not wait for Starlette.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

from appliance.errors import ApplianceError
from appliance.net.http_limits import BodyTooLongError, BodyTooSlowError, read_body

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

JSON = "application/json"
NO_STORE = {"cache-control": "no-store"}
LIMIT_BYTES = 32 * 1024
"""Longest request body; a chat line of 2000 emoji, each escaped as twelve ASCII
characters, fits."""
SENTENCES = {
    HTTPStatus.NOT_FOUND: "There is nothing at this address.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not support this method.",
}


class RequestRefused(ApplianceError):
    """A request that is answered with an error status and a reason."""

    def __init__(
        self,
        status: HTTPStatus,
        sentence: str,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Store status and sentence, and the name of the field at fault, if any."""
        super().__init__(status, sentence)
        self.status = status
        self.sentence = sentence
        self.key = key
        self.headers = headers

    def __str__(self) -> str:
        """Return the sentence for the person."""
        return self.sentence

    @property
    def body(self) -> dict[str, str]:
        """The response body: `{"error": sentence}`, with `key` if there is one."""
        key = {} if self.key is None else {"key": self.key}
        return {"error": self.sentence, **key}


def json(content: object, status: HTTPStatus = HTTPStatus.OK) -> "Response":
    """Return a JSON response that is not to be cached."""
    from starlette.responses import Response

    return Response(msgspec.json.encode(content), status, NO_STORE, JSON)


def refusal(refused: RequestRefused) -> "Response":
    """Return the response to a refused request."""
    response = json(refused.body, refused.status)
    response.headers.update(refused.headers or {})
    return response


async def on_refused(_: "Request", exc: Exception) -> "Response":
    """Return the response to a refused request; Starlette's exception handler."""
    assert isinstance(exc, RequestRefused)
    return refusal(exc)


async def on_http_error(_: "Request", exc: Exception) -> "Response":
    """Return Starlette's own errors (404, 405) in the same format as ours."""
    from starlette.exceptions import HTTPException

    assert isinstance(exc, HTTPException)
    status = HTTPStatus(exc.status_code)
    sentence = SENTENCES.get(status, status.phrase)
    return refusal(RequestRefused(status, sentence, headers=exc.headers))


async def body_of(request: "Request") -> bytes:
    """Return the request body.

    Raises:
        RequestRefused: 413 as soon as it is too long, 408 if it takes too long.
    """
    try:
        return await read_body(request, LIMIT_BYTES)
    except BodyTooLongError as exc:
        sentence = f"The body is too long; at most {LIMIT_BYTES} bytes are allowed."
        raise RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence) from exc
    except BodyTooSlowError as exc:
        sentence = "The request body was not complete in time."
        raise RequestRefused(HTTPStatus.REQUEST_TIMEOUT, sentence) from exc
