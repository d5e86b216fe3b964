"""The token server as a program."""

import asyncio
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from prometheus_client import generate_latest

from appliance.net.http_server import HEAD_BYTES
from appliance.net.rate_limit import Rate
from appliance.process.logs import Redacting
from appliance.token_server.config import TokenServerConfig
from appliance.token_server.server import (
    client_limits,
    listening_socket,
    server,
)
from tests.loopback import http_client
from tests.token_server.clients import ENVIRONMENT, SECRET, asking, settings

ROOT = Path(__file__).parents[2]
DEADLINE_S = 30.0


def command(listen):
    return [sys.executable, "-m", "appliance", "token-server", "--listen", listen]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_program_serves_and_ends_cleanly(stop):
    with subprocess.Popen(
        command("127.0.0.1:0"),
        cwd=ROOT,
        # A supervisor that cannot be reached does not end it.
        env=ENVIRONMENT | {"NOTIFY_SOCKET": "/nowhere/notify"},
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stderr is not None
        line = program.stderr.readline()
        port = line.rsplit("port=")[1].strip()
        response = httpx.post(f"http://127.0.0.1:{port}/api/token", trust_env=False)
        assert response.status_code == 201
        program.send_signal(stop)
        rest = program.stderr.read()
        assert program.wait() == 0
    assert "address=127.0.0.1 allow=loopback" in line
    assert "systemd cannot be told that the server is ready" in rest
    assert "only programs on this machine reach this address" in rest
    assert SECRET not in line + rest
    assert response.json()["participant_token"] not in rest


def test_systemd_is_told_when_connections_are_accepted(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(DEADLINE_S)
        with subprocess.Popen(
            command("127.0.0.1:0"),
            cwd=ROOT,
            env=ENVIRONMENT | {"NOTIFY_SOCKET": str(tmp_path / "notify")},
            stderr=subprocess.PIPE,
            text=True,
        ) as program:
            try:
                assert systemd.recv(1000) == b"READY=1"
                assert program.stderr is not None
                port = program.stderr.readline().rsplit("port=")[1]
                socket.create_connection(("127.0.0.1", int(port))).close()
            finally:
                program.terminate()


def test_an_address_in_use_is_named_and_exits_1():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            command(listen),
            cwd=ROOT,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert (
        f"ptt-appliance: cannot listen on {listen}: address already in use. "
        "Choose another address, or a port from 1024 on.\n"
    ) in done.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_response_is_not_held_back_until_the_client_acknowledges(host):
    """asyncio sets TCP_NODELAY only for sockets that name their protocol."""
    with (
        listening_socket(f"{host}:0") as listening,
        socket.create_connection(listening.getsockname()[:2]),
    ):
        listening.settimeout(10)
        connection, _ = listening.accept()
        with connection:
            assert connection.proto == socket.IPPROTO_TCP


def test_a_hundred_boxes_that_ask_at_once_find_a_place():
    with listening_socket("127.0.0.1:0") as listening, ExitStack() as connections:
        for _ in range(100):
            connections.enter_context(
                socket.create_connection(listening.getsockname(), timeout=5)
            )


@asynccontextmanager
async def running(host="127.0.0.1", **keys):
    """Serve with the default limits and these keys; yield the address on loopback."""
    chosen = settings(**keys)
    serves = server(chosen, client_limits(chosen.config))
    with listening_socket(f"{host}:0") as listening:
        port = listening.getsockname()[1]
        task = asyncio.create_task(serves.serve([listening]))
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            serves.should_exit = True
            await task


async def test_a_hundred_boxes_behind_one_router_are_all_answered_at_once():
    """None is reset; those beyond the rate hear when to ask again."""
    async with running() as url:

        async def post(number):
            async with http_client(url, timeout=DEADLINE_S) as client:
                body = {"participant_identity": f"box-{number}"}
                return await client.post("/api/token", json=body)

        responses = await asyncio.gather(*map(post, range(100)))
    issued = [response for response in responses if response.status_code == 201]
    waiting = [response for response in responses if response.status_code == 429]
    assert len(issued) >= 40
    assert len(issued) + len(waiting) == 100
    assert all(response.headers["retry-after"] == "5" for response in waiting)


async def rate_used_up(client, path="/api/token"):
    """Ask until the server refuses; it allows more while a busy machine asks slowly."""
    async with asyncio.timeout(DEADLINE_S):
        while (await client.get(path)).status_code != 429:
            pass


async def test_an_ipv4_client_of_a_server_on_ipv6_is_known_by_its_ipv4_address():
    async with running("[::]") as url, http_client(url) as client:
        assert (await client.get("/api/token")).status_code == 200
        await rate_used_up(client)
        # Refused before the head is complete.
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
        writer.write(b"P")
        async with asyncio.timeout(DEADLINE_S):
            assert (await reader.readline()).startswith(b"HTTP/1.1 429")
        writer.close()


async def test_requests_beyond_the_rate_are_logged_once(caplog):
    caplog.set_level("INFO")
    async with running() as url, http_client(url) as client:
        await rate_used_up(client)
        await client.get("/api/token")
    assert b'refused_total{status="429"}' in generate_latest()
    assert caplog.messages.count("requests refused for rate") == 1


async def test_requests_of_a_proxy_itself_do_not_use_up_the_rate_of_its_clients():
    """A check of the proxy whether the server runs names no client."""
    keys = {"trusted_proxies": ["127.0.0.1"], "allow": ["anybody"]}
    async with running(**keys) as url, http_client(url) as client:
        await rate_used_up(client, "/health")
        client.headers["x-forwarded-for"] = "198.51.100.7"
        assert (await client.get("/api/token")).status_code == 200
        await rate_used_up(client)


def resident_kb(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [x for x in status.splitlines() if x.startswith("VmRSS:")]
    return int(line.split()[1])


def test_all_connections_with_a_long_incomplete_head_take_little_memory():
    """5 kB each while idle, 21 kB with the longest head, were measured on a PC."""
    head = b"GET /api/token HTTP/1.1\r\nX: " + b"x" * (HEAD_BYTES - 100)
    most = TokenServerConfig()
    with (
        subprocess.Popen(
            command("127.0.0.1:0"),
            cwd=ROOT,
            env=ENVIRONMENT,
            stderr=subprocess.PIPE,
            text=True,
        ) as program,
        ExitStack() as connections,
    ):
        assert program.stderr is not None
        port = int(program.stderr.readline().rsplit("port=")[1])
        url = f"http://127.0.0.1:{port}/api/token"
        assert httpx.post(url, trust_env=False).status_code == 201
        before_kb = resident_kb(program.pid)
        for number in range(most.connections):
            source = (f"127.0.0.{1 + number // most.connections_each}", 0)
            connection = socket.create_connection(
                ("127.0.0.1", port), timeout=5, source_address=source
            )
            connections.enter_context(connection).sendall(head)
        # Refused with one more, so all others are open and have been read.
        extra = socket.create_connection(
            ("127.0.0.1", port), timeout=5, source_address=("127.0.0.9", 0)
        )
        with extra:
            assert extra.recv(1) == b""
        grown_kb = resident_kb(program.pid) - before_kb
        program.terminate()
        program.stderr.read()
    assert grown_kb < 16 * 1024


async def fail(_grant, _address, _now_s):
    """Fail unexpectedly, with the secret in the error."""
    raise RuntimeError(SECRET)


async def test_an_unexpected_error_shows_no_secret(caplog):
    """Through the handlers of the root logger, which hide secrets, and no others."""
    chosen = settings()
    serves = server(chosen, client_limits(chosen.config), fail)
    with listening_socket("127.0.0.1:0") as listening:
        task = asyncio.create_task(serves.serve([listening]))
        host, port = listening.getsockname()
        async with http_client() as client:
            response = await client.post(f"http://{host}:{port}/api/token")
        serves.should_exit = True
        await task
    assert response.status_code == 500
    assert SECRET not in response.text
    formatter = Redacting(chosen.secrets, has_time=True)
    lines = [formatter.format(record) for record in caplog.records]
    assert any("RuntimeError" in line for line in lines)
    assert not any(SECRET in line for line in lines)


async def statuses(count, **keys):
    async with asking(**keys) as client:
        return [(await client.get("/api/token")).status_code for _ in range(count)]


async def test_one_address_is_limited_as_configured():
    assert 429 not in await statuses(40)
    assert 429 in await statuses(60)
    assert 429 not in await statuses(90, requests_per_s_each=5)


async def test_all_addresses_together_are_limited_as_configured():
    assert 429 in await statuses(30, requests_per_s=1)


def test_connections_are_limited_as_configured():
    found = client_limits(settings().config).connections
    assert (found.total, found.each) == (256, 128)
    found = client_limits(
        settings(connections=500, connections_each=200).config
    ).connections
    assert (found.total, found.each) == (500, 200)
    assert found.rate == Rate(500, 500)
    assert found.rate_each == Rate(200, 200)


def test_a_proxy_may_open_all_the_connections():
    chosen = settings(trusted_proxies=["192.168.1.2"], connections=500)
    found = client_limits(chosen.config).connections
    assert (found.total, found.each) == (500, 500)
    assert found.rate_each == found.rate
