"""The page in a real browser."""

import asyncio
import json
import re

import pytest
from playwright.async_api import expect

from appliance.config import TalkMode
from appliance.core.chat import Delivery
from appliance.core.events import (
    AgentState,
    Caption,
    ChatTyped,
    JoinAsked,
    LeaveAsked,
    MuteAsked,
    TalkAsked,
    VoiceAgent,
    VolumeAsked,
)
from appliance.core.state import Phase
from appliance.core.view import (
    FIXED_TEXT,
    LOCK_TEXT,
    NO_BUTTON_TEXT,
    ConnectionState,
    TalkState,
)
from tests.clock import Clock
from tests.page.fake_app import serving
from tests.page.phone import line_with, opened

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIT = """canvas => canvas.getContext("2d").getImageData(0, 0, 128, 64).data
    .filter((value, at) => at % 4 === 0 && value > 99).length"""
PRESETS = [""] * 3
ORDER = ["leave", "talk", *PRESETS, "scroll", "text", "mute", "gain", "volume"]
COUNT_ADDED = """(id) => {
    window.added = 0;
    new MutationObserver((changes) => {
        for (const change of changes) window.added += change.addedNodes.length;
    }).observe(document.getElementById(id), {childList: true});
}"""
COUNT_RELOADS = """() => {
    window.reloads = 0;
    navigation.addEventListener("navigate", (event) => {
        window.reloads += 1;
        event.preventDefault();
    });
}"""
"""Counts the reloads that the page starts, each of which takes forever."""
LEFT = "Left. Join brings the box back"
HOSTILE = "<img src=x onerror=\"document.title='owned'\"> &amp; <b>bold</b>"


async def test_a_scanned_code_pairs_and_the_pin_leaves_the_address_bar(phone):
    await phone.page.context.clear_cookies()
    pin = phone.served.pin
    await phone.page.goto(f"{phone.served.url}/pair#{pin}")
    await expect(phone.page.get_by_label("PIN")).to_have_value(pin)
    await phone.page.keyboard.press("Enter")
    await phone.text("link-text").to_have_text("live")
    assert phone.page.url == f"{phone.served.url}/"
    await phone.text("name").to_have_text("kitchen")
    await phone.text("room").to_have_text("workshop")
    await phone.text("connection").to_have_text("connected")
    await phone.text("rtt").to_have_text("23 ms")
    cookies = await phone.page.context.cookies()
    assert [(one["httpOnly"], one["sameSite"]) for one in cookies] == [(True, "Strict")]


async def test_a_code_scanned_on_a_paired_phone_leaves_no_pin_in_its_address(phone):
    await phone.page.goto(f"{phone.served.url}/pair#{phone.served.pin}")
    await phone.text("link-text").to_have_text("live")
    assert phone.page.url == f"{phone.served.url}/"
    await phone.page.goto(f"{phone.served.url}/#elsewhere")
    await phone.text("link-text").to_have_text("live")
    assert phone.page.url == f"{phone.served.url}/#elsewhere"


async def test_opening_a_link_does_not_submit_its_pin(browser, tmp_path):
    async with serving(tmp_path, Clock()) as served:
        wrong = "111111" if served.pin != "111111" else "222222"
        page, _ = await opened(browser)
        await page.goto(f"{served.url}/pair#{wrong}")
        await expect(page.get_by_role("button", name="Pair")).to_be_focused()
        assert page.url == f"{served.url}/pair"
        await page.get_by_label("PIN").press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("Wrong PIN.")
        await page.context.close()


@pytest.mark.parametrize("has_javascript", [True, False])
async def test_a_typed_pin_pairs_even_without_javascript(
    browser, tmp_path, has_javascript
):
    async with serving(tmp_path, Clock()) as served:
        page, _ = await opened(browser, java_script_enabled=has_javascript)
        await page.goto(served.url)
        wrong = "111111" if served.pin != "111111" else "222222"
        pin = page.get_by_label("PIN")
        await expect(pin).to_have_attribute("aria-invalid", "false")
        await pin.fill(wrong)
        await page.get_by_role("button", name="Pair").click()
        await expect(page.get_by_role("alert")).to_contain_text("Wrong PIN.")
        await expect(pin).to_have_attribute("aria-invalid", "true")
        await page.get_by_label("PIN").fill(served.pin)
        await page.get_by_role("button", name="Pair").click()
        await expect(page).to_have_url(f"{served.url}/")
        await page.context.close()


async def test_participants_are_shown_with_their_state(phone):
    people = phone.page.locator("#people li")
    await expect(people).to_have_count(3)
    await expect(people.nth(0)).to_contain_text("Anna")
    await expect(people.nth(0)).to_contain_text("speaking")
    await expect(people.nth(1)).to_contain_text("muted")
    phone.inbox.show(connection=ConnectionState.RECONNECTING, banner="reconnecting")
    await expect(people.nth(0)).not_to_contain_text("speaking")
    await expect(people.nth(1)).to_contain_text("muted")
    phone.inbox.show(people=(), connection=ConnectionState.CONNECTED)
    await phone.text("people-empty").to_have_text("Nobody else is here yet.")


async def test_participants_with_one_name_keep_their_captions(phone):
    said = (
        Caption("1", "anna-1", "Anna", "from the gate", False, 1),
        Caption("1", "anna-2", "Anna", "from the yard", False, 1),
    )
    captions = phone.page.locator("#captions p")
    for number in range(3):
        phone.inbox.show(captions=said, room=f"room {number}")
        await phone.text("room").to_have_text(f"room {number}")
    await expect(captions).to_have_text(["Anna:from the gate", "Anna:from the yard"])


async def test_equal_faults_are_one_line(phone):
    faults = phone.page.locator("#faults li")
    for number in range(3):
        phone.inbox.show(faults=("anna: no key", "anna: no key"), room=f"{number}")
        await phone.text("room").to_have_text(f"{number}")
        await expect(faults).to_have_count(1)
        if number == 0:
            await phone.page.evaluate(COUNT_ADDED, "faults")
    assert await phone.page.evaluate("window.added") == 0


async def test_lines_that_stay_are_not_inserted_again_when_the_oldest_goes(phone):
    chat = tuple(line_with(phone, id=str(at), text=f"line {at}") for at in range(4))
    phone.inbox.show(chat=chat[:3])
    lines = phone.page.locator("#lines li")
    await expect(lines).to_have_count(3)
    await phone.page.evaluate(COUNT_ADDED, "lines")
    phone.inbox.show(chat=chat[1:])
    await expect(lines.last).to_contain_text("line 3")
    assert await phone.page.evaluate("window.added") == 1


async def test_holding_the_button_talks_and_releasing_it_ends_the_talk(phone):
    button = phone.page.locator("#talk")
    await button.hover()
    await phone.page.mouse.down()
    await phone.inbox.has(TalkAsked(is_on=True))
    await expect(button).to_have_attribute("aria-pressed", "true")
    await phone.text("talk-label").to_have_text("Talking")
    await phone.page.mouse.move(5, 5)
    await phone.page.mouse.up()
    await phone.inbox.has(TalkAsked(is_on=False))
    await expect(button).to_have_attribute("aria-pressed", "false")


async def test_the_keyboard_talks_as_long_as_a_key_is_held(phone):
    for key in ("Space", "Enter"):
        phone.inbox.events.clear()
        if key == "Enter":
            await phone.page.locator("#talk").focus()
        await phone.page.keyboard.down(key)
        await phone.page.keyboard.down(key)
        await phone.inbox.has(TalkAsked(is_on=True))
        await phone.page.keyboard.up(key)
        await phone.inbox.has(TalkAsked(is_on=False))
        assert len(phone.inbox.of(TalkAsked)) == 2, key


async def test_closing_the_page_while_talking_releases_the_button(phone):
    await phone.page.keyboard.down("Space")
    await phone.inbox.has(TalkAsked(is_on=True))
    await phone.page.goto("about:blank")
    await phone.inbox.has(TalkAsked(is_on=False))


async def test_a_typed_line_is_sent_and_appears_with_its_state(phone):
    field = phone.page.get_by_label("Write to the room")
    await field.fill("Is the gate open?")
    await field.press("Enter")
    await phone.inbox.until(lambda: phone.inbox.of(ChatTyped))
    line = phone.page.locator("#lines li").last
    await expect(line.locator(".words")).to_have_text("Is the gate open?")
    await expect(line.locator(".delivery")).to_contain_text("sent")
    await expect(line.locator("time")).not_to_be_empty()
    await expect(field).to_have_value("")
    failed = (line_with(phone, state=Delivery.FAILED, reason="nobody is there"),)
    phone.inbox.show(chat=failed)
    await expect(phone.page.locator("#lines li").last).to_contain_text(
        "failed: nobody is there"
    )


async def test_a_line_that_is_not_of_today_has_a_date(phone):
    now_ms = await phone.page.evaluate("new Date().setHours(12, 34, 0, 0)")
    old = line_with(phone, id="old", ts_ms=now_ms - 3 * 86_400_000)
    phone.inbox.show(chat=(old, line_with(phone, id="new", ts_ms=now_ms)))
    times = phone.page.locator("#lines time")
    await expect(times).to_have_count(2)
    month = "new Date(Date.now() - 3 * 86400000).toLocaleString([], {month: 'short'})"
    await expect(times.first).to_contain_text(await phone.page.evaluate(month))
    await expect(times.last).to_have_text(re.compile(r"^12:34( PM)?$"))


async def test_the_space_bar_in_a_chat_line_types_a_space(phone):
    await phone.page.get_by_label("Write to the room").press_sequentially("a b c")
    await expect(phone.page.locator("#text")).to_have_value("a b c")
    assert not phone.inbox.of(TalkAsked)


async def test_hostile_text_is_not_parsed_as_html(phone):
    person = phone.inbox.view.people[0]
    phone.inbox.show(
        people=(type(person)(HOSTILE, HOSTILE),),
        chat=(line_with(phone, text=HOSTILE),),
        banner=HOSTILE,
        connection=ConnectionState.DISCONNECTED,
        faults=(HOSTILE,),
    )
    await expect(phone.page.locator(".words")).to_have_text(HOSTILE)
    await expect(phone.page.locator(".person-name")).to_have_text(HOSTILE)
    await expect(phone.page.locator("#faults li")).to_have_text(HOSTILE)
    assert await phone.page.locator("main img, main b").count() == 0
    assert await phone.page.title() == "kitchen · workshop"


async def test_unavailable_controls_are_disabled_with_the_reason(phone):
    phone.inbox.show(
        has_microphone=False, chat_refusal="20 lines are waiting to be sent already"
    )
    button = phone.page.locator("#talk")
    await expect(button).to_have_attribute("aria-disabled", "true")
    await phone.text("talk-text").to_have_text("no microphone")
    await expect(phone.page.locator("#send")).to_be_disabled()
    await phone.text("chat-note").to_contain_text("waiting")
    await button.click(force=True)
    await expect(phone.page.locator(".toast").last).to_contain_text("no microphone")
    assert not phone.inbox.of(TalkAsked)


async def test_a_configured_lack_of_a_device_is_shown_as_such(phone):
    reason = "cannot talk: configured without a microphone"
    phone.inbox.show(
        has_microphone=False,
        is_listener=True,
        talk=TalkState.UNAVAILABLE,
        talk_text=reason,
        has_speaker=False,
        is_announcer=True,
    )
    await phone.text("talk-text").to_have_text(reason)
    await phone.text("microphone-note").to_have_text("none configured")
    await phone.text("speaker-note").to_have_text("none configured")


async def test_a_mute_at_the_box_cannot_be_undone_on_the_page(phone):
    await phone.page.get_by_role("button", name="Mute").click()
    await phone.inbox.has(MuteAsked(is_on=True))
    await expect(phone.page.locator("#mute")).to_have_text("Unmute")
    phone.inbox.show(is_muted_at_box=True)
    await expect(phone.page.locator("#mute")).to_be_disabled()
    await phone.text("talk-text").to_contain_text("muted by the button on the box")


async def test_after_a_mute_on_the_page_the_talk_button_unmutes_and_does_not_talk(
    phone,
):
    phone.inbox.show(is_muted_on_page=True, talk_text="muted on the page")
    await phone.text("talk-label").to_have_text("Muted. Tap to unmute")
    await phone.text("talk-text").to_contain_text("Muted on the page")
    await phone.page.locator("#talk").click()
    await phone.inbox.has(MuteAsked(is_on=False))
    await phone.text("talk-label").to_have_text("Hold to talk")
    assert not phone.inbox.of(TalkAsked)


async def test_in_open_mode_the_talk_button_is_the_mute_switch(phone):
    phone.inbox.show(mode=TalkMode.OPEN, talk=TalkState.TALKING, talk_text="talking")
    await phone.text("talk-label").to_have_text("Tap to mute")
    await phone.page.keyboard.press("Space")
    await phone.inbox.has(MuteAsked(is_on=True))
    await phone.text("talk-label").to_have_text("Muted. Tap to unmute")
    await phone.page.locator("#talk").click()
    await phone.inbox.has(MuteAsked(is_on=False))
    assert not phone.inbox.of(TalkAsked)


async def test_a_talk_that_ended_while_held_asks_for_a_release(phone):
    await phone.page.locator("#talk").hover()
    await phone.page.mouse.down()
    await phone.inbox.has(TalkAsked(is_on=True))
    phone.inbox.show(
        talk=TalkState.MUTED, talk_text="muted", is_page_press_ignored=True
    )
    await phone.text("talk-label").to_have_text("Release")
    await phone.text("talk-text").to_contain_text("talk has ended")
    await phone.page.mouse.up()
    await phone.inbox.has(TalkAsked(is_on=False))
    phone.inbox.show(is_page_press_ignored=False)
    await phone.text("talk-label").to_have_text("Hold to talk")


async def test_a_page_that_does_not_hold_the_button_asks_for_no_release(phone):
    phone.inbox.show(
        talk=TalkState.MUTED, talk_text="muted", is_page_press_ignored=True
    )
    await phone.text("talk-label").to_have_text("Hold to talk")


async def test_a_mute_by_a_moderator_is_shown_and_can_be_undone_on_the_page(phone):
    phone.inbox.show(
        talk_text="muted by the room", is_muted_by_room=True, is_muted_on_page=True
    )
    await phone.text("talk-text").to_contain_text("Muted by a moderator")
    button = phone.page.locator("#talk")
    await expect(button).to_have_attribute("aria-disabled", "false")
    await button.click()
    await phone.inbox.has(MuteAsked(is_on=False))
    await phone.text("talk-text").to_contain_text("Hold to talk again")
    await button.hover()
    await phone.page.mouse.down()
    await phone.inbox.has(TalkAsked(is_on=True))
    await phone.page.mouse.up()


async def test_leave_join_presets_and_volume_are_events(phone):
    await phone.page.get_by_role("button", name="Leave").click()
    await phone.inbox.has(LeaveAsked())
    phone.inbox.show(
        connection=ConnectionState.LEFT, banner="left, press leave to rejoin"
    )
    await phone.page.get_by_role("button", name="Join").click()
    await phone.inbox.has(JoinAsked(preset="workshop"))
    phone.inbox.show(preset=None, room="lobby")
    await phone.text("room").to_have_text("lobby")
    await phone.page.get_by_role("button", name="Join").click()
    await phone.inbox.has(JoinAsked(preset=None))
    rooms = phone.page.get_by_role("group", name="Room preset")
    first, garage = (
        rooms.get_by_role("button", name=name) for name in ("first room", "garage")
    )
    await expect(first).to_have_attribute("aria-pressed", "true")
    await garage.click()
    await phone.inbox.has(JoinAsked(preset="garage"))
    phone.inbox.show(preset="garage")
    await expect(garage).to_have_attribute("aria-pressed", "true")
    await first.click()
    await phone.inbox.until(
        lambda: phone.inbox.of(JoinAsked)[-1] == JoinAsked(preset=None)
    )
    await phone.page.get_by_label("Volume").fill("42")
    await phone.inbox.has(VolumeAsked(42))


async def test_the_screen_and_the_lamps_are_those_of_the_box(phone):
    screen = phone.page.locator("#screen")
    before = await screen.evaluate(LIT)
    assert before > 100
    lamp = phone.page.locator("#lamp-talking")
    await expect(lamp).to_have_attribute("data-lit", "false")
    await phone.page.keyboard.down("Space")
    await expect(lamp).to_have_attribute("data-lit", "true")
    await expect(screen).to_have_attribute("aria-label", re.compile("TALKING"))
    assert await screen.evaluate(LIT) != before
    await phone.page.keyboard.up("Space")


async def test_the_address_in_the_footer_is_one_at_which_the_page_listens(phone):
    url = "http://127.0.0.1:8080"
    phone.served.inbox.show(page_url=url, address="192.168.1.23")
    await expect(phone.page.locator("#address")).to_have_text("127.0.0.1:8080")


async def test_a_lost_connection_is_shown_and_restored(phone, tmp_path):
    host, port = phone.served.host.split(":")
    assert phone.inbox.page is not None
    phone.expected = "ERR_CONNECTION_REFUSED"
    await phone.inbox.page.__aexit__(None, None, None)
    await expect(phone.page.locator("#away")).to_be_visible()
    await expect(phone.page.locator("#send")).to_be_disabled()
    await phone.text("talk-label").to_have_text("Cannot talk")
    await phone.text("talk-text").to_contain_text("not connected to the box")
    async with serving(tmp_path, Clock(), f"{host}:{port}") as again:
        again.inbox.show(room="garage")
        await phone.text("room").to_have_text("garage", timeout=20_000)
        await expect(phone.page.locator("#away")).to_be_hidden()


async def test_a_page_that_was_open_during_an_upgrade_reloads_once(phone):
    is_upgraded = False

    def upgrade(view):
        return json.dumps(json.loads(view) | {"build": "new"}) if is_upgraded else view

    def pass_on(socket):
        box = socket.connect_to_server()
        box.on_message(lambda view: socket.send(upgrade(view)))

    await phone.page.route_web_socket("**/api/live", pass_on)
    await phone.page.reload()
    await phone.text("room").to_have_text("workshop")
    await phone.page.evaluate("window.mark = 'old'")
    is_upgraded = True
    async with phone.page.expect_event("load"):
        phone.inbox.show(room="garage")
    assert await phone.page.evaluate("window.mark") is None
    await phone.text("room").to_have_text("garage")
    await phone.page.evaluate("window.mark = 'new'")
    phone.inbox.show(room="lobby")
    await phone.text("room").to_have_text("lobby")
    assert await phone.page.evaluate("window.mark") == "new"


async def test_a_slow_reload_after_an_upgrade_is_not_started_again_by_each_view(phone):
    passed = asyncio.Queue[str]()

    def pass_on(socket):
        def pass_upgraded(text):
            view = json.loads(text)
            socket.send(json.dumps(view | {"build": view["room"]}))
            passed.put_nowait(view["room"])

        socket.connect_to_server().on_message(pass_upgraded)

    await phone.page.route_web_socket("**/api/live", pass_on)
    await phone.page.reload()
    await phone.text("room").to_have_text("workshop")
    await phone.page.evaluate(COUNT_RELOADS)
    for room in ("garage", "lobby", "yard"):
        phone.inbox.show(room=room)
        async with asyncio.timeout(10):
            while await passed.get() != room:
                pass
        # The answer comes after the view.
        assert await phone.page.evaluate("window.reloads") == 1


async def test_a_view_that_cannot_be_shown_is_not_shown_as_live(browser, tmp_path):
    async with serving(tmp_path, Clock()) as served:
        page, problems = await opened(browser)
        await page.goto(f"{served.url}/pair#{served.pin}")
        await page.route_web_socket("**/api/live", tell_a_strange_view)
        await page.get_by_role("button", name="Pair").click()
        async with page.expect_event("pageerror"):
            await page.wait_for_url(f"{served.url}/")
        await expect(page.locator("#link-text")).to_have_text("connecting to the box")
        assert problems
        await page.context.close()


def tell_a_strange_view(socket):
    socket.send('{"connection": "connected"}')


async def test_errors_are_listed_in_the_debug_section(phone):
    phone.inbox.show(
        faults=("speaker: USB Audio: unplugged",),
        connection=ConnectionState.RECONNECTING,
        banner="reconnecting",
    )
    await expect(phone.page.locator(".toast").first).to_contain_text("unplugged")
    await phone.page.locator("#debug summary").click()
    await expect(phone.page.locator("#errors")).to_contain_text("unplugged")
    await phone.text("banner").to_have_text("Reconnecting")


async def test_another_wording_of_the_reason_of_an_outage_is_no_new_notice(phone):
    page, show = phone.page, phone.inbox.show
    show(
        connection=ConnectionState.DISCONNECTED,
        banner="disconnected: no token, retry in 5 s",
        faults=("tokens.example answered 500. Request 1.",),
    )
    toasts = page.locator(".toast")
    await expect(toasts.filter(has_text="Request 1")).to_have_count(1)
    show(faults=("tokens.example answered 500. Request 2.",))
    await phone.text("faults").to_have_text("Tokens.example answered 500. Request 2.")
    await expect(page.locator("#errors li").first).to_contain_text("Request 2")
    assert await toasts.filter(has_text="Request 2").count() == 0
    show(faults=(*phone.inbox.view.faults, "speaker: USB: unplugged"))
    await expect(toasts.filter(has_text="unplugged")).to_have_count(1)
    show(
        connection=ConnectionState.CONNECTED,
        banner="in workshop",
        faults=("not allowed to talk", "not allowed to write"),
    )
    await expect(toasts.filter(has_text="not allowed")).to_have_count(2)


async def test_a_long_talk_counts_down(phone):
    phone.inbox.show(
        talk=TalkState.WARNING,
        talk_text="talking, time is nearly up",
        talk_left_s=7,
    )
    await phone.text("talk-text").to_have_text("Talk limit is near: 7 s left")
    spoken = phone.page.locator("#talk-text [aria-live]")
    await expect(spoken).to_have_text("Talk limit is near")


async def test_the_countdown_to_the_next_attempt_is_shown_and_not_read_out(phone):
    cause = "disconnected: no network"
    phone.inbox.show(
        connection=ConnectionState.DISCONNECTED, banner=f"{cause}, retry in 5 s"
    )
    await phone.text("banner").to_have_text("Disconnected: no network, retry in 5 s")
    spoken = phone.page.locator("#banner").get_by_role("status")
    await expect(spoken).to_have_text("Disconnected: no network")
    toast = phone.page.locator(".toast").last
    await expect(toast).to_have_text("Disconnected: no network")


async def test_the_page_names_its_own_button(phone):
    for banner in (FIXED_TEXT[Phase.LEFT], NO_BUTTON_TEXT):
        phone.inbox.show(connection=ConnectionState.LEFT, banner=banner)
        await phone.text("banner").to_have_text(LEFT)
        await expect(phone.page.locator(".toast").last).to_have_text(LEFT)
        phone.inbox.show(connection=ConnectionState.CONNECTED, banner="in workshop")
        await phone.text("banner").not_to_have_text(LEFT)


async def test_a_button_to_release_is_that_of_the_box(phone):
    for text in LOCK_TEXT.values():
        phone.inbox.show(talk=TalkState.LOCKED, talk_text=text)
        await phone.text("talk-words").to_have_text(f"{text} on the box")
        await phone.text("talk-label").to_have_text("Cannot talk")


async def test_leaving_on_request_is_no_error(phone):
    for banner in ("leaving", "leaving (garage: refused)"):
        phone.inbox.show(connection=ConnectionState.DISCONNECTED, banner=banner)
        toast = phone.page.locator(".toast").last
        await expect(toast).to_have_text(banner.capitalize())
        await expect(toast).to_have_attribute("data-kind", "info")
        phone.inbox.show(connection=ConnectionState.CONNECTED, banner="in workshop")
        await phone.text("connection").to_have_text("connected")
    await expect(phone.page.locator("#errors li")).to_have_count(0)


async def test_each_slider_and_mute_are_described_for_screen_readers(phone):
    page = phone.page
    for device, slider in (("Microphone", "Gain"), ("Speaker", "Volume")):
        group = page.get_by_role("group", name=device)
        await expect(group.get_by_role("slider", name=slider)).to_be_visible()
        await expect(group.locator("output")).to_have_attribute("aria-live", "off")
    phone.inbox.show(is_muted_on_page=True)
    # "Unmute, pressed" would say the opposite of what is true.
    mute = page.get_by_role("button", name="Unmute", exact=True)
    assert await mute.get_attribute("aria-pressed") is None


async def test_nothing_overflows_at_any_width(phone):
    phone.inbox.show(
        agent=VoiceAgent("a" * 90, "a" * 90, AgentState.LISTENING),
        agent_note="w" * 90,
        captions=(Caption("s", "a", "a" * 90, "b" * 90, False, 1),),
        chat=(line_with(phone, text="x" * 500),),
        room="z" * 100,
        name="n" * 60,
    )
    await expect(phone.page.locator("#lines .words")).to_contain_text("xxx")
    for width, letter in ((320, "h"), (390, "i"), (860, "j"), (1280, "k")):
        await phone.page.set_viewport_size({"width": width, "height": 800})
        phone.inbox.show(faults=(letter * 200,))
        await expect(phone.page.locator(".toast").last).to_contain_text(letter * 9)
        wide = "document.documentElement.scrollWidth"
        assert await phone.page.evaluate(wide) <= width
        # Cards and notices may hide what is too wide for them.
        cut = await phone.page.locator(
            "#agent-card, #agent-card *, .toast, .notice, .faults, .chat"
        ).evaluate_all(
            "nodes => nodes.filter(n => n.scrollWidth > n.clientWidth + 1)"
            ".filter(n => n.clientWidth > 1).map(n => n.id || n.className)"
        )
        assert cut == [], width


async def test_a_line_is_typed_in_the_direction_of_its_words(phone):
    field = phone.page.get_by_label("Write to the room")
    for text, direction in (("שלום", "rtl"), ("hello", "ltr")):
        await field.fill(text)
        assert await field.evaluate("f => getComputedStyle(f).direction") == direction


async def test_the_chat_field_can_be_seen_in_a_low_wide_window(phone):
    field = phone.page.get_by_label("Write to the room")
    for height in (430, 519, 520):
        await phone.page.set_viewport_size({"width": 932, "height": height})
        await field.evaluate("field => field.scrollIntoView({block: 'nearest'})")
        await expect(field).to_be_in_viewport(ratio=1)


async def test_every_control_has_a_name_and_the_focus_order_is_logical(phone):
    await phone.page.locator("body").press("Tab")
    names = []
    for _ in range(len(ORDER) + 1):
        names.append(await phone.page.evaluate("document.activeElement.id"))
        await phone.page.keyboard.press("Tab")
    assert names == ["", *ORDER]
    nameless = await phone.page.locator("button, input, select, textarea").evaluate_all(
        "nodes => nodes.filter(n => !(n.textContent.trim() || n.labels?.length)).length"
    )
    assert nameless == 0


async def test_the_agent_its_state_and_growing_captions_are_shown(phone):
    page, show = phone.page, phone.inbox.show
    card = page.locator("#agent-card")
    await expect(card).to_be_hidden()
    show(
        agent=VoiceAgent("agent-7", "Assistant", AgentState.THINKING),
        agent_note="Note.",
    )
    await expect(page.locator("#agent-state")).to_have_text("thinking")
    await expect(page.locator("#agent-note")).to_have_text("Note.")
    region = page.locator("#captions")
    await expect(region).to_have_attribute("aria-live", "polite")
    await expect(region).to_have_attribute("aria-busy", "false")
    hostile = "it is <b>late</b>"
    for text in ("it", "it is", hostile):
        show(captions=(Caption("s", "agent-7", "Assistant", text, False, 1),))
        await expect(region).to_have_text(f"Assistant:{text}")
        await expect(region).to_have_attribute("aria-busy", "true")
    show(captions=(Caption("s", "agent-7", "Assistant", hostile, True, 1),))
    await expect(region).to_be_empty()
    show(agent=None, agent_note="Waiting.")
    await expect(page.locator("#agent-title")).to_have_text("Voice agent")
    await expect(page.locator("#agent-note")).to_have_text("Waiting.")
    show(agent_note="")
    await expect(card).to_be_hidden()


async def test_a_room_that_could_not_be_joined_is_named_beside_the_own_button(phone):
    banner = f"{FIXED_TEXT[Phase.LEFT]} (yard: refused)"
    phone.inbox.show(connection=ConnectionState.LEFT, banner=banner)
    await phone.text("banner").to_have_text(
        "left. Join brings the box back (yard: refused)", ignore_case=True
    )
