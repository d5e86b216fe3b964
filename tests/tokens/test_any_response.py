"""Any response becomes a token or one clear sentence, and no secret gets out."""

import asyncio
import gzip
import json
import logging

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.config import Config, RoomConfig
from appliance.core.commands import FetchToken
from appliance.core.events import TokenFailed, TokenReady
from appliance.tokens.adapter import TokenAdapter
from tests.tokens.token_texts import NOW_S, jwt_of

LONGEST_REASON = 1500
KEY, WORD, QUERY, ADDRESS, BODY = (
    *("header_key_1", "bearer-word-2", "query-key-3"),
    *("address-key-4", "body-key-5"),
)
SECRETS = (KEY, WORD, QUERY, ADDRESS, BODY)
JWT = jwt_of()
ENDLESS_JWT = jwt_of(exp=None)
TOKENS = (JWT, ENDLESS_JWT)
ROOM = RoomConfig(
    token_url=f"http://127.0.0.1:9/api?key={ADDRESS}",
    token_headers={"X-Key": KEY, "Authorization": f"Bearer {WORD}"},
    token_query={"q": QUERY},
    token_body={"deep": [BODY]},
)

said = st.sampled_from((*SECRETS, JWT, f"no {KEY} for {JWT}", f"?q={QUERY}", "no"))
texts = said | st.text(max_size=20) | st.text(min_size=300, max_size=400)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "message", "data", KEY]), inner)
    ),
    max_leaves=5,
)
names = st.sampled_from(
    (
        *("token", "participant_token", "jwt", "serverUrl", "url", "error", "message"),
        *("detail", "result", "data", "body", "expires_at", KEY, QUERY),
    )
)
addresses = st.sampled_from(
    (
        *("wss://lk.example.com", "ws://lk.example.com", f"wss://h/{KEY}?{QUERY}"),
        *(f"http://{WORD}/{KEY}", f"ftp://h/{KEY}", f"ws://h/{'x' * 5000}"),
    )
)
times = st.sampled_from((1e300, -1e300, 10**30, "2020-01-01T00:00:00Z", "9999"))
anything = st.dictionaries(names, values | addresses, max_size=5)
plausible = st.fixed_dictionaries(
    {},
    optional={
        "token": st.sampled_from((JWT, ENDLESS_JWT, KEY)),
        "url": addresses,
        "expires_at": times,
    },
)
complaints = st.dictionaries(st.sampled_from(("error", "message", KEY)), said)
objects = st.one_of(anything, plausible, plausible, complaints)
bodies = st.one_of(
    objects.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=200),
    said.map(str.encode),
    objects.map(lambda value: json.dumps(value).encode()),
    objects.map(lambda value: gzip.compress(json.dumps(value).encode())),
    st.sampled_from([b"[" * 60_000, b" " * 70_000, b"<html>" + KEY.encode()]),
)
header_texts = st.one_of(
    *(said, addresses, st.text(st.characters(max_codepoint=255), max_size=30)),
    st.sampled_from(("gzip", "deflate", "br", "120", "-1", "9" * 400, "/", "//h")),
    st.sampled_from((f"a={KEY}; Path=/", "Tue, 14 Nov 2023 22:13:20 GMT", "[::")),
)
headers = st.dictionaries(
    st.sampled_from(
        ("content-encoding", "location", "retry-after", "date", "set-cookie", "x")
    ),
    header_texts.map(lambda text: text.encode("latin-1", "replace")),
)


class Server(httpx.AsyncBaseTransport):
    """Server that gives the same response to each request."""

    def __init__(self, status: int, fields: dict[str, bytes], body: bytes) -> None:
        self._status, self._fields, self._body = status, fields, body

    async def handle_async_request(self, _: httpx.Request) -> httpx.Response:
        """Answer in one chunk, as from the network."""
        stream = httpx.ByteStream(self._body)
        fields = [(name.encode(), text) for name, text in self._fields.items()]
        return httpx.Response(self._status, headers=fields, stream=stream)


async def outcome(server: Server) -> object:
    events: asyncio.Queue[object] = asyncio.Queue()
    async with TokenAdapter(
        Config(room=ROOM),
        identity="box-1",
        post=events.put_nowait,
        transport=server,
        now_s=lambda: NOW_S,
    ) as source:
        source.do(FetchToken(1, None, None))
        return await events.get()


@settings(
    max_examples=800,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.just(200)
    | st.sampled_from((201, 204, 301, 302, 303, 307, 308, 304))
    | st.sampled_from((400, 401, 403, 404, 429, 500, 503, 599)),
    st.just({}) | headers,
    bodies,
)
def test_any_response_is_a_token_or_one_bounded_sentence_without_secrets(
    caplog, status, fields, body
):
    caplog.clear()
    caplog.set_level(logging.DEBUG, "appliance")
    event = asyncio.run(outcome(Server(status, fields, body)))
    assert not any(secret in caplog.text for secret in (*SECRETS, *TOKENS))
    if isinstance(event, TokenReady):
        assert event.details.token in TOKENS
        return
    assert isinstance(event, TokenFailed)
    assert event.failure.reason.isprintable()
    assert 10 < len(event.failure.reason) < LONGEST_REASON
    assert event.failure.retry_after_s >= 0
    assert not any(secret in event.failure.reason for secret in (*SECRETS, *TOKENS))
