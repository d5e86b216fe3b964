"""PINs: new ones, wrong ones, and their time on the screen."""

import logging
import re

import pytest

from appliance.core.events import PageServed, PairingAsked, PhonePaired
from appliance.core.state import PIN_SHOWN_S
from appliance.page.pair_command import PairOptions, pair
from appliance.page.pairing import RESUBMIT_S, Pairing, PairingFile
from tests.page.fake_app import serving
from tests.page.test_security import guest


def wrong_for(served):
    return "111111" if served.pin != "111111" else "222222"


async def guessed(served, address="127.0.0.2"):
    """Send a wrong PIN, and return the response."""
    async with guest(served, address) as stranger:
        return await stranger.post("/pair", json={"pin": wrong_for(served)})


async def test_wrong_pins_of_all_addresses_are_counted_over_restarts(tmp_path, clock):
    statuses = []
    for start in range(3):
        async with serving(tmp_path, clock) as served:
            for number in range(9):
                answer = await guessed(served, f"127.0.{start + 1}.{number + 1}")
                statuses.append(answer.status_code)
    assert statuses == [403] * 19 + [429] * 8
    # Another boot, whose clock is late.
    clock.now_s = 3.0
    async with (
        serving(tmp_path, clock) as served,
        guest(served, "127.0.0.2") as owner,
    ):
        answer = await owner.post("/pair", json={"pin": served.pin})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "120")
        clock.now_s += 120
        assert (await owner.post("/pair", json={"pin": served.pin})).is_success


async def test_a_reset_by_the_command_line_ends_each_lock_out(served):
    for number in range(20):
        await guessed(served, f"127.0.0.{number + 2}")
    for _ in range(5):
        await guessed(served)
    pair(served.directory, "0.0.0.0:80", PairOptions(is_reset=True))
    async with guest(served, "127.0.0.2") as owner:
        assert (await owner.post("/pair", json={"pin": served.pin})).is_success


async def test_each_pairing_creates_a_new_pin_and_posts_it(served):
    old = served.pin
    await served.cookie()
    assert served.pin != old
    await served.inbox.has(PageServed(served.url, served.pin))
    async with served.client() as client:
        answer = await client.post("/pair", json={"pin": served.pin})
        assert answer.is_success


async def test_an_old_pin_is_a_wrong_pin_for_others(served):
    old = served.pin
    await served.cookie()
    async with guest(served, "127.0.0.2") as stranger:
        answer = await stranger.post("/pair", json={"pin": old})
    assert answer.status_code == 403


async def test_a_form_that_is_sent_twice_pairs_the_phone_that_sent_it(served, capsys):
    old = served.pin
    async with served.client() as phone:
        for _ in range(2):
            phone.cookies.clear()
            assert (await phone.post("/pair", data={"pin": old})).is_redirect
            assert (await phone.get("/api/view")).is_success
            served.clock.now_s += RESUBMIT_S / 2
        assert (await phone.post("/pair", data={"pin": old})).status_code == 403
        old = served.pin
        assert (await phone.post("/pair", data={"pin": old})).is_redirect
        pair(served.directory, "0.0.0.0:80", PairOptions(is_reset=True))
        assert (await phone.post("/pair", data={"pin": old})).status_code == 403


async def test_without_a_writable_directory_each_start_has_a_new_pin(tmp_path, clock):
    async with serving(tmp_path, clock) as first:
        cookie = await first.cookie()
        kept = first.pin
    # A directory in place of the scratch file makes each write fail.
    (tmp_path / "pairing.json.tmp" / "in the way").mkdir(parents=True)
    async with serving(tmp_path, clock) as second:
        (shown,) = second.inbox.of(PageServed)
        assert shown.pin != kept
        headers = {"cookie": cookie}
        async with second.client(headers=headers) as phone, second.client() as other:
            assert (await phone.get("/api/view")).is_success
            answer = await other.post("/pair", json={"pin": shown.pin})
            assert answer.is_success


async def test_each_lock_out_creates_a_new_pin(served):
    seen = {served.pin}
    for _ in range(3):
        while (await guessed(served)).status_code == 403:
            assert served.pin in seen
        assert served.pin not in seen
        seen.add(served.pin)
        served.clock.now_s += 600


@pytest.mark.parametrize("kind", ["json", "data"])
async def test_a_wrong_pin_requests_the_pin_on_the_screen(served, kind):
    async with served.client() as client:
        await client.post("/pair", **{kind: {"pin": wrong_for(served)}})
    assert served.inbox.of(PairingAsked)


async def test_wrong_pins_are_logged_once_a_minute(served, caplog):
    caplog.set_level(logging.INFO)
    for number in range(12):
        await guessed(served, f"127.0.0.{number % 4 + 2}")
    lines = [each for each in caplog.messages if each.startswith("wrong PIN")]
    assert lines == ["wrong PIN"]


@pytest.mark.parametrize("every_s", [5, 50, 61])
def test_opening_the_form_repeatedly_does_not_keep_the_pin_on_the_screen(
    tmp_path, clock, every_s
):
    asked_s = []
    pairing = Pairing(PairingFile(tmp_path), lambda _: asked_s.append(clock()), clock)
    shown_s = 0.0
    for _ in range(10_800 // every_s):
        clock.now_s += every_s
        before = len(asked_s)
        pairing.request_pin_display()
        if len(asked_s) > before:
            since_s = clock() - asked_s[-2] if before else PIN_SHOWN_S
            shown_s += min(since_s, PIN_SHOWN_S)
    # Six minutes at first, and a quarter of the three hours.
    assert shown_s <= 360 + 10_800 / 4


async def test_the_way_to_see_the_pin_again_does_not_send_a_wrong_one_again(served):
    async with served.client() as client:
        answer = await client.post("/pair", data={"pin": wrong_for(served)})
        assert answer.status_code == 403
        assert "reload" not in answer.text.lower()
        (link,) = re.findall(r'<a href="(.*?)">', answer.text)
        again = await client.get(answer.url.join(link))
        assert again.status_code == 200
        assert 'aria-invalid="false"' in again.text


async def test_the_pin_after_a_pairing_is_shown_to_the_next_person_at_once(served):
    async with served.client() as client, guest(served, "127.0.0.2") as second:
        await client.get("/pair")
        await second.get("/pair")
        assert len(served.inbox.of(PairingAsked)) == 1
        served.clock.now_s += 1
        await client.post("/pair", data={"pin": served.pin})
        await served.inbox.until(lambda: served.inbox.of(PhonePaired))
        await second.get("/pair")
    assert len(served.inbox.of(PairingAsked)) == 2
