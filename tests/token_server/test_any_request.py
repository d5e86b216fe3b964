"""Any request gets a token within the rules or a refusal, and no secret gets out."""

import asyncio
import json
import logging
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.token_server.server import LINES, PATHS
from tests.token_server.clients import BOX, SECRET, SHARED, asking, claims_of

PROXY = "192.168.1.2"
STATUSES = 8
"""Statuses with which a request may be refused."""
RULES: dict[str, Any] = {
    "boxes": {"kitchen-box": BOX},
    "secret": SHARED,
    "trusted_proxies": [PROXY],
    "user_header": "X-User",
    "metadata": True,
    "attributes": ["*"],
    "room_config": ["agents", "metadata", "max_participants"],
    "agents": [{"name": "assistant", "room": "lab-*"}],
}
FIELDS = (
    *("room_name", "roomName", "room", "participant_identity", "identity"),
    *("participant_name", "name", "participant_metadata", "metadata"),
    *("participant_attributes", "attributes", "room_config", "roomConfig"),
    *("provider", "voice_id", "unknown", "agents", "agent_name", "lk.agent.state"),
    *("maxParticipants", "egress", "", "\0"),
)
TEXTS = st.one_of(
    st.sampled_from(("kitchen", "lab-1", "garage", "*", "kitchen-box", "Kitchen-Box ")),
    st.text(max_size=12),
)
VALUES = st.recursive(
    st.one_of(TEXTS, st.none(), st.booleans(), st.integers(), st.floats()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(FIELDS), inner, max_size=3),
    ),
    max_leaves=8,
)
OBJECTS = st.one_of(
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=5),
    st.fixed_dictionaries(
        {},
        optional={"room": TEXTS, "identity": TEXTS, "name": TEXTS, "provider": TEXTS},
    ),
)
BODIES = st.one_of(
    OBJECTS.map(lambda value: json.dumps(value).encode()),
    OBJECTS.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=40),
    st.sampled_from((b"[" * 1200, b'{"a":' * 1200)),
)
BEARERS = st.sampled_from([f"Bearer {x}".encode() for x in (SHARED, BOX, "x")])
HEADER_TEXTS = st.one_of(
    TEXTS.map(lambda text: text.encode(errors="replace")),
    st.sampled_from((b"127.0.0.1", b"::1, ,x", b"https://app.example.com")),
    st.binary(max_size=12),
)
HEADER_NAMES = st.sampled_from(
    (
        *(b"authorization", b"x-user-id", b"x-user", b"x-forwarded-for"),
        *(b"forwarded", b"origin", b"host", b"content-length", b"cookie"),
    )
)
HEADERS = st.lists(
    st.one_of(
        st.tuples(st.just(b"authorization"), BEARERS),
        st.tuples(HEADER_NAMES, HEADER_TEXTS),
    ),
    max_size=3,
)
REQUESTS = st.fixed_dictionaries(
    {
        "method": st.sampled_from(("POST", "POST", "GET", "HEAD", "PUT", "OPTIONS")),
        "url": st.sampled_from((*PATHS, "/health", "/metrics", "/")),
        "params": st.dictionaries(st.sampled_from(FIELDS), TEXTS, max_size=2),
        "headers": st.one_of(st.just([]), HEADERS),
        "content": BODIES,
    }
)
ADDRESSES = st.sampled_from(("127.0.0.1", "192.168.1.5", PROXY, "::1", "testclient"))


@given(st.lists(REQUESTS, min_size=1, max_size=8), ADDRESSES)
@settings(max_examples=400)
def test_any_request_gets_a_token_within_the_rules_or_a_refusal(requests, address):
    responses, lines = asyncio.run(answers(requests, address))
    for request, response in responses:
        check(request, response)
    secrets = (SECRET, SHARED, BOX)
    assert not [x for x in lines if any(secret in x for secret in secrets)]
    refused = [line for line in lines if line.startswith("requests refused")]
    assert len(refused) <= STATUSES
    assert len(lines) - len(refused) <= LINES


class Lines(logging.Handler):
    """Handler that keeps the messages."""

    def __init__(self):
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record):
        self.lines.append(record.getMessage())


async def answers(requests, address):
    handler = Lines()
    log = logging.getLogger("appliance.tokens")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        async with asyncio.timeout(10), asking(address=address, **RULES) as client:
            return [(x, await client.request(**x)) for x in requests], handler.lines
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)


def check(request, response):
    assert response.is_success or response.is_client_error
    told = response.text + str(response.headers)
    assert not [secret for secret in (SECRET, SHARED, BOX) if secret in told]
    if response.is_success and "participant_token" in response.text:
        claims = claims_of(response)
        room = claims["video"]["room"]
        assert room == "kitchen" or room.startswith("lab-")
        is_the_box = (b"authorization", f"Bearer {BOX}".encode()) in request["headers"]
        assert (claims["sub"] == "kitchen-box") == is_the_box
        assert claims["exp"] - claims["nbf"] == 610
