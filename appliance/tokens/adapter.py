"""Adapter for tokens: implements `ports.Tokens` as client of the token source."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import parse_qsl, quote, unquote_plus, urlencode, urlsplit

import msgspec

from appliance.config import Config, Preset, RoomConfig, RoomSettings
from appliance.core.commands import FetchToken
from appliance.core.events import Cause, Failure, TokenFailed, TokenReady
from appliance.errors import TokenError, TokenRefused
from appliance.net.url import filled, placeholders, texts, without_query
from appliance.ports import Post
from appliance.process.background import Background
from appliance.tokens.token_parser import Clock, TokenAnswer, fixed_answer, read_answer

if TYPE_CHECKING:
    import httpx

    from appliance.tokens.client import TokenClient

START_S: Final = 0.5
"""Longest delay of the start-up for the first request; our choice: not noticed."""
_ROOM_KEYS: Final = frozenset({"room", "room_name", "roomName"})
"""Keys that hold no secret: the log names the room that was joined."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """HTTP request, ready to be sent."""

    where: str
    """Address for error sentences: without its query, which may contain keys."""
    method: str
    url: str = field(repr=False)
    headers: dict[str, bytes] = field(repr=False)
    body: bytes | None = field(repr=False)
    room: RoomConfig | Preset = field(repr=False)
    secrets: frozenset[str] = field(repr=False)
    """Texts of the request that no error sentence may contain."""


def token_request(room: RoomConfig | Preset, identity: str, name: str) -> Request:
    """Return the request for a token to join `room` as `identity`."""
    assert room.token_url is not None
    names = {"identity": identity, "display_name": name, "name": name}
    fills = names | {"room": room.name or ""}
    body = None
    headers = {"accept": b"application/json"}
    if room.token_method == "POST":
        body = msgspec.json.encode(_body(room, fills))
        headers["content-type"] = b"application/json"
    for key, value in room.token_headers.items():
        headers[key.lower()] = _header(filled(value, fills))
    address = filled(room.token_url, {key: _escaped(fills[key]) for key in fills})
    query = {key: filled(value, fills) for key, value in room.token_query.items()}
    return Request(
        without_query(address),
        room.token_method,
        _with_query(address, query),
        headers,
        body,
        room,
        _secrets(room, fills),
    )


def _with_query(url: str, query: dict[str, str]) -> str:
    """Return the URL with this query; a key that it has already is replaced."""
    if not query:
        return url
    parts = urlsplit(url)
    kept = [
        each
        for each in parts.query.split("&")
        if each and unquote_plus(each.partition("=")[0]) not in query
    ]
    return parts._replace(query="&".join([*kept, urlencode(query)])).geturl()


def _body(room: RoomConfig | Preset, fills: dict[str, str]) -> dict[str, object]:
    """Return the body of a POST; the configuration overrides our own keys.

    With null they are left out: Firebase refuses every key that it does not know.
    """
    own = {"participant_identity": "{identity}", "participant_name": "{display_name}"}
    wanted = (own | room.token_body).items()
    values = {key: _filled(value, fills) for key, value in wanted}
    return {key: values[key] for key in values if key not in own or values[key]}


def _filled(value: object, fills: dict[str, str]) -> object:
    match value:
        case str():
            return filled(value, fills)
        case list():
            return [_filled(item, fills) for item in value]
        case dict():
            return {key: _filled(item, fills) for key, item in value.items()}
        case _:
            return value


def _escaped(text: str) -> str:
    """Return the text as one segment of a path, which `..` must not leave."""
    return quote(text, safe="") if text.strip(".") else "%2E" * len(text)


def _header(text: str) -> bytes:
    """Return the value of a header; a display name may have unprintable characters."""
    return "".join(filter(str.isprintable, text)).strip().encode(errors="replace")


def _secrets(room: RoomConfig | Preset, fills: dict[str, str]) -> frozenset[str]:
    """Return the texts that may authenticate the appliance, and the words in them.

    Without identity and names: everybody in the room sees them.
    """
    values = {filled(text, fills) for text in _room_secrets(room)}
    words = {word for text in values for word in text.split()}
    return frozenset(values | words) - set(fills.values())


def secrets(config: Config) -> tuple[str, ...]:
    """Return the values that must never be logged, whatever their length.

    Those with placeholders are left out: they appear in no log line as they are.
    """
    rooms = (config.room, *config.room.presets)
    found = {text: None for room in rooms for text in _room_secrets(room)}
    found |= dict.fromkeys(_query_values(config.metrics.post_url))
    return tuple(filled(text, {}) for text in found if text and not placeholders(text))


def _room_secrets(room: RoomSettings) -> Iterator[str]:
    """Yield every text that may authenticate the appliance to the token source."""
    yield room.token or ""
    for values in (room.token_headers, room.token_query, room.token_body):
        yield from texts(values, _ROOM_KEYS)
    yield from _query_values(room.token_url)


def _query_values(url: str | None) -> Iterator[str]:
    query = urlsplit(url or "").query
    yield query
    yield from texts(dict(parse_qsl(query)), _ROOM_KEYS)


class TokenAdapter:
    """Client of the configured token source; the core decides on retries."""

    def __init__(
        self,
        config: Config,
        *,
        identity: str,
        post: Post,
        transport: "httpx.AsyncBaseTransport | None" = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """Store the settings.

        `identity` is used where the configuration sets none, and `now_s` returns
        seconds since the epoch. `transport` replaces the network, for tests.
        """
        self._rooms: dict[str | None, RoomConfig | Preset] = {
            None: config.room,
            **{preset.name: preset for preset in config.room.presets},
        }
        self._identity = identity
        self._name = config.name or ""
        self._post = post
        self._transport = transport
        self._now_s = now_s
        self._background = Background()
        self._fetching: asyncio.Task[None] | None = None
        self._last_sentence = ""
        self._client: TokenClient | None = None
        self._has_asked = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._background.open()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._background.close(*failure)

    def do(self, command: FetchToken) -> None:
        """Start a request, and give up the one before. Thread: the loop's."""
        if self._fetching is not None:
            self._fetching.cancel()
        self._fetching = self._background.start(self._fetch(command))

    async def asked(self, most_s: float = START_S) -> None:
        """Wait until the first request has been sent or has failed, at most this long.

        Imports in the meantime would delay it.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                await self._has_asked.wait()

    async def answer(self, command: FetchToken) -> TokenAnswer:
        """Fetch a token and return it, without posting an event.

        Raises:
            TokenError: no usable token.
        """
        room = self._rooms.get(command.preset)
        if room is None:
            sentence = f'there is no preset "{command.preset}". Write room.presets.'
            raise TokenRefused(Cause.MISCONFIGURED, sentence)
        room = replace(room, display_name=command.display_name or room.display_name)
        if room.token is not None:
            return fixed_answer(room, self._now_s())
        if room.token_url is None:
            sentence = "there is no token source. Write its address to room.token_url."
            raise TokenRefused(Cause.MISCONFIGURED, sentence)
        return await self._fetched(room)

    async def _fetch(self, command: FetchToken) -> None:
        try:
            answer = await self.answer(command)
        except TokenError as exc:
            self._log_failure(exc)
            failure = Failure(
                Cause(exc.cause),
                exc.reason,
                is_final=isinstance(exc, TokenRefused),
                retry_after_s=exc.retry_after_s,
            )
            self._post(TokenFailed(command.ticket, failure))
            return
        finally:
            self._has_asked.set()
        self._last_sentence = ""
        _log.info("token fetched  room=%s", answer.claims.room)
        self._post(TokenReady(command.ticket, answer.details))

    async def _fetched(self, room: RoomConfig | Preset) -> TokenAnswer:
        request = token_request(
            room, room.identity or self._identity, room.display_name or self._name
        )
        level = logging.DEBUG if self._last_sentence else logging.INFO
        _log.log(level, "token fetch started  url=%s", request.where)
        # Its import is too long for the start-up.
        from appliance.tokens.client import TokenClient

        if self._client is None:
            self._client = TokenClient(self._transport, self._has_asked.set)
        reply = await self._client.send(request)
        # A token's times are those of its issuer's clock; ours may be wrong.
        clock = Clock(self._now_s())
        if reply.date_s is not None:
            clock = Clock(reply.date_s, "the token source")
        answer = read_answer(reply.body, room, request.where, clock, request.secrets)
        # Before it becomes valid, the server would refuse it.
        await asyncio.sleep(answer.claims.not_before_s - clock.now_s)
        return answer

    def _log_failure(self, exc: TokenError) -> None:
        """Log the failure once, though each retry may bring another remark."""
        is_repeat = exc.sentence == self._last_sentence
        level = logging.DEBUG if is_repeat else logging.WARNING
        self._last_sentence = exc.sentence
        _log.log(level, "token fetch failed  cause=%s reason=%s", exc.cause, exc)
