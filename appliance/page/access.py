"""Stands before every route: host, origin, session, and strict headers."""

from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from appliance.net.host_check import is_own_host, is_same_origin
from appliance.page import static_files
from appliance.page.answer import refusal
from appliance.page.pairing import Pairing
from appliance.page.refused import RequestRefused

COOKIE = "ptt_session"
FORM = "/pair"
HEALTH = "/health"
OPEN_PATHS = static_files.OPEN | {FORM, HEALTH}

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
}
FORM_REFERRER = "same-origin"
"""Under `no-referrer` browsers send a form with `Origin: null`, which no check can
tell from a stranger's. Source: Fetch, "append a request Origin header"."""


class AccessControl:
    """ASGI middleware; what passes has a session, except on the open paths."""

    def __init__(self, app: ASGIApp, pairing: Pairing, names: frozenset[str]) -> None:
        """Guard `app`; `names` are those that it answers to."""
        self._app = app
        self._pairing = pairing
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer it."""
        connection = HTTPConnection(scope)
        guarded = _with_headers(send, scope["path"])
        owner = owner_of(connection, self._pairing)
        answer = self._answer(connection, owner)
        if answer is not None:
            await answer(scope, receive, guarded)
            return
        scope["state"] = {"owner": owner}
        await self._app(scope, receive, guarded)

    def _answer(self, connection: HTTPConnection, owner: str | None) -> Response | None:
        """Return what to answer instead of letting the request through."""
        try:
            self._check(connection)
        except RequestRefused as refused:
            return refusal(refused)
        path = connection.scope["path"]
        if owner is not None or path in OPEN_PATHS:
            return None
        if path == "/":
            return RedirectResponse(FORM, HTTPStatus.SEE_OTHER)
        sentence = "Not paired. Open /pair in a browser, or send a bearer token."
        headers = {"www-authenticate": "Bearer"}
        return refusal(
            RequestRefused(HTTPStatus.UNAUTHORIZED, sentence, headers=headers)
        )

    def _check(self, connection: HTTPConnection) -> None:
        scope, headers = connection.scope, connection.headers
        host = headers.get("host", "")
        local = scope["server"][0] if scope.get("server") else ""
        # Monitoring asks by whatever name its network knows, and is told no secrets.
        is_own = is_own_host(host, self._names, local)
        is_told = is_own and len(headers.getlist("host")) == 1
        if not is_told and scope["path"] != HEALTH:
            sentence = "Wrong address. Use this box's IP address or its .local name."
            raise RequestRefused(HTTPStatus.FORBIDDEN, sentence)
        changes = scope["type"] == "websocket" or scope["method"] not in {"GET", "HEAD"}
        origin = headers.get("origin")
        is_foreign = headers.get("sec-fetch-site") == "cross-site"
        if origin is not None:
            is_foreign = not is_same_origin(origin, host)
        if changes and is_foreign:
            sentence = "This was sent by another web site, and was not done."
            raise RequestRefused(HTTPStatus.FORBIDDEN, sentence)


def owner_of(connection: HTTPConnection, pairing: Pairing) -> str | None:
    """Return whose request this is: the digest of its cookie or bearer token."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    return pairing.owner(cookie=_cookie(connection), bearer=bearer)


def _cookie(connection: HTTPConnection) -> str:
    """Return the session cookie, or an empty text.

    Without `http.cookies`, which takes seconds for some headers before Python 3.11.10
    (CVE-2024-7592); ours is never quoted.
    """
    for header in connection.headers.getlist("cookie"):
        for each in header.split(";"):
            name, _, value = each.strip().partition("=")
            if name == COOKIE:
                return value
    return ""


def too_many_requests() -> Response:
    """Return the answer to requests beyond the rate; closes the connection."""
    retry = {"retry-after": "5", "connection": "close"}
    sentence = "Too many requests. Wait a few seconds."
    refused = RequestRefused(
        HTTPStatus.TOO_MANY_REQUESTS, sentence, headers=HEADERS | retry
    )
    return refusal(refused)


def _with_headers(send: Send, path: str) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"].endswith("response.start"):
            headers = MutableHeaders(scope=message)
            headers.update(HEADERS)
            if path == FORM:
                headers["referrer-policy"] = FORM_REFERRER
        await send(message)

    return send_with_headers
