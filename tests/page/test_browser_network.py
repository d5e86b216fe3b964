"""The page in a real browser behind a lost network, a sleeping phone and a proxy."""

import asyncio
import re

import pytest
from playwright.async_api import expect

from appliance.config import TalkMode
from appliance.core.chat import Delivery
from appliance.core.events import ChatTyped, TalkAsked
from appliance.core.view import ConnectionState
from tests.clock import Clock
from tests.page.fake_app import serving
from tests.page.phone import PHONE, line_with, opened
from tests.page.prefix_proxy import PREFIX, proxied

pytestmark = pytest.mark.asyncio(loop_scope="module")

FAST_TIMEOUTS = """
const timeout = AbortSignal.timeout.bind(AbortSignal);
AbortSignal.timeout = (ms) => timeout(ms / 20);
"""
WAKE = {
    "visible": "document.dispatchEvent(new Event('visibilitychange'))",
    "restored": "dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))",
    "online": "dispatchEvent(new Event('online'))",
}
"""What a browser reports when a phone wakes, the page is shown again or the network is
back."""
SOON_MS = 6000
"""Half of the silence after which an awake page counts its connection as lost."""
SOCKET_THAT_NEVER_OPENS = """() => {
    window.WebSocket = class extends EventTarget {
        static CONNECTING = 0;
        static OPEN = 1;
        readyState = 0;
        close() {}
    };
}"""
SAFARI_ENTER = """field => field.dispatchEvent(new KeyboardEvent("keydown",
    {key: "Enter", keyCode: 229, bubbles: true, cancelable: true}))"""


async def test_a_line_whose_request_hangs_is_kept_and_can_be_sent_again(phone):
    page = phone.page
    await page.add_init_script(FAST_TIMEOUTS)
    await page.reload()
    await phone.text("link-text").to_have_text("live")
    asked = []
    await page.route("**/api/chat", lambda route: asked.append(route.request))
    phone.expected = "ERR_"
    field = page.get_by_label("Write to the room")
    await field.fill("Is the gate open?")
    await field.press("Enter")
    await expect(page.locator(".toast").last).to_contain_text("did not reach the box")
    await expect(page.locator("#send")).to_be_enabled()
    await expect(field).to_have_value("Is the gate open?")
    assert not phone.inbox.of(ChatTyped)
    await page.unroute("**/api/chat")
    await field.press("Enter")
    await expect(field).to_have_value("")
    (typed,) = phone.inbox.of(ChatTyped)
    assert [request.post_data_json["id"] for request in asked] == [typed.id]


async def test_a_line_whose_answer_is_lost_is_shown_once(phone):
    page = phone.page
    await page.route("**/api/chat", lambda route: route.fetch())
    field = page.get_by_label("Write to the room")
    await field.fill("Is the gate open?")
    await field.press("Enter")
    await phone.inbox.until(lambda: phone.inbox.of(ChatTyped))
    # The line is in the next view, so the answer is not needed.
    await expect(field).to_have_value("")
    await page.unroute("**/api/chat")
    await field.fill("Hello")
    await expect(page.locator("#send")).to_be_enabled()
    await field.press("Enter")
    await phone.inbox.until(lambda: len(phone.inbox.of(ChatTyped)) == 2)
    typed = phone.inbox.of(ChatTyped)
    assert [line.text for line in typed] == ["Is the gate open?", "Hello"]
    assert len({line.id for line in typed}) == 2


async def test_what_is_typed_while_a_line_is_sent_is_kept(phone):
    page = phone.page
    is_answered = asyncio.Event()

    async def answer_late(route):
        await is_answered.wait()
        await route.continue_()

    await page.route("**/api/chat", answer_late)
    field = page.get_by_label("Write to the room")
    await field.fill("Hello")
    await field.press("Enter")
    await expect(page.locator("#send")).to_be_disabled()
    await field.fill("Hello, and one thing more")
    is_answered.set()
    await expect(page.locator("#send")).to_be_enabled()
    await expect(field).to_have_value("Hello, and one thing more")


async def test_a_page_that_wakes_replaces_a_dead_connection_at_once(phone):
    sockets = await routed(phone)
    for number, cause in enumerate(WAKE, 1):
        assert len(sockets) == number
        sockets[-1].is_dead = True
        phone.inbox.show(room=f"room {number}")
        await phone.page.evaluate(WAKE[cause])
        await phone.text("room").to_have_text(f"room {number}", timeout=SOON_MS)
        await phone.text("link-text").to_have_text("live")
        assert await phone.page.locator("#errors li").count() == (cause == "online")
    assert len(sockets) == len(WAKE) + 1


async def test_a_page_that_wakes_without_a_network_is_not_live(phone):
    sockets = await routed(phone)
    for event in WAKE.values():
        sockets.is_network_dead = True
        await phone.page.evaluate(event)
        await phone.text("link-text").to_have_text(
            "not connected to the box", timeout=SOON_MS
        )
        await expect(phone.page.locator("#send")).to_be_disabled()
        sockets.is_network_dead = False
        await phone.text("link-text").to_have_text("live")


async def test_a_press_on_a_page_that_has_just_woken_says_that_it_cannot_talk(phone):
    await phone.page.evaluate(SOCKET_THAT_NEVER_OPENS)
    await phone.page.evaluate(WAKE["visible"])
    await phone.page.locator("#talk").click(timeout=SOON_MS)
    await expect(phone.page.locator(".toast").last).to_contain_text("not connected")
    assert not phone.inbox.of(TalkAsked)


@pytest.mark.parametrize("control", ["mute", "leave", "join", "talk", "volume"])
async def test_a_command_that_cannot_be_sent_is_not_lost_without_a_word(phone, control):
    if control == "join":
        phone.inbox.show(connection=ConnectionState.LEFT)
    phone.inbox.show(mode=TalkMode.OPEN, room="garage")
    await phone.text("room").to_have_text("garage")
    before = len(phone.inbox.events)
    await phone.page.evaluate(SOCKET_THAT_NEVER_OPENS)
    await phone.page.evaluate(WAKE["visible"])
    button = phone.page.locator(f"#{control}")
    if control == "volume":
        await button.fill("42")
    else:
        await button.click(timeout=SOON_MS)
    toast = phone.page.locator(".toast").filter(has_text="not connected to the box.")
    await expect(toast).to_have_count(1)
    assert len(phone.inbox.events) == before


async def test_a_page_without_a_network_does_not_collect_open_requests(phone):
    page = phone.page
    await page.add_init_script(FAST_TIMEOUTS)
    sockets = await routed(phone)
    phone.expected = "ERR_"
    await page.route("**/api/view", lambda _: None)
    sockets.is_network_dead = True
    async with page.expect_event("requestfailed", timeout=SOON_MS) as failed:
        await page.evaluate(WAKE["visible"])
    assert (await failed.value).url.endswith("/api/view")


@pytest.mark.parametrize("has_answer", [True, False])
async def test_a_scanned_pin_is_filled_in_though_the_box_does_not_answer(
    browser, tmp_path, has_answer
):
    async with serving(tmp_path, Clock()) as served:
        page, _ = await opened(browser, viewport=PHONE)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        await page.add_init_script(FAST_TIMEOUTS)
        await page.route(
            "**/api/view", lambda route: route.abort() if has_answer else None
        )
        await page.goto(f"{served.url}/pair#{served.pin}")
        await expect(page.get_by_label("PIN")).to_have_value(served.pin)
        await page.context.close()
        assert errors == []


class Sockets(list["Passage"]):
    """The WebSockets of a page in the order in which it opened them."""

    is_network_dead = False
    """Nothing arrives on any of them, and nothing says so."""


class Passage:
    """One WebSocket, which passes messages on unless it is dead."""

    def __init__(self, sockets, page_side):
        self.is_dead = False
        box_side = page_side.connect_to_server()

        def is_passed():
            return not (self.is_dead or sockets.is_network_dead)

        page_side.on_message(lambda text: is_passed() and box_side.send(text))
        box_side.on_message(lambda text: is_passed() and page_side.send(text))


async def routed(phone):
    """Reload the page, and return its WebSockets, which a test can cut."""
    sockets = Sockets()
    await phone.page.route_web_socket(
        "**/api/live", lambda socket: sockets.append(Passage(sockets, socket))
    )
    await phone.page.reload()
    await phone.text("link-text").to_have_text("live")
    assert len(sockets) == 1
    return sockets


async def test_the_enter_that_ends_a_word_in_safari_sends_nothing(phone):
    field = phone.page.get_by_label("Write to the room")
    await field.fill("日本")
    await field.evaluate(SAFARI_ENTER)
    await expect(field).to_have_value("日本")
    await field.press("Enter")
    await expect(field).to_have_value("")
    assert [line.text for line in phone.inbox.of(ChatTyped)] == ["日本"]


async def test_each_state_of_a_line_has_its_words(phone):
    for state in Delivery:
        is_own = state is not Delivery.RECEIVED
        sender_id = "" if is_own else "anna"
        line = line_with(phone, state=state, sender_id=sender_id, text=state.value)
        phone.inbox.show(chat=(line,))
        await expect(phone.page.locator("#lines .words")).to_have_text(state.value)
        delivery = phone.page.locator("#lines .delivery")
        await expect(delivery).to_have_text(re.compile(r"\S \w" if is_own else "^$"))


async def test_the_page_works_behind_a_proxy_that_strips_a_path_prefix(
    browser, tmp_path
):
    async with serving(tmp_path, Clock()) as served, proxied(served.host) as root:
        page, problems = await opened(browser, viewport=PHONE)
        missing: list[str] = []
        page.on("response", lambda answer: record(missing, answer))
        await page.goto(f"{root}{PREFIX}/")
        assert page.url == f"{root}{PREFIX}/pair"
        await page.goto("about:blank")
        await page.goto(f"{root}{PREFIX}/pair#{served.pin}")
        await expect(page.get_by_label("PIN")).to_have_value(served.pin)
        assert page.url == f"{root}{PREFIX}/pair"
        await page.get_by_role("button", name="Pair").click()
        await expect(page.locator("#link-text")).to_have_text("live")
        assert page.url == f"{root}{PREFIX}/"
        (cookie,) = await page.context.cookies()
        assert cookie["path"] == PREFIX
        field = page.get_by_label("Write to the room")
        await field.fill("Hello")
        await field.press("Enter")
        await expect(page.locator("#lines li").last).to_contain_text("Hello")
        manifest = await page.evaluate(MANIFEST)
        assert manifest["start_url"] == manifest["scope"] == f"{root}{PREFIX}/"
        assert manifest["icons"] == [200, 200]
        await page.goto(f"{root}{PREFIX}/pair")
        await expect(page.locator("#link-text")).to_have_text("live")
        await page.context.close()
        assert (problems, missing) == ([], [])


MANIFEST = """async () => {
    const at = document.querySelector("link[rel=manifest]").href;
    const found = await (await fetch(at)).json();
    const icons = found.icons.map((icon) => fetch(new URL(icon.src, at)));
    const full = (path) => new URL(path, at).href;
    return {
        start_url: full(found.start_url),
        scope: full(found.scope),
        icons: (await Promise.all(icons)).map((answer) => answer.status),
    };
}"""


def record(missing, answer):
    if answer.status >= 400 and answer.status != 401:
        missing.append(answer.url)
