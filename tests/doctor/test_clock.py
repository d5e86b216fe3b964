"""Clock of the box against that of a server."""

import asyncio

import pytest

from appliance.doctor.checks import clock, remote_clock
from tests.tokens.fake_server import http, says, serving

NOW_S = 1_795_000_000.0
DAY_S = 86_400
DATE = "Date: Tue, 17 Nov 2026 12:00:00 GMT"
DATE_S = 1_794_916_800.0


@pytest.mark.parametrize(
    ("error_s", "said"),
    [
        (-7 * DAY_S, "7 days, 0:00:00 behind tokens.example.com"),
        (300 * DAY_S, "300 days, 0:00:00 ahead of tokens.example.com"),
        (-5 * 3600, "5:00:00 behind"),
        (180, "0:03:00 ahead of"),
        (-61, "0:01:01 behind"),
    ],
)
def test_a_wrong_clock_is_reported_with_a_remedy_that_lasts(error_s, said):
    finding = clock(NOW_S + error_s, ("tokens.example.com", NOW_S))
    assert said in finding.found
    assert "sudo timedatectl set-ntp true" in finding.advice


@pytest.mark.parametrize("error_s", [-60, 0, 60])
def test_a_right_clock_is_good_and_says_what_it_was_compared_with(error_s):
    finding = clock(NOW_S + error_s, ("tokens.example.com", NOW_S))
    assert finding.is_good
    assert finding.found.endswith("UTC, as at tokens.example.com")


def test_without_a_server_only_a_year_in_the_past_is_a_fault():
    assert not clock(0.0, None).is_good
    finding = clock(NOW_S, None)
    assert finding.is_good
    assert finding.found.endswith("UTC, not compared: no server has answered")


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "500 Oops", "302 Found"])
async def test_the_clock_of_a_server_is_read_from_any_answer(status):
    seen: list[bytes] = []
    async with serving(says(http(status, b"", DATE)), seen) as url:
        urls = (None, "http://{host}/", f"{url}/token?key=hush")
        found = await asyncio.to_thread(remote_clock, urls)
    assert found == ("127.0.0.1", DATE_S)
    assert seen[0].startswith(b"HEAD / HTTP/1.1")
    assert b"hush" not in seen[0]


async def test_a_server_that_does_not_say_the_time_is_passed_over():
    async with (
        serving(says(http("200 OK")), []) as silent,
        serving(says(http("200 OK", b"", "Date: yesterday")), []) as odd,
        serving(says(http("200 OK", b"", DATE)), []) as good,
    ):
        socket = good.replace("http://", "ws://")
        urls = ("http://127.0.0.1:1", silent, odd, socket)
        found = await asyncio.to_thread(remote_clock, urls)
    assert found == ("127.0.0.1", DATE_S)


def test_nobody_to_ask_is_no_clock():
    urls = (None, "mailto:x", "http://[::1", "https://nobody.invalid")
    assert remote_clock(urls) is None


async def test_the_certificate_does_not_matter_because_the_clock_is_wrong(tls):
    async with serving(says(http("200 OK", b"", DATE)), [], tls) as url:
        found = await asyncio.to_thread(remote_clock, (url,))
    assert found == ("127.0.0.1", DATE_S)
