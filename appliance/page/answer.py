"""How the page answers in JSON, also when it says no."""

from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from appliance.page.refused import RequestRefused

if TYPE_CHECKING:
    from starlette.requests import Request

JSON = "application/json"


def json(content: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Return an answer in JSON, which nobody may keep."""
    return Response(
        msgspec.json.encode(content),
        status,
        {"cache-control": "no-store"},
        JSON,
    )


def refusal(refused: RequestRefused) -> Response:
    """Return the answer to a refused request."""
    answer = json(refused.body, refused.status)
    answer.headers.update(refused.headers or {})
    return answer


async def on_refused(_: "Request", problem: Exception) -> Response:
    """Answer for Starlette, which looks handlers up by class."""
    assert isinstance(problem, RequestRefused)
    return refusal(problem)


async def on_http_error(_: "Request", problem: Exception) -> Response:
    """Put Starlette's own refusals (404, 405) into our shape."""
    assert isinstance(problem, HTTPException)
    status = HTTPStatus(problem.status_code)
    sentence = SENTENCES.get(status, status.phrase)
    return refusal(RequestRefused(status, sentence, headers=problem.headers))


SENTENCES = {
    HTTPStatus.NOT_FOUND: "There is nothing at this address.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address is asked with another method.",
}
