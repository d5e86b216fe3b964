"""Access control in front of every route, responses, and the pairing form.

A request needs an accepted host and origin and, except on the open paths, a login: the
cookie of a paired phone, or the bearer token of a script. The form gives a login.
"""

import re
from html import escape
from http import HTTPStatus
from urllib.parse import parse_qsl

import msgspec
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from appliance.net.host_check import is_own_host, is_same_origin, local_address
from appliance.net.http_server import BodyTooLongError, read_body
from appliance.page.messages import DECODE_ERRORS, RequestRefused
from appliance.page.pairing import Pairing, digest

JSON = "application/json"
NO_STORE = {"cache-control": "no-store"}
LIMIT_BYTES = 32 * 1024
"""Longest request body; a chat line of 2000 emoji, each escaped as twelve ASCII
characters, fits."""

COOKIE = "ptt_session"
"""Start of the cookie's name. The port follows, because all ports of a host share
cookies. Any port is accepted, because it may change."""
FORM = "/pair"
HEALTH = "/health"
TO_FORM = "pair"
TO_PAGE = "./"
"""Redirects between page and form; relative, because a proxy may add a path prefix."""
OPEN_FILES = ("style.css", "pair.js", "icon.svg", "icon.png", "manifest.webmanifest")
"""Files of the pairing form, and icons, which browsers fetch without cookies."""
OPEN_PATHS = {"/", FORM, HEALTH, *(f"/static/{name}" for name in OPEN_FILES)}
"""Paths that need no login; `/` redirects to the form without one."""

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    # Not `no-referrer`, under which browsers send a form with `Origin: null`.
    "referrer-policy": "same-origin",
}
ON_SCREEN = (
    "The screen of the box shows it for a minute, after a talk if somebody talks. If it"
    f' does not, <a href="{TO_FORM}">open this page again</a> in a few minutes.'
)
"""Not "reload": after a wrong PIN that would send the same one again."""
NO_SCREEN = (
    '<p class="note">Does the box have no screen? Run <code>ptt-appliance pair</code>'
    " on it to print the PIN and a QR code.</p>"
)
COOKIE_DAYS = 400
"""The longest time for which browsers keep a cookie."""


def json_response(content: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Return a JSON response that is not to be cached."""
    return Response(msgspec.json.encode(content), status, NO_STORE, JSON)


def refusal_response(refused: RequestRefused) -> Response:
    """Return the response to a refused request."""
    response = json_response(refused.body, refused.status)
    response.headers.update(refused.headers or {})
    return response


async def body_of(request: Request) -> bytes:
    """Return the request body.

    Raises:
        RequestRefused: 413 as soon as it is too long, 408 if it takes too long.
    """
    try:
        return await read_body(request, LIMIT_BYTES)
    except BodyTooLongError as exc:
        sentence = f"The body is too long; at most {LIMIT_BYTES} bytes are allowed."
        raise RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence) from exc
    except TimeoutError as exc:
        sentence = "The request body was not complete in time."
        raise RequestRefused(HTTPStatus.REQUEST_TIMEOUT, sentence) from exc


class AccessControl:
    """ASGI middleware that requires a login, except on the open paths."""

    def __init__(self, app: ASGIApp, pairing: Pairing, names: frozenset[str]) -> None:
        """Accept the host names `names`."""
        self._app = app
        self._pairing = pairing
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or answer it."""
        connection = HTTPConnection(scope)
        cookies = _cookies(connection)
        login = self._pairing.login_of((*cookies, _bearer(connection)))
        scope["state"] = {"login": login}
        added, app = dict(SECURITY_HEADERS), self._app
        try:
            self._check(connection, login)
        except RequestRefused as refused:
            app = refusal_response(refused)
        else:
            if scope["path"] == "/" and login is None:
                app = RedirectResponse(TO_FORM, HTTPStatus.SEE_OTHER)
            # Sent again, so that a phone in use stays paired after `COOKIE_DAYS`.
            renewed = [each for each in cookies if digest(each) == login]
            if scope["path"] == "/" and renewed:
                added["set-cookie"] = _set_cookie(scope, renewed[0])

        async def send_all(message: Message) -> None:
            if message["type"].endswith("response.start"):
                MutableHeaders(scope=message).update(added)
            await send(message)

        await app(scope, receive, send_all)

    def _check(self, connection: HTTPConnection, login: str | None) -> None:
        """Raise `RequestRefused` for a foreign host or origin, or without a login."""
        scope, headers = connection.scope, connection.headers
        host = headers.get("host", "")
        is_own = is_own_host(host, self._names, local_address(scope))
        # Monitoring may use any name of its network, and /health reveals no secrets.
        if not is_own and scope["path"] != HEALTH:
            sentence = (
                "Unknown host name. Use the box's IP address or its .local name; "
                "restart the box after a change of its host name."
            )
            raise RequestRefused(HTTPStatus.FORBIDDEN, sentence)
        changes = scope["type"] == "websocket" or scope["method"] not in {"GET", "HEAD"}
        origin = headers.get("origin")
        is_foreign = headers.get("sec-fetch-site") == "cross-site"
        if origin is not None:
            is_foreign = not is_same_origin(origin, host)
        if changes and is_foreign:
            sentence = "Cross-origin request rejected."
            raise RequestRefused(HTTPStatus.FORBIDDEN, sentence)
        if login is None and scope["path"] not in OPEN_PATHS:
            sentence = "Not paired. Open /pair in a browser, or send a bearer token."
            challenge = {"www-authenticate": "Bearer"}
            raise RequestRefused(HTTPStatus.UNAUTHORIZED, sentence, headers=challenge)


def _bearer(connection: HTTPConnection) -> str:
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _cookies(connection: HTTPConnection) -> list[str]:
    """Return the values of logins, of this box and of others on its host.

    `http.cookies` is not used: it takes seconds for some headers before Python 3.11.10
    (CVE-2024-7592). Our cookie is never quoted.
    """
    headers = connection.headers.getlist("cookie")
    pairs = [
        each.strip().partition("=") for header in headers for each in header.split(";")
    ]
    return [value for name, _, value in pairs if name.startswith(COOKIE)]


def _set_cookie(scope: Scope, secret: str) -> str:
    """Return the header `Set-Cookie` of a login."""
    response = Response()
    response.set_cookie(
        f"{COOKIE}_{scope['server'][1]}",
        secret,
        max_age=COOKIE_DAYS * 86_400,
        # The browser takes the folder of this request: "/", or a proxy's path prefix,
        # so that several boxes behind one proxy have a cookie each.
        path=None,
        httponly=True,
        samesite="strict",
    )
    return response.headers["set-cookie"]


class PairingForm:
    """GET and POST of `/pair`."""

    def __init__(self, pairing: Pairing, html: str, pin_hint: str) -> None:
        self._pairing = pairing
        html = html.replace("{{where}}", escape(pin_hint) or ON_SCREEN)
        self._html = html.replace("{{note}}", "" if pin_hint else NO_SCREEN)

    async def show(self, request: Request) -> Response:
        """Return the form, or a redirect to the page for a paired client."""
        if request.state.login is not None:
            return RedirectResponse(TO_PAGE, HTTPStatus.SEE_OTHER)
        return self._page("", HTTPStatus.OK)

    async def enter(self, request: Request) -> Response:
        """Check the PIN and return the cookie of a login."""
        content = await body_of(request)
        # Not by its declared type: `curl -d` declares every body as a form.
        is_json = content.lstrip().startswith(b"{")
        try:
            pin = pin_of(content, is_json=is_json)
            address = request.client.host if request.client else ""
            secret = await self._pairing.pair(pin, address)
        except RequestRefused as refused:
            if is_json:
                self._pairing.request_pin_display()
                raise
            page = self._page(refused.sentence, refused.status)
            page.headers.update(refused.headers or {})
            return page
        response: Response = RedirectResponse(TO_PAGE, HTTPStatus.SEE_OTHER)
        if is_json:
            response = json_response({"paired": True})
        response.headers["set-cookie"] = _set_cookie(request.scope, secret)
        return response

    def _page(self, sentence: str, status: HTTPStatus) -> Response:
        """Return the form, and have the OLED show the PIN."""
        self._pairing.request_pin_display()
        html = self._html.replace("{{problem}}", escape(sentence))
        html = html.replace("{{invalid}}", "true" if sentence else "false")
        return HTMLResponse(html, status, NO_STORE)


def pin_of(content: bytes, *, is_json: bool) -> str:
    """Return the PIN in a form or in JSON, without spaces and hyphens between digits.

    Raises:
        RequestRefused: not six digits; this does not count as a wrong PIN.
    """
    try:
        if is_json:
            text = msgspec.json.decode(content, type=dict[str, object]).get("pin")
        else:
            text = dict(parse_qsl(content.decode("ascii"))).get("pin")
    except DECODE_ERRORS:
        text = None
    pin = re.sub(r"[\s-]", "", text) if isinstance(text, str) else ""
    if not re.fullmatch(r"[0-9]{6}", pin):
        sentence = "The PIN has six digits."
        raise RequestRefused(HTTPStatus.BAD_REQUEST, sentence, key="pin")
    return pin
