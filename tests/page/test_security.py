"""Access control: logins, hosts, origins, lock-out and limits."""

import asyncio
import json
from contextlib import suppress
from dataclasses import replace

import httpx
import msgspec
import pytest

from appliance.core.events import (
    ChatTyped,
    PageServed,
    PairingAsked,
    PhonePaired,
    TalkAsked,
)
from appliance.page.access import LIMIT_BYTES
from appliance.page.application import default_limits
from appliance.page.pair_command import PairOptions, pair
from appliance.page.pairing import KEPT_COOKIES
from tests.loopback import http_client
from tests.page.fake_app import serving

IDLE_S = 3.0
"""Far longer than a hundred connections take to open."""
GUARDED = [
    ("GET", "/api/view"),
    ("GET", "/api/screen.png"),
    ("GET", "/metrics"),
    ("GET", "/static/app.js"),
    ("POST", "/api/chat"),
    ("POST", "/api/talk"),
    ("POST", "/api/leave"),
    ("GET", "/nowhere"),
]


@pytest.mark.parametrize(("method", "path"), GUARDED)
async def test_without_a_login_everything_is_401(served, method, path):
    async with served.client() as client:
        answer = await client.request(method, path, json={"on": True, "text": "a"})
    assert answer.status_code == 401
    assert answer.json()["error"]
    assert not served.inbox.of(TalkAsked)


@pytest.mark.parametrize(
    "cookie", ["ptt_session=", "ptt_session=x", "ptt_session=ü", "=;;=", "a" * 4000]
)
async def test_an_invented_cookie_is_no_login(served, cookie):
    async with served.client() as client:
        headers = {"cookie": cookie.encode()}
        answer = await client.get("/api/view", headers=headers)
    assert answer.status_code == 401


async def test_an_unpaired_client_is_redirected_to_the_pairing_form(served):
    async with served.client() as client:
        answer = await client.get("/")
        assert (answer.status_code, answer.headers["location"]) == (303, "pair")
        form = await client.get("/pair")
    assert form.status_code == 200
    assert served.pin not in form.text


@pytest.mark.parametrize("path", ["/", "/pair", "/api/view", "/health", "/nowhere"])
async def test_every_response_has_the_security_headers(served, path):
    async with served.client() as client:
        headers = (await client.get(path)).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "server" not in headers


async def test_the_cookie_is_http_only_and_same_site(served):
    async with served.client() as client:
        answer = await client.post("/pair", data={"pin": served.pin})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    ((_, secret),) = answer.cookies.items()
    kept = (served.directory / "pairing.json").read_text()
    assert secret not in kept
    assert (served.directory / "pairing.json").stat().st_mode & 0o777 == 0o600


async def test_a_phone_in_use_stays_paired_longer_than_browsers_keep_a_cookie(served):
    async with served.client() as phone:
        paired = await phone.post("/pair", data={"pin": served.pin})
        for path in ("/", "/", "/api/view"):
            page = await phone.get(path)
            renewed = page.headers.get("set-cookie", "")
            assert renewed == (paired.headers["set-cookie"] if path == "/" else "")
    async with served.client() as stranger:
        assert "set-cookie" not in (await stranger.get("/")).headers


@pytest.mark.parametrize(
    "kind", ["application/json", "application/x-www-form-urlencoded", ""]
)
async def test_a_pin_may_be_sent_as_json_and_with_spaces(served, kind):
    async with served.client(headers={"content-type": kind}) as client:
        # A script may send more fields.
        body = f' {{"pin": "{served.pin[:3]} {served.pin[3:]}", "of": [1]}}'
        answer = await client.post("/pair", content=body)
        assert answer.json() == {"paired": True}
        assert (await client.get("/api/view")).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "", "kitchen.evil.example", "127.0.0.1.evil.example", "a b"],
)
async def test_a_foreign_host_is_refused_even_with_a_login(served, paired, host):
    for path in ("/", "/api/view", "/pair"):
        answer = await paired.get(path, headers={"host": host})
        assert answer.status_code in {400, 403}


async def test_a_refused_host_name_is_told_what_to_do_after_a_change_of_it(paired):
    answer = await paired.get("/", headers={"host": "garage.local"})
    assert answer.status_code == 403
    assert "restart the box after a change of its host name" in answer.text


@pytest.mark.parametrize("name", ["kitchen.local", "localhost", "KITCHEN.local."])
async def test_the_boxs_own_names_are_accepted(paired, name):
    answer = await paired.get("/api/view", headers={"host": f"{name}:8080"})
    assert answer.status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "https://x:1"])
async def test_another_sites_post_is_refused(served, paired, origin):
    answer = await paired.post(
        "/api/talk", json={"on": True}, headers={"origin": origin}
    )
    assert answer.status_code == 403
    assert not served.inbox.of(TalkAsked)


async def test_another_sites_post_is_refused_without_an_origin_too(served, paired):
    headers = {"sec-fetch-site": "cross-site"}
    answer = await paired.post("/api/talk", json={"on": True}, headers=headers)
    assert answer.status_code == 403
    assert not served.inbox.of(TalkAsked)
    assert (await paired.get("/api/view", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "cookie",
    [
        "{}",
        "a=b; {}; c=d",
        'a="\\\\\\"; {}',
        ";;=;{};",
        "a=" + "\\" * 8000 + "; {}",
    ],
)
async def test_the_login_is_found_among_other_cookies(served, cookie):
    own = await served.cookie()
    async with served.client(headers={"cookie": cookie.replace("{}", own)}) as client:
        assert (await client.get("/api/view")).status_code == 200


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("kitchen.local", "https://kitchen.local", 200),
        ("127.0.0.1:8080", "https://127.0.0.1:8080", 200),
        ("127.0.0.1:8080", "https://kitchen.local", 403),
        ("home.example", "https://home.example", 403),
    ],
)
async def test_a_proxy_sends_a_host_of_the_box_and_the_same_origin(
    paired, host, origin, status
):
    headers = {"host": host, "origin": origin}
    answer = await paired.post("/api/talk", json={"on": True}, headers=headers)
    assert answer.status_code == status


async def test_a_post_of_the_page_itself_is_accepted(served, paired):
    headers = {"origin": served.url}
    answer = await paired.post("/api/talk", json={"on": True}, headers=headers)
    assert answer.status_code == 200


async def test_wrong_pins_lock_the_form_for_minutes(served):
    wrong = "111111" if served.pin != "111111" else "222222"
    async with served.client() as client:
        for _ in range(4):
            answer = await client.post("/pair", json={"pin": wrong})
            assert answer.status_code == 403
        for _ in range(2):
            answer = await client.post("/pair", json={"pin": wrong})
            assert answer.status_code == 429
            assert answer.json()["error"].endswith("Try again in 5 min.")
            right = await client.post("/pair", json={"pin": served.pin})
            assert (right.status_code, right.headers["retry-after"]) == (429, "300")
            served.clock.now_s += 300
        assert (await client.post("/pair", json={"pin": served.pin})).is_success


async def test_wrong_pins_lock_out_only_their_own_address(served):
    wrong = "111111" if served.pin != "111111" else "222222"
    async with guest(served, "127.0.0.2") as stranger:
        for _ in range(5):
            answer = await stranger.post("/pair", json={"pin": wrong})
        assert answer.status_code == 429
        async with guest(served, "127.0.0.3") as owner:
            assert (await owner.post("/pair", json={"pin": served.pin})).is_success
        assert (await stranger.post("/pair", json={"pin": wrong})).status_code == 429


async def test_a_pairing_makes_up_for_the_wrong_pins_before_it(served):
    wrong = "111111" if served.pin != "111111" else "222222"
    async with served.client() as client:
        for _ in range(2):
            for _ in range(4):
                answer = await client.post("/pair", json={"pin": wrong})
                assert answer.status_code == 403
            answer = await client.post("/pair", json={"pin": served.pin})
            assert answer.is_success


async def test_many_addresses_together_have_thirty_tries_an_hour(served):
    wrong = "111111" if served.pin != "111111" else "222222"
    statuses = []
    for number in range(2, 24):
        async with guest(served, f"127.0.0.{number}") as stranger:
            answer = await stranger.post("/pair", json={"pin": wrong})
        statuses.append(answer.status_code)
    assert statuses == [403] * 19 + [429] * 3
    async with guest(served, "127.0.0.99") as owner:
        answer = await owner.post("/pair", json={"pin": served.pin})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "120")
        served.clock.now_s += 120
        assert (await owner.post("/pair", json={"pin": served.pin})).is_success


async def test_the_box_is_asked_to_show_the_pin_while_the_form_is_open(served):
    wrong = "111111" if served.pin != "111111" else "222222"
    async with served.client() as client:
        for _ in range(3):
            await client.get("/pair")
        assert len(served.inbox.of(PairingAsked)) == 1
        served.clock.now_s += 31
        await client.post("/pair", data={"pin": wrong})
        assert len(served.inbox.of(PairingAsked)) == 2
        assert not served.inbox.of(PhonePaired)
        await client.post("/pair", data={"pin": served.pin})
        assert len(served.inbox.of(PhonePaired)) == 1
        served.clock.now_s += 5
        await client.get("/pair")
        assert len(served.inbox.of(PairingAsked)) == 2


async def test_the_form_mentions_the_screen_only_if_it_shows_the_pin(served):
    async with served.client() as client:
        form = (await client.get("/pair")).text
    shown, _, printed = form.partition("ptt-appliance pair")
    assert "QR" not in shown
    assert "QR" in printed


async def test_a_flood_of_wrong_pins_at_once_gets_five_tries(served):
    wrong = "111111" if served.pin != "111111" else "222222"
    async with served.client() as client:
        jobs = [client.post("/pair", json={"pin": wrong}) for _ in range(20)]
        statuses = [answer.status_code for answer in await asyncio.gather(*jobs)]
    assert statuses.count(403) == 4
    assert statuses.count(429) == 16


async def test_a_malformed_pin_is_explained_and_not_counted(served):
    async with served.client() as client:
        for pin in ("", "12345", "abcdef", "1234567", "١٢٣٤٥٦", "<b>"):
            answer = await client.post("/pair", data={"pin": pin})
            assert answer.status_code == 400
            assert "six digits" in answer.text
        assert (await client.post("/pair", data={"pin": served.pin})).is_redirect


async def test_requests_beyond_the_rate_are_429_for_some_time(served):
    async with served.client() as client:
        for _ in range(150):
            assert (await client.get("/health")).status_code == 200
        assert (await client.get("/health")).status_code == 429
        served.clock.now_s += 1
        assert (await client.get("/health")).status_code == 200


async def test_a_body_that_is_too_long_is_413_before_its_end(served, paired):
    reader, writer = await _raw(served, paired, "Transfer-Encoding: chunked")
    writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
    for _ in range(LIMIT_BYTES // 1024):
        writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
    async with asyncio.timeout(10):
        assert b" 413 " in await reader.readline()
    writer.transport.abort()


@pytest.mark.parametrize("size", [LIMIT_BYTES + 1, 3_000_000])
async def test_a_body_that_announces_its_length_is_413_at_once(paired, size):
    answer = await paired.post("/api/chat", content=b"x" * size)
    assert answer.status_code == 413
    assert (await paired.get("/api/view")).status_code == 200


async def test_a_client_that_disconnects_in_a_request_has_no_effect(served, paired):
    _, writer = await _raw(served, paired, "Content-Length: 100")
    writer.write(b'{"text": "hal')
    await writer.drain()
    writer.transport.abort()
    assert (await paired.get("/api/view")).status_code == 200
    assert not served.inbox.of(ChatTyped)


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"\0" * 99]
)
async def test_what_is_not_http_is_closed(served, paired, garbage):
    host, port = served.host.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(garbage + b"\r\n\r\n")
    async with asyncio.timeout(10):
        await reader.read()
    writer.close()
    await writer.wait_closed()
    assert (await paired.get("/api/view")).status_code == 200


async def test_a_bearer_token_opens_the_api_at_once(served, capsys):
    pair(served.directory, "0.0.0.0:8080", PairOptions(is_token=True))
    token = capsys.readouterr().out.strip()
    async with served.client() as client:
        for scheme in ("Bearer", "bearer"):
            headers = {"authorization": f"{scheme} {token}"}
            assert (await client.get("/api/view", headers=headers)).is_success
        for wrong in (f"Basic {token}", "Bearer", f"Bearer {token}x", f"Bearer  {0}"):
            headers = {"authorization": wrong}
            answer = await client.get("/api/view", headers=headers)
            assert answer.status_code == 401


async def test_a_reset_invalidates_cookies_and_tokens_and_posts_the_new_pin(
    served, paired, capsys
):
    pair(served.directory, "0.0.0.0:8080", PairOptions(is_reset=True, is_json=True))
    pin = json.loads(capsys.readouterr().out)["pin"]
    assert (await paired.get("/api/view")).status_code == 401
    await served.inbox.has(PageServed(served.url, pin))
    answer = await paired.post("/pair", json={"pin": pin})
    assert answer.is_success


async def test_a_reset_ends_the_talk_of_a_script_that_can_no_longer_end_it(
    served, paired
):
    assert (await paired.post("/api/talk", json={"on": True})).is_success
    pair(served.directory, "0.0.0.0:8080", PairOptions(is_reset=True))
    answer = await paired.post("/api/talk", json={"on": False})
    assert answer.status_code == 401
    await served.inbox.has(TalkAsked(is_on=False))


async def test_a_talk_ends_when_a_newer_phone_takes_the_place_of_its_login(served):
    async with (
        served.client({"cookie": await served.cookie()}) as oldest,
        served.client({"cookie": await served.cookie()}) as second,
    ):
        await oldest.post("/api/talk", json={"on": True})
        await second.post("/api/talk", json={"on": True})
        for _ in range(KEPT_COOKIES - 1):
            await served.cookie()
        assert TalkAsked(is_on=False) not in served.inbox.events
        assert (await oldest.get("/api/view")).status_code == 401
        await second.post("/api/talk", json={"on": False})
        await served.inbox.has(TalkAsked(is_on=False))


async def test_logins_outlive_a_restart(tmp_path, clock):
    async with serving(tmp_path, clock) as first:
        cookie = await first.cookie()
    async with serving(tmp_path, clock) as second:
        assert second.pin == first.pin
        async with second.client(headers={"cookie": cookie}) as client:
            assert (await client.get("/api/view")).is_success


async def test_only_so_many_cookies_are_kept_and_the_oldest_goes(served):
    cookies = [await served.cookie() for _ in range(33)]
    kept = msgspec.json.decode((served.directory / "pairing.json").read_bytes())
    assert len(kept["sessions"]) == 32
    async with served.client() as client:
        statuses = [
            (await client.get("/api/view", headers={"cookie": cookie})).status_code
            for cookie in (cookies[0], cookies[-1])
        ]
    assert statuses == [401, 200]


@pytest.fixture
async def impatient(tmp_path, clock):
    """A page that closes idle connections early."""
    limits = replace(default_limits(clock), request_s=IDLE_S)
    async with serving(tmp_path, clock, limits=limits) as page:
        yield page


async def test_more_connections_than_allowed_are_closed_and_idle_ones_too(impatient):
    idle = [await opened(impatient, f"127.0.0.{n % 5 + 2}") for n in range(100)]
    async with guest(impatient, "127.0.0.9") as late:
        with pytest.raises(httpx.TransportError):
            await late.get("/health")
    await closed(idle)
    async with impatient.client() as client:
        assert (await client.get("/health")).is_success


async def test_one_address_cannot_use_up_all_connections(served):
    many = [await opened(served, "127.0.0.2") for _ in range(100)]
    async with guest(served, "127.0.0.3") as other:
        assert (await other.get("/health")).is_success
    for _, writer in many:
        writer.transport.abort()


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        "\r\n".join(f"X-{n}: y" for n in range(200)),
        f"X-Long: {'y' * 9000}",
        "Sec-WebSocket-Key: short",
        "X-Plain: y",
    ],
)
async def test_a_failed_handshake_is_closed(served, head):
    reader, writer = await opened(served, "127.0.0.2")
    upgrade = ("GET /api/live HTTP/1.1", f"Host: {served.host}", "Upgrade: websocket")
    version = ("Connection: Upgrade", "Sec-WebSocket-Version: 13")
    writer.write("\r\n".join((*upgrade, *version, head, "", "")).encode())
    await closed([(reader, writer)], wait_s=5)


async def _raw(served, paired, header):
    """Return a connection on which the head of a chat line has been sent."""
    host, port = served.host.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = ("POST /api/chat HTTP/1.1", f"Host: {served.host}", header)
    lines = (*head, f"Cookie: {paired.headers['cookie']}", "", "")
    writer.write("\r\n".join(lines).encode())
    return reader, writer


def guest(served, address):
    """Return a client at another address."""
    return http_client(served.url, local_address=address)


async def opened(served, address):
    """Return a connection from another address."""
    host, port = served.host.split(":")
    return await asyncio.open_connection(host, int(port), local_addr=(address, 0))


async def closed(connections, wait_s=60):
    """Return once the box has closed them all."""
    async with asyncio.timeout(wait_s):
        for reader, writer in connections:
            with suppress(ConnectionResetError):
                await reader.read()
            writer.close()


async def test_two_boxes_on_one_host_do_not_log_each_other_out(tmp_path, clock):
    async with (
        serving(tmp_path / "first", clock) as first,
        serving(tmp_path / "second", clock) as second,
    ):
        # As in a browser, where a cookie replaces another one with its name.
        cookies = dict([(await box.cookie()).split("=", 1) for box in (first, second)])
        header = "; ".join(f"{name}={value}" for name, value in cookies.items())
        for box in (first, second):
            async with box.client(headers={"cookie": header}) as client:
                assert (await client.get("/api/view")).status_code == 200
