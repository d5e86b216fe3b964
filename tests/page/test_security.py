"""R6.5: nobody gets in uninvited."""

import asyncio
import json

import msgspec
import pytest

from appliance.core.events import ChatTyped, PageServed, TalkAsked
from appliance.page.body import LIMIT_BYTES
from appliance.page.pairing_command import Wish, pair
from tests.page.fake_app import serving

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
async def test_without_a_session_everything_is_401(served, method, path):
    async with served.client() as client:
        answer = await client.request(method, path, json={"on": True, "text": "a"})
    assert answer.status_code == 401
    assert answer.json()["error"]
    assert not served.inbox.of(TalkAsked)


@pytest.mark.parametrize(
    "cookie", ["ptt_session=", "ptt_session=x", "ptt_session=ü", "=;;=", "a" * 4000]
)
async def test_a_made_up_cookie_is_no_session(served, cookie):
    async with served.client() as client:
        headers = {"cookie": cookie.encode()}
        answer = await client.get("/api/view", headers=headers)
    assert answer.status_code == 401


async def test_the_page_sends_strangers_to_the_pairing_form(served):
    async with served.client() as client:
        answer = await client.get("/")
        assert (answer.status_code, answer.headers["location"]) == (303, "/pair")
        form = await client.get("/pair")
    assert form.status_code == 200
    assert served.pin not in form.text


@pytest.mark.parametrize("path", ["/", "/pair", "/api/view", "/health", "/nowhere"])
async def test_every_answer_has_the_strict_headers(served, path):
    async with served.client() as client:
        headers = (await client.get(path)).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] in {"no-referrer", "same-origin"}
    assert "server" not in headers


async def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(served):
    async with served.client() as client:
        answer = await client.post("/pair", data={"pin": served.pin})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    secret = answer.cookies["ptt_session"]
    kept = (served.directory / "pairing.json").read_text()
    assert secret not in kept
    assert (served.directory / "pairing.json").stat().st_mode & 0o777 == 0o600


async def test_a_pin_may_be_sent_as_json_and_with_spaces(served):
    async with served.client() as client:
        pin = f"{served.pin[:3]} {served.pin[3:]}"
        answer = await client.post("/pair", json={"pin": pin})
        assert answer.json() == {"paired": True}
        assert (await client.get("/api/view")).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "", "kitchen.evil.example", "127.0.0.1.evil.example", "a b"],
)
async def test_a_strange_host_is_refused_even_with_a_session(served, paired, host):
    for path in ("/", "/api/view", "/pair"):
        answer = await paired.get(path, headers={"host": host})
        assert answer.status_code in {400, 403}


@pytest.mark.parametrize("name", ["kitchen.local", "localhost", "KITCHEN.local."])
async def test_the_box_answers_to_its_own_names(paired, name):
    answer = await paired.get("/api/view", headers={"host": f"{name}:8080"})
    assert answer.status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "https://x:1"])
async def test_another_sites_post_is_refused(served, paired, origin):
    answer = await paired.post(
        "/api/talk", json={"on": True}, headers={"origin": origin}
    )
    assert answer.status_code == 403
    assert not served.inbox.of(TalkAsked)


async def test_a_post_from_the_page_itself_is_done(served, paired):
    headers = {"origin": served.url}
    answer = await paired.post("/api/talk", json={"on": True}, headers=headers)
    assert answer.status_code == 200


async def test_wrong_pins_lock_the_form_for_longer_and_longer(served):
    wrong = "111111" if served.pin != "111111" else "222222"
    waits = []
    async with served.client() as client:
        for _ in range(4):
            answer = await client.post("/pair", json={"pin": wrong})
            assert answer.status_code == 403
        for _ in range(4):
            answer = await client.post("/pair", json={"pin": wrong})
            assert answer.status_code == 429
            waits.append(int(answer.headers["retry-after"]))
            right = await client.post("/pair", json={"pin": served.pin})
            assert right.status_code == 429
            served.clock.now_s += waits[-1]
        assert (await client.post("/pair", json={"pin": served.pin})).is_success
    assert [wait // 60 for wait in waits] == [1, 2, 4, 8]


async def test_a_flood_of_wrong_pins_at_once_gets_five_tries(served):
    wrong = "111111" if served.pin != "111111" else "222222"
    async with served.client() as client:
        jobs = [client.post("/pair", json={"pin": wrong}) for _ in range(40)]
        statuses = [answer.status_code for answer in await asyncio.gather(*jobs)]
    assert statuses.count(403) == 4
    assert statuses.count(429) == 36


async def test_a_slip_costs_no_try_and_is_explained(served):
    async with served.client() as client:
        for pin in ("", "12345", "abcdef", "1234567", "١٢٣٤٥٦", "<b>"):
            answer = await client.post("/pair", data={"pin": pin})
            assert answer.status_code == 400
            assert "six digits" in answer.text
        assert (await client.post("/pair", data={"pin": served.pin})).is_redirect


async def test_too_many_requests_are_429_until_some_time_has_passed(served):
    async with served.client() as client:
        for _ in range(150):
            assert (await client.get("/health")).status_code == 200
        assert (await client.get("/health")).status_code == 429
        served.clock.now_s += 1
        assert (await client.get("/health")).status_code == 200


async def test_a_body_that_is_too_long_is_413_before_it_has_all_come(served, paired):
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


async def test_a_client_that_goes_away_in_the_middle_harms_nobody(served, paired):
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
    pair(served.directory, "0.0.0.0:8080", "kitchen", Wish(is_token=True))
    token = capsys.readouterr().out.strip()
    async with served.client() as client:
        for scheme in ("Bearer", "bearer"):
            headers = {"authorization": f"{scheme} {token}"}
            assert (await client.get("/api/view", headers=headers)).is_success
        for wrong in (f"Basic {token}", "Bearer", f"Bearer {token}x", f"Bearer  {0}"):
            headers = {"authorization": wrong}
            answer = await client.get("/api/view", headers=headers)
            assert answer.status_code == 401


async def test_a_reset_forgets_phones_and_tokens_and_shows_the_new_pin(
    served, paired, capsys
):
    pair(served.directory, "0.0.0.0:8080", "kitchen", Wish(is_reset=True, is_json=True))
    pin = json.loads(capsys.readouterr().out)["pin"]
    assert (await paired.get("/api/view")).status_code == 401
    await served.inbox.has(PageServed(served.url, pin))
    answer = await paired.post("/pair", json={"pin": pin})
    assert answer.is_success


async def test_sessions_outlive_a_restart(tmp_path, clock):
    async with serving(tmp_path, clock) as first:
        cookie = await first.cookie()
    async with serving(tmp_path, clock) as second:
        assert second.pin == first.pin
        async with second.client(headers={"cookie": cookie}) as client:
            assert (await client.get("/api/view")).is_success


async def test_only_so_many_sessions_are_kept_and_the_oldest_goes(served):
    cookies = [await served.cookie() for _ in range(33)]
    kept = msgspec.json.decode((served.directory / "pairing.json").read_bytes())
    assert len(kept["sessions"]) == 32
    async with served.client() as client:
        statuses = [
            (await client.get("/api/view", headers={"cookie": cookie})).status_code
            for cookie in (cookies[0], cookies[-1])
        ]
    assert statuses == [401, 200]


async def test_more_connections_than_allowed_are_closed_and_idle_ones_too(served):
    host, port = served.host.split(":")
    idle = [await asyncio.open_connection(host, int(port)) for _ in range(100)]
    async with asyncio.timeout(60):
        for reader, writer in idle:
            assert await reader.read() == b""
            writer.close()
    async with served.client() as client:
        assert (await client.get("/health")).is_success


async def _raw(served, paired, header):
    """Return a connection on which the head of a chat line has been sent."""
    host, port = served.host.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = ("POST /api/chat HTTP/1.1", f"Host: {served.host}", header)
    lines = (*head, f"Cookie: {paired.headers['cookie']}", "", "")
    writer.write("\r\n".join(lines).encode())
    return reader, writer
