"""Pairing form, which works without JavaScript; a QR code only fills in the PIN."""

import re
from html import escape
from http import HTTPStatus
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from appliance.page import answer, static_files
from appliance.page.access import COOKIE
from appliance.page.answer import RequestRefused
from appliance.page.commands import UNREADABLE
from appliance.page.pairing import Pairing

ON_SCREEN = "It is on the screen of the box now."
NO_SCREEN = (
    '<p class="note">Does the box have no screen? Run <code>ptt-appliance pair</code>'
    " on it to print the PIN and a QR code.</p>"
)
COOKIE_DAYS = 400
"""The longest time for which browsers keep a cookie."""
FIELDS = 10


class Entered(msgspec.Struct, frozen=True):
    """JSON body of a pairing request."""

    pin: str


class PairingForm:
    """GET and POST of `/pair`."""

    def __init__(
        self,
        pairing: Pairing,
        assets: dict[str, static_files.Asset],
        pin_hint: str = "",
    ) -> None:
        """Use `pairing` to check PINs; `pin_hint` is that of `PageSettings`."""
        self._pairing = pairing
        html = assets["pair.html"].content.decode()
        html = html.replace("{{where}}", escape(pin_hint or ON_SCREEN))
        self._html = html.replace("{{note}}", "" if pin_hint else NO_SCREEN)

    async def show(self, request: Request) -> Response:
        """Return the form, or a redirect to the page for a paired client."""
        if request.state.owner is not None:
            return RedirectResponse("/", HTTPStatus.SEE_OTHER)
        self._pairing.ask()
        return self._page("", HTTPStatus.OK)

    async def enter(self, request: Request) -> Response:
        """Check the PIN and return a session cookie."""
        content = await answer.body_of(request)
        is_json = request.headers.get("content-type", "").startswith(answer.JSON)
        try:
            pin = _pin_of_json(content) if is_json else _pin_of_form(content)
            address = request.client.host if request.client else ""
            secret = await self._pairing.admit(pin, address)
        except RequestRefused as refused:
            self._pairing.ask()
            if is_json:
                raise
            page = self._page(refused.sentence, refused.status)
            page.headers.update(refused.headers or {})
            return page
        return _with_cookie(_paired(is_json=is_json), secret)

    def _page(self, sentence: str, status: HTTPStatus) -> Response:
        html = self._html.replace("{{problem}}", escape(sentence))
        headers = {"cache-control": "no-store"}
        return Response(html, status, headers, static_files.KINDS[".html"])


def _paired(*, is_json: bool) -> Response:
    if is_json:
        return answer.json({"paired": True})
    return RedirectResponse("/", HTTPStatus.SEE_OTHER)


def _with_cookie(response: Response, secret: str) -> Response:
    response.set_cookie(
        COOKIE,
        secret,
        max_age=COOKIE_DAYS * 86_400,
        httponly=True,
        samesite="strict",
    )
    return response


def _pin_of_form(content: bytes) -> str:
    try:
        pairs = parse_qsl(content.decode("ascii"), max_num_fields=FIELDS)
    except ValueError as exc:
        sentence = "The form cannot be read. Write pin=123456"
        raise RequestRefused(HTTPStatus.BAD_REQUEST, sentence, key="pin") from exc
    return _pin_of(dict(pairs).get("pin", ""))


def _pin_of_json(content: bytes) -> str:
    try:
        return _pin_of(msgspec.json.decode(content, type=Entered).pin)
    except UNREADABLE as exc:
        sentence = 'The body cannot be read. Write {"pin": "123456"}'
        raise RequestRefused(HTTPStatus.BAD_REQUEST, sentence, key="pin") from exc


def _pin_of(text: str) -> str:
    """Return the digits without spaces and hyphens between them.

    Raises:
        RequestRefused: not six digits; this does not count as a wrong PIN.
    """
    pin = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(r"[0-9]{6}", pin):
        sentence = "The PIN has six digits."
        raise RequestRefused(HTTPStatus.BAD_REQUEST, sentence, key="pin")
    return pin
