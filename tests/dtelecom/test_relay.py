"""The relay between the SDK and a node."""

import asyncio
import socket
import ssl
import subprocess
from contextlib import asynccontextmanager, suppress
from functools import partial

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.dtelecom.connections import BODY_BYTES, HEAD_BYTES, read_address
from appliance.dtelecom.relay import Relay
from appliance.net.http_client import trust
from appliance.process.background import Background
from appliance.room.connection import CONNECT_S
from tests.dtelecom.fake_node import FakeNode, http
from tests.dtelecom.real_node import response_of_fork
from tests.dtelecom.test_signal_filter import JOIN, UPDATE
from tests.dtelecom.test_websocket_frames import frame
from tests.room.fakes import DEADLINE_S

TOKEN = "eyJhbGciOiJFZERTQSJ9.e30.c2ln"
QUERY = "access_token=a%20b&protocol=15"


@asynccontextmanager
async def relay_to(urls, tls=trust, **more):
    background = Background()
    await background.open()
    relay = Relay(urls, background.start, tls, **more)
    relay.open()
    yield relay
    await relay.close()
    await background.close()


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


class Client:
    """What the SDK sends, byte by byte."""

    def __init__(self, reader, writer):
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connected(cls, relay):
        address = read_address(relay.url)
        return cls(*await asyncio.open_connection(address.host, address.port))

    @classmethod
    async def joined(cls, relay, query=QUERY):
        client = await cls.connected(relay)
        client.send(upgrade(f"{read_address(relay.url).path}/rtc?{query}"))
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        return client

    def send(self, raw):
        self._writer.write(raw)

    def end(self):
        self._writer.write_eof()

    async def head(self):
        async with asyncio.timeout(DEADLINE_S):
            return await self._reader.readuntil(b"\r\n\r\n")

    async def bytes(self, count):
        async with asyncio.timeout(DEADLINE_S):
            return await self._reader.readexactly(count)

    async def rest(self):
        """Return everything until the relay closes."""
        got = bytearray()
        with suppress(ConnectionResetError):
            async with asyncio.timeout(DEADLINE_S):
                while data := await self._reader.read(65_536):
                    got += data
        return bytes(got)

    async def close(self):
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


def upgrade(target, *more):
    lines = [
        f"GET {target} HTTP/1.1",
        "Host: 127.0.0.1:1",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Extensions: permessage-deflate",
        f"Authorization: Bearer {TOKEN}",
        *more,
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


async def get(relay, path):
    async with httpx.AsyncClient(trust_env=False) as client:
        url = relay.url.replace("ws", "http", 1) + path
        return await client.get(url, headers={"Authorization": f"Bearer {TOKEN}"})


async def test_query_and_authorization_reach_the_node(node, relay):
    client = await Client.joined(relay)
    (head,) = node.heads
    lines = head.decode().split("\r\n")
    assert lines[0] == f"GET /rtc?{QUERY} HTTP/1.1"
    assert f"Host: 127.0.0.1:{node.port}" in lines
    assert f"Authorization: Bearer {TOKEN}" in lines
    assert "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==" in lines
    # Compressed messages could not be filtered.
    assert "deflate" not in head.decode()
    await client.close()


async def test_the_path_of_a_nodes_address_comes_first(node):
    async with relay_to([f"{node.url}/some/where/"]) as relay:
        await (await Client.joined(relay)).close()
    assert node.heads[0].startswith(b"GET /some/where/rtc?")


async def test_bytes_pass_unchanged_in_both_directions(node, relay):
    client = await Client.joined(relay)
    upward = bytes(range(256)) * 1000
    client.send(upward)
    got = b""
    while len(got) < len(upward):
        got += await node.received.get()
    assert got == upward
    downward = [frame(UPDATE), frame(b"x" * 70_000), frame(b"", 9), frame(b"text", 1)]
    for each in downward:
        node.send(each)
        assert await client.bytes(len(each)) == each
    await client.close()


async def test_what_a_node_added_does_not_reach_the_sdk(node, relay):
    # Sent in one piece with the head of the answer.
    node.begin = frame(response_of_fork(JOIN))
    client = await Client.joined(relay)
    assert await client.bytes(len(frame(JOIN))) == frame(JOIN)
    await client.close()


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/rtc/v1", "404 Not Found", b"404 page not found\n"),
        ("/rtc/validate", "200 OK", b"success"),
        ("/rtc/validate", "401 Unauthorized", b"invalid token: x"),
    ],
)
async def test_an_answer_that_is_no_websocket_is_passed_on(
    node, relay, path, status, body
):
    node.answers[path] = http(status, body, "Content-Type: text/plain", "X-Node: 7")
    answer = await get(relay, f"{path}?{QUERY}")
    assert f"{answer.status_code} {answer.reason_phrase}" == status
    assert answer.content == body
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["x-node"] == "7"
    assert node.heads[0].startswith(f"GET {path}?{QUERY} ".encode())


async def test_a_refused_upgrade_is_passed_on_although_the_node_keeps_the_connection(
    node, relay
):
    node.answers["/rtc"] = http("404 Not Found", b"no", "Connection: keep-alive")
    client = await Client.connected(relay)
    client.send(upgrade(f"{read_address(relay.url).path}/rtc"))
    answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert answer.endswith(b"\r\n\r\nno")
    await client.close()


async def test_the_connection_ends_at_once_when_the_node_closes(node, relay):
    client = await Client.joined(relay)
    goodbye = frame(b"\x03\xe8", 8)
    node.send(goodbye)
    node.hang_up()
    assert await client.rest() == goodbye
    await client.close()


async def test_the_node_is_left_at_once_when_the_sdk_closes(node, relay):
    client = await Client.joined(relay)
    await client.close()
    async with asyncio.timeout(DEADLINE_S):
        await node.closed.get()


async def test_the_relay_keeps_listening_while_the_node_is_away(node, relay):
    client = await Client.joined(relay)
    await node.stop()
    assert await client.rest() == b""
    await client.close()
    assert (await get(relay, "/rtc")).status_code == 503
    await node.start()
    await (await Client.joined(relay)).close()


@pytest.mark.parametrize(
    "host", ["node1..example.com", ".example.com", f"{'a' * 64}.example.com"]
)
async def test_a_name_that_no_resolver_takes_is_a_node_that_is_away(node, host):
    async with relay_to([f"wss://{host}"]) as relay:
        assert (await get(relay, "/rtc")).status_code == 503
        assert relay.is_away
    async with relay_to([f"wss://{host}", node.url]) as relay:
        await (await Client.joined(relay)).close()


async def test_a_dead_node_is_replaced_by_the_next(node):
    async with relay_to([unused_url(), node.url]) as relay:
        await (await Client.joined(relay)).close()


@pytest.mark.parametrize(
    "broken",
    [
        http("502 Bad Gateway"),
        # What a server of something else answers, as at a domain that was given up.
        http("404 Not Found", b"nothing here"),
        http("200 OK", b"this domain is for sale"),
        http("301 Moved Permanently", b"", "Location: https://example.com/"),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
        http("200 OK", b"x" * (BODY_BYTES + 1)),
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * (2 * HEAD_BYTES) + b"\r\n\r\n",
    ],
)
async def test_a_node_that_answers_nonsense_is_replaced_by_the_next(node, broken):
    async with (
        FakeNode({"/rtc": broken}) as first,
        relay_to([first.url, node.url]) as relay,
    ):
        await (await Client.joined(relay)).close()


async def test_a_node_that_does_not_answer_is_replaced_by_the_next(node):
    """Before the SDK gives up; the node is tried last from then on."""
    async with (
        FakeNode({"/rtc": b""}, keeps=True) as silent,
        relay_to([silent.url, node.url]) as relay,
    ):
        async with asyncio.timeout(CONNECT_S):
            client = await Client.joined(relay)
        await client.close()
        assert (len(silent.heads), len(node.heads)) == (1, 1)


async def test_a_path_that_a_node_does_not_know_is_asked_for_at_one_node(node):
    old = {"/rtc/v1": http("404 Not Found")}
    async with FakeNode(old) as first, relay_to([first.url, node.url]) as relay:
        assert (await get(relay, "/rtc/v1")).status_code == 404
    assert node.heads == []


async def test_a_node_that_failed_is_tried_last_from_then_on(node):
    node.answers["/rtc/v1"] = http("404 Not Found")
    async with (
        FakeNode({"/rtc/v1": http("502 Bad Gateway")}) as first,
        relay_to([first.url, node.url]) as relay,
    ):
        assert (await get(relay, "/rtc/v1")).status_code == 404
        await (await Client.joined(relay)).close()
        assert (len(first.heads), len(node.heads)) == (1, 2)


async def test_no_node_is_joined_for_a_client_that_has_gone(node):
    """The node would have a participant of our name, and the session would be its."""
    async with (
        FakeNode({"/rtc": b""}, keeps=True) as silent,
        relay_to([silent.url, node.url]) as relay,
    ):
        client = await Client.connected(relay)
        client.send(upgrade(f"{read_address(relay.url).path}/rtc"))
        async with asyncio.timeout(DEADLINE_S):
            while not silent.heads:
                await asyncio.sleep(0.01)
            await client.close()
            await silent.closed.get()
        await (await Client.joined(relay)).close()
        assert len(node.heads) == 1


async def test_a_node_that_refuses_the_token_is_not_replaced(node):
    refusing = {"/rtc": http("401 Unauthorized", b"no")}
    async with FakeNode(refusing) as first, relay_to([first.url, node.url]) as relay:
        assert (await get(relay, "/rtc")).status_code == 401
    assert node.heads == []


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
async def test_a_token_is_reported_that_the_sessions_node_takes_no_more(node, status):
    reports: list[int] = []
    refused = partial(reports.append, 1)
    async with relay_to([node.url], refused=refused) as relay:
        node.answers["/first"] = http(status, b"no")
        assert (await get(relay, "/first")).status_code == int(status[:3])
        await (await Client.joined(relay)).close()
        # The node answers 404 to paths it does not know: the SDK tries another.
        node.answers["/rtc/v1"] = http("404 Not Found", b"no")
        assert (await get(relay, "/rtc/v1")).status_code == 404
        assert reports == []
        node.answers["/rtc"] = http(status, b"no")
        assert (await get(relay, "/rtc")).status_code == int(status[:3])
        assert reports == [1]


async def test_bytes_of_a_node_that_are_no_frames_are_logged(node, relay, caplog):
    client = await Client.joined(relay)
    node.send(frame(b"x", fin=False) + frame(b"y"))
    assert await client.rest() == b""
    await client.close()
    assert "message continued or begun at the wrong place" in caplog.text


async def test_a_session_stays_with_its_node(node):
    async with FakeNode() as first, relay_to([first.url, node.url]) as relay:
        await (await Client.joined(relay)).close()
        await first.stop()
        assert (await get(relay, "/rtc")).status_code == 503
    assert node.heads == []


@pytest.mark.parametrize("path", ["/rtc", "/", "/x/rtc", "/" + "A" * 22 + "/rtc"])
async def test_who_does_not_know_the_path_does_not_reach_the_node(node, relay, path):
    address = read_address(relay.url)
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://{address.host}:{address.port}{path}")
        longer = await client.get(
            f"http://{address.host}:{address.port}{address.path}x/rtc"
        )
    assert (answer.status_code, longer.status_code) == (404, 404)
    assert node.heads == []


async def test_only_loopback_is_listened_to(relay):
    assert read_address(relay.url).host == "127.0.0.1"


async def test_each_relay_has_a_path_of_its_own(node):
    async with relay_to([node.url]) as first, relay_to([node.url]) as second:
        assert read_address(first.url).path != read_address(second.url).path
        assert len(read_address(first.url).path) > 20


async def test_only_get_is_passed_on(node, relay):
    async with httpx.AsyncClient(trust_env=False) as client:
        url = relay.url.replace("ws", "http", 1)
        assert (await client.post(f"{url}/rtc", content=b"x")).status_code == 405
    assert node.heads == []


async def test_closing_the_relay_closes_its_connections(node):
    async with relay_to([node.url]) as relay:
        client = await Client.joined(relay)
    assert await client.rest() == b""
    await client.close()
    with pytest.raises(ConnectionRefusedError):
        await Client.connected(relay)


async def test_a_message_without_end_closes_the_connection(node, relay):
    client = await Client.joined(relay)
    node.send(b"\x82\x7f" + b"\xff" * 8)
    assert await client.rest() == b""
    await client.close()


HOSTILE = [
    b"\r\n" * 100,
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * HEAD_BYTES,
    b"GET " + b"/" * (2 * HEAD_BYTES),
    b"GET / HTTP/0.9\r\n\r\n",
    b"",
]


@pytest.mark.parametrize("raw", HOSTILE)
async def test_what_is_no_request_is_closed(node, relay, raw):
    client = await Client.connected(relay)
    client.send(raw)
    client.end()
    await client.rest()
    await client.close()
    await (await Client.joined(relay)).close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(answer=st.binary(max_size=200), behind=st.binary(max_size=200))
async def test_no_bytes_of_a_node_are_an_error(answer, behind):
    async with (
        FakeNode({"/a": answer}, behind, is_short=True) as node,
        relay_to([node.url]) as relay,
    ):
        for path in ("/a", "/rtc"):
            client = await Client.connected(relay)
            client.send(upgrade(read_address(relay.url).path + path))
            await client.rest()
            await client.close()


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


async def test_a_node_is_reached_over_tls(secure_node, certificate):
    def own_trust():
        return ssl.create_default_context(cafile=certificate[0])

    url = f"wss://localhost:{secure_node.port}"
    async with relay_to([url], own_trust) as relay:
        client = await Client.joined(relay)
        assert await client.bytes(len(frame(JOIN))) == frame(JOIN)
        await client.close()


async def test_a_node_with_an_unknown_certificate_is_not_reached(secure_node):
    async with relay_to([f"wss://localhost:{secure_node.port}"]) as relay:
        assert (await get(relay, "/rtc")).status_code == 503
        assert relay.is_away
    assert secure_node.heads == []
