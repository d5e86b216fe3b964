"""The relay between the SDK and a node."""

import asyncio
import socket
import ssl
import subprocess
from contextlib import asynccontextmanager, suppress
from functools import partial
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import (
    ConnectionClosed,
    InvalidStatus,
    WebSocketException,
)
from websockets.frames import Opcode
from websockets.protocol import State

from appliance.dtelecom import relay as relay_module
from appliance.dtelecom.relay import MAX_MESSAGE, NODE_S, Relay
from appliance.net.http_client import trust
from appliance.room.connection import CONNECT_S
from appliance.tokens.token_parser import MAX_TOKEN_CHARACTERS
from tests.dtelecom.fake_node import FakeNode, frame, http
from tests.dtelecom.real_node import response_of_fork
from tests.dtelecom.test_relay_filter import JOIN, UPDATE
from tests.room.fakes import DEADLINE_S

TOKEN = "eyJhbGciOiJFZERTQSJ9.e30.c2ln"
QUERY = "access_token=a%20b&protocol=15"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
UPGRADE = HEADERS | {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


@asynccontextmanager
async def relay_to(urls, tls=trust, **more):
    relay = Relay(urls, tls, **more)
    await relay.open()
    yield relay
    await relay.close()


@pytest.fixture
async def node():
    async with FakeNode() as running:
        yield running


@pytest.fixture
async def relay(node):
    async with relay_to([node.url]) as running:
        yield running


def unused_url():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"ws://127.0.0.1:{free.getsockname()[1]}"


def joined(relay, path="/rtc", query=QUERY, headers=HEADERS):
    """Join as the SDK does; the first time-out is its own."""
    return connect(
        f"{relay.url}{path}?{query}",
        additional_headers=headers,
        max_size=None,
        open_timeout=DEADLINE_S,
        proxy=None,
    )


async def refused(relay, path="/rtc"):
    """Return the answer to an attempt to join."""
    with pytest.raises(InvalidStatus) as caught:
        async with joined(relay, path):
            pass
    return caught.value.response


async def get(relay, path, headers=HEADERS):
    async with httpx.AsyncClient(trust_env=False) as client:
        url = relay.url.replace("ws", "http", 1) + path
        return await client.get(url, headers=headers)


async def received(client):
    async with asyncio.timeout(DEADLINE_S):
        return await client.recv()


async def ended(client):
    """Read until the relay closes the connection."""
    async with asyncio.timeout(DEADLINE_S):
        with suppress(ConnectionClosed):
            async for _ in client:
                pass


async def test_query_and_authorization_reach_the_node(node, relay):
    async with joined(relay):
        (head,) = node.heads
    lines = head.decode().split("\r\n")
    assert lines[0] == f"GET /rtc?{QUERY} HTTP/1.1"
    assert f"Host: 127.0.0.1:{node.port}" in lines
    assert f"Authorization: Bearer {TOKEN}" in lines
    # Compressed messages could not be filtered.
    assert "deflate" not in head.decode()


async def test_the_longest_token_of_a_box_reaches_the_node(node, relay):
    token = "x" * MAX_TOKEN_CHARACTERS
    headers = {"Authorization": f"Bearer {token}"}
    async with joined(relay, headers=headers):
        pass
    async with joined(relay, query=f"access_token={token}"):
        pass
    for head in node.heads:
        assert token in head.decode()


async def test_the_path_of_a_nodes_address_comes_first(node):
    async with relay_to([f"{node.url}/some/where/"]) as relay, joined(relay):
        pass
    assert node.heads[0].startswith(b"GET /some/where/rtc?")


async def test_messages_pass_unchanged_in_both_directions():
    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with relay_to([f"ws://127.0.0.1:{port}"]) as relay, joined(relay) as sdk:
            for message in (UPDATE, bytes(range(256)) * 2000, b"", "text"):
                await sdk.send(message)
                assert await received(sdk) == message


async def test_what_a_node_added_does_not_reach_the_sdk(node, relay):
    # Sent in one piece with the head of the answer.
    node.begin = frame(response_of_fork(JOIN))
    async with joined(relay) as sdk:
        assert await received(sdk) == JOIN


async def test_a_message_in_several_frames_is_filtered_as_a_whole(node, relay):
    message = response_of_fork(JOIN)
    async with joined(relay) as sdk:
        node.send(frame(message[:5], fin=False) + frame(b"ping", Opcode.PING))
        node.send(frame(message[5:], Opcode.CONT))
        assert await received(sdk) == JOIN


@pytest.mark.parametrize(
    ("status", "body"),
    [("200 OK", b"success"), ("401 Unauthorized", b"invalid token: x")],
)
async def test_the_sdk_is_told_why_its_token_is_refused(node, relay, status, body):
    path = "/rtc/validate"
    node.answers[path] = http(status, body)
    answer = await get(relay, f"{path}?{QUERY}")
    assert f"{answer.status_code} {answer.reason_phrase}" == status
    assert answer.content == body
    assert node.heads[0].startswith(f"GET {path}?{QUERY} ".encode())


@pytest.mark.parametrize("more", ["Connection: close", "Connection: keep-alive"])
async def test_a_refused_upgrade_is_passed_on(node, relay, more):
    node.answers["/rtc/v1"] = http("404 Not Found", b"404 page not found\n", more)
    answer = await refused(relay, "/rtc/v1")
    assert (answer.status_code, answer.body) == (404, b"404 page not found\n")


async def test_the_connection_ends_at_once_when_the_node_closes(node, relay):
    async with joined(relay) as sdk:
        node.send(frame(b"\x03\xe8", Opcode.CLOSE))
        node.hang_up()
        await ended(sdk)


async def test_the_connection_ends_even_if_the_node_keeps_tcp_open():
    async with (
        FakeNode(keeps=True) as node,
        relay_to([node.url]) as relay,
        joined(relay) as sdk,
    ):
        node.send(frame(b"\x03\xe8", Opcode.CLOSE))
        await ended(sdk)


@pytest.mark.parametrize("opcode", [Opcode.BINARY, Opcode.PING])
async def test_a_node_that_sends_too_many_frames_at_once_is_left(node, relay, opcode):
    """The loop, on which a release of the button waits, would be blocked."""
    async with joined(relay) as sdk:
        node.send(frame(b"", opcode) * 100_000)
        await ended(sdk)


async def test_a_node_that_reads_no_answers_to_its_pings_is_left(node, relay):
    """They would wait in memory."""
    pings = frame(b"x" * 125, Opcode.PING) * 500
    async with joined(relay) as sdk:
        node.writers[-1].transport.pause_reading()
        with suppress(ConnectionClosed):
            for _ in range(500):
                node.send(pings + frame(b"more"))
                await received(sdk)
        assert sdk.state is State.CLOSED


async def test_the_node_is_left_at_once_when_the_sdk_closes(node, relay):
    async with joined(relay):
        pass
    async with asyncio.timeout(DEADLINE_S):
        await node.closed.get()


async def test_the_relay_keeps_listening_while_the_node_is_away(node, relay):
    async with joined(relay) as sdk:
        await node.stop()
        await ended(sdk)
    assert (await refused(relay)).status_code == 503
    assert relay.is_away
    await node.start()
    async with joined(relay):
        pass


@pytest.mark.parametrize(
    "host", ["node1..example.com", ".example.com", f"{'a' * 64}.example.com"]
)
async def test_a_name_that_no_resolver_takes_is_a_node_that_is_away(node, host):
    async with relay_to([f"wss://{host}"]) as relay:
        assert (await refused(relay)).status_code == 503
        assert relay.is_away
    async with relay_to([f"wss://{host}", node.url]) as relay, joined(relay):
        pass


async def test_a_dead_node_is_replaced_by_the_next(node):
    async with relay_to([unused_url(), node.url]) as relay, joined(relay):
        pass


@pytest.mark.parametrize(
    "broken",
    [
        http("502 Bad Gateway"),
        # A proxy whose node is off, and domains that were given up.
        http("404 Not Found", b"nothing here"),
        http("200 OK", b"this domain is for sale"),
        http("301 Moved Permanently", b"", "Location: https://example.com/"),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
        http("200 OK", b"x" * (4 * MAX_MESSAGE)),
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * MAX_MESSAGE + b"\r\n\r\n",
    ],
)
async def test_a_node_that_answers_nonsense_is_replaced_by_the_next(node, broken):
    async with (
        FakeNode({"/rtc": broken}) as first,
        relay_to([first.url, node.url]) as relay,
        joined(relay),
    ):
        assert len(node.heads) == 1


async def test_a_redirection_is_not_followed(node):
    """Nobody has checked the other address, and it would get the token."""
    moved = http("302 Found", b"", f"Location: {node.url}/rtc")
    async with FakeNode({"/rtc": moved}) as first, relay_to([first.url]) as relay:
        assert (await get(relay, "/rtc", UPGRADE)).status_code == 503
    assert node.heads == []


async def test_a_node_that_does_not_answer_is_replaced_by_the_next(node):
    """Before the SDK gives up; the node is tried last from then on."""
    async with (
        FakeNode({"/rtc": b""}, keeps=True) as silent,
        relay_to([silent.url, node.url]) as relay,
    ):
        async with asyncio.timeout(CONNECT_S), joined(relay):
            pass
        assert (len(silent.heads), len(node.heads)) == (1, 1)


async def test_asking_the_nodes_may_take_longer_than_a_servers_usual_time_out(
    node, monkeypatch
):
    """That of websockets is 10 s, and of all nodes 12.5 s."""
    monkeypatch.setattr(relay_module, "serve", partial(serve, open_timeout=0.2))
    monkeypatch.setattr(relay_module, "NODE_S", 0.5)
    async with (
        FakeNode({"/rtc": b""}, keeps=True) as silent,
        relay_to([silent.url, node.url]) as relay,
        joined(relay),
    ):
        assert len(node.heads) == 1


async def test_a_path_that_a_node_does_not_know_is_asked_for_at_one_node(node):
    old = {"/rtc/v1": http("404 Not Found")}
    async with FakeNode(old) as first, relay_to([first.url, node.url]) as relay:
        assert (await refused(relay, "/rtc/v1")).status_code == 404
    assert node.heads == []


async def test_a_node_that_failed_is_tried_last_from_then_on(node):
    node.answers["/rtc/v1"] = http("404 Not Found")
    async with (
        FakeNode({"/rtc/v1": http("502 Bad Gateway")}) as first,
        relay_to([first.url, node.url]) as relay,
    ):
        assert (await refused(relay, "/rtc/v1")).status_code == 404
        async with joined(relay):
            assert (len(first.heads), len(node.heads)) == (1, 2)


async def test_a_silent_node_is_away_even_if_the_sdk_gives_up_first():
    async with (
        FakeNode({"/rtc": b""}, keeps=True) as silent,
        relay_to([silent.url]) as relay,
    ):
        joining = asyncio.ensure_future(joined(relay).connect())
        async with asyncio.timeout(DEADLINE_S):
            while not silent.heads:
                await asyncio.sleep(0.01)
        assert relay.is_away
        joining.cancel()
        await asyncio.wait((joining,))


def test_the_sdk_is_told_that_no_node_answers_before_it_gives_up():
    assert NODE_S < CONNECT_S


async def test_a_node_that_refuses_the_token_is_not_replaced(node):
    refusing = {"/rtc": http("401 Unauthorized", b"no")}
    async with FakeNode(refusing) as first, relay_to([first.url, node.url]) as relay:
        assert (await refused(relay)).status_code == 401
    assert node.heads == []


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
async def test_a_token_is_reported_that_the_sessions_node_takes_no_more(node, status):
    reports: list[int] = []
    report = partial(reports.append, 1)
    async with relay_to([node.url], refused=report) as relay:
        node.answers["/rtc/v1"] = http(status, b"no")
        assert (await refused(relay, "/rtc/v1")).status_code == int(status[:3])
        async with joined(relay):
            pass
        # The node answers 404 to paths it does not know: the SDK tries another.
        node.answers["/rtc/v1"] = http("404 Not Found", b"no")
        assert (await refused(relay, "/rtc/v1")).status_code == 404
        assert reports == []
        node.answers["/rtc"] = http(status, b"no")
        assert (await refused(relay)).status_code == int(status[:3])
        assert reports == [1]


async def test_bytes_of_a_node_that_are_no_frames_are_logged(node, relay, caplog):
    caplog.set_level("INFO")
    async with joined(relay) as sdk:
        node.send(frame(b"x", fin=False) + frame(b"y"))
        await ended(sdk)
    assert "expected a continuation frame" in caplog.text


async def test_a_session_stays_with_its_node(node):
    async with FakeNode() as first, relay_to([first.url, node.url]) as relay:
        async with joined(relay):
            pass
        await first.stop()
        assert (await refused(relay)).status_code == 503
    assert node.heads == []


@pytest.mark.parametrize("path", ["/rtc", "/", "/x/rtc", "/" + "A" * 22 + "/rtc"])
async def test_who_does_not_know_the_path_does_not_reach_the_node(node, relay, path):
    address = urlsplit(relay.url)
    for wrong in (path, f"{address.path}x/rtc"):
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"ws://{address.netloc}{wrong}", proxy=None)
        assert caught.value.response.status_code == 404
    assert node.heads == []


async def test_only_loopback_is_listened_to(relay):
    assert urlsplit(relay.url).hostname == "127.0.0.1"


async def test_each_relay_has_a_path_of_its_own(node):
    async with relay_to([node.url]) as first, relay_to([node.url]) as second:
        paths = [urlsplit(each.url).path for each in (first, second)]
    assert len(set(paths)) == len(paths)
    assert len(paths[0]) > 20


async def test_only_get_is_passed_on(node, relay):
    url = relay.url.replace("ws", "http", 1)
    async with httpx.AsyncClient(trust_env=False) as client:
        with suppress(httpx.HTTPError):
            answer = await client.post(f"{url}/rtc", content=b"x")
            assert answer.is_client_error
    assert node.heads == []


async def test_closing_the_relay_closes_its_connections(node):
    async with relay_to([node.url]) as relay:
        sdk = await joined(relay)
    await ended(sdk)
    with pytest.raises(ConnectionRefusedError):
        await joined(relay)


async def test_closing_the_relay_ends_an_attempt_to_join():
    async with FakeNode({"/rtc": b""}, keeps=True) as silent:
        async with relay_to([silent.url]) as relay:
            joining = asyncio.ensure_future(joined(relay).connect())
            async with asyncio.timeout(DEADLINE_S):
                while not silent.heads:
                    await asyncio.sleep(0.01)
        with pytest.raises(InvalidStatus):
            await joining
        async with asyncio.timeout(DEADLINE_S):
            await silent.closed.get()


async def test_a_message_without_end_closes_the_connection(node, relay):
    async with joined(relay) as sdk:
        node.send(b"\x82\x7f" + b"\x7f" + b"\xff" * 7)
        await ended(sdk)


HOSTILE = [
    b"\r\n" * 100,
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100_000,
    b"GET " + b"/" * 100_000,
    b"GET / HTTP/0.9\r\n\r\n",
    b"",
]


@pytest.mark.parametrize("raw", HOSTILE)
async def test_what_is_no_request_is_closed(relay, raw):
    address = urlsplit(relay.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(raw)
    writer.write_eof()
    with suppress(ConnectionError):
        async with asyncio.timeout(DEADLINE_S):
            await reader.read()
    writer.close()
    async with joined(relay):
        pass


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(answer=st.binary(max_size=200), behind=st.binary(max_size=200))
async def test_no_bytes_of_a_node_are_an_error(answer, behind):
    async with (
        FakeNode({"/a": answer}, behind, is_short=True) as node,
        relay_to([node.url]) as relay,
    ):
        for path in ("/a", "/rtc"):
            with suppress(WebSocketException):
                async with joined(relay, path) as sdk:
                    await ended(sdk)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "certificate", folder / "key"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
        "-subj /CN=localhost -addext subjectAltName=DNS:localhost -days 2"
    )
    subprocess.run(
        [*command.split(), "-out", files[0], "-keyout", files[1]],
        check=True,
        capture_output=True,
    )
    return files


@pytest.fixture
async def secure_node(certificate):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificate)
    async with FakeNode(tls=tls) as running:
        running.begin = frame(response_of_fork(JOIN))
        yield running


def own_trust(certificate):
    return ssl.create_default_context(cafile=certificate[0])


async def test_a_node_is_reached_over_tls(secure_node, certificate):
    url = f"wss://localhost:{secure_node.port}"
    tls = partial(own_trust, certificate)
    async with relay_to([url], tls) as relay, joined(relay) as sdk:
        assert await received(sdk) == JOIN


async def test_a_node_with_an_unknown_certificate_is_not_reached(secure_node):
    async with relay_to([f"wss://localhost:{secure_node.port}"]) as relay:
        assert (await refused(relay)).status_code == 503
        assert relay.is_away
    assert secure_node.heads == []
