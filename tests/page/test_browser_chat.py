"""The chat of the page in a real browser: scrolling, drafts and the focus."""

import pytest
from playwright.async_api import expect

from appliance.core.events import ChatTyped, TalkAsked
from tests.page.phone import line_with

pytestmark = pytest.mark.asyncio(loop_scope="module")

WIDE = {"width": 1280, "height": 800}
BELOW_PX = "list => list.scrollHeight - list.scrollTop - list.clientHeight"
SCROLL_TO = """(list, top) => new Promise((done) => {
    list.addEventListener("scroll", () => requestAnimationFrame(done), {once: true});
    list.scrollTop = top < 0 ? list.scrollHeight - list.clientHeight + top : top;
})"""
"""Scrolls like a finger; a negative number is the distance from the end."""


def lines(phone, count=12):
    return tuple(line_with(phone, id=str(n), text=f"line {n}") for n in range(count))


def long_text(rows):
    return "\n".join(f"word {row}" for row in range(rows))


async def test_the_chat_follows_a_line_that_grows(phone):
    scroll = phone.page.locator("#scroll")
    for rows in (4, 8, 12, 16):
        growing = line_with(phone, id="growing", text=long_text(rows))
        phone.inbox.show(chat=(*lines(phone), growing))
        last = phone.page.locator("#lines .words").last
        await expect(last).to_contain_text(f"word {rows - 1}")
        assert await scroll.evaluate(BELOW_PX) < 2


async def test_the_chat_follows_while_a_long_line_is_typed(phone):
    await phone.page.set_viewport_size(WIDE)
    for count in (20, 21, 22):
        phone.inbox.show(chat=lines(phone, count), room=f"room {count}")
        await phone.text("room").to_have_text(f"room {count}")
        await phone.page.locator("#text").fill(long_text(count - 18))
        assert await phone.page.locator("#scroll").evaluate(BELOW_PX) < 2
    await expect(phone.page.locator("#newest")).to_be_hidden()


async def test_older_lines_that_somebody_reads_stay_in_place(phone):
    await phone.page.set_viewport_size(WIDE)
    phone.inbox.show(chat=lines(phone, 30), room="garage")
    await phone.text("room").to_have_text("garage")
    scroll, field = phone.page.locator("#scroll"), phone.page.locator("#text")
    # With an empty field there would be more space than below this place.
    await field.fill(long_text(5))
    await scroll.evaluate(SCROLL_TO, -60)
    before = await scroll.evaluate("list => list.scrollTop")
    phone.inbox.show(chat=lines(phone, 31), room="lobby")
    await phone.text("room").to_have_text("lobby")
    assert await scroll.evaluate("list => list.scrollTop") == before
    newest = phone.page.locator("#newest")
    await newest.click()
    await expect(newest).to_be_hidden()
    assert await scroll.evaluate(BELOW_PX) < 2


async def test_the_chat_follows_again_once_all_lines_are_in_sight(phone):
    await phone.page.set_viewport_size({**WIDE, "height": 500})
    scroll = phone.page.locator("#scroll")
    phone.inbox.show(chat=lines(phone, 6), room="garage")
    await phone.text("room").to_have_text("garage")
    await scroll.evaluate(SCROLL_TO, 0)
    await phone.page.set_viewport_size({**WIDE, "height": 1600})
    await phone.page.wait_for_function("scroll.scrollHeight === scroll.clientHeight")
    phone.inbox.show(chat=lines(phone, 7), room="lobby")
    await phone.text("room").to_have_text("lobby")
    await expect(phone.page.locator("#newest")).to_be_hidden()
    phone.inbox.show(chat=lines(phone, 30), room="gate")
    await phone.text("room").to_have_text("gate")
    assert await scroll.evaluate(BELOW_PX) < 2


async def test_a_finger_that_begins_to_scroll_is_not_pulled_back(phone):
    phone.inbox.show(chat=lines(phone, 30), room="garage")
    await phone.text("room").to_have_text("garage")
    scroll = phone.page.locator("#scroll")
    await scroll.evaluate(SCROLL_TO, -20)
    phone.inbox.show(speaker_dbfs=-20, room="lobby")
    await phone.text("room").to_have_text("lobby")
    assert await scroll.evaluate(BELOW_PX) == pytest.approx(20, abs=1)


async def test_what_was_typed_is_there_after_the_phone_was_paired_again(phone):
    page = phone.page
    await page.get_by_label("Write to the room").fill("Is the gate")
    phone.expected = "Authentication failed"
    await page.context.clear_cookies()
    await page.evaluate("dispatchEvent(new Event('online'))")
    await page.get_by_label("PIN").fill(phone.served.pin)
    await page.get_by_role("button", name="Pair").click()
    await expect(page.locator("#text")).to_have_value("Is the gate")


async def test_a_line_that_was_being_sent_keeps_its_id_over_a_reload(phone):
    page, asked = phone.page, []
    await page.route("**/api/chat", lambda route: asked.append(route.request))
    phone.expected = "ERR_"
    field = page.get_by_label("Write to the room")
    await field.fill("Is the gate open?")
    async with page.expect_request("**/api/chat"):
        await field.press("Enter")
    await page.reload()
    await page.unroute("**/api/chat")
    await phone.text("link-text").to_have_text("live")
    await expect(field).to_have_value("Is the gate open?")
    await field.press("Enter")
    await expect(field).to_have_value("")
    (typed,) = phone.inbox.of(ChatTyped)
    assert [request.post_data_json["id"] for request in asked] == [typed.id]


async def test_after_a_click_on_send_the_focus_is_in_the_field(phone):
    field = phone.page.get_by_label("Write to the room")
    await field.fill("Hello")
    await phone.page.get_by_role("button", name="Send").click()
    await phone.inbox.until(lambda: phone.inbox.of(ChatTyped))
    await expect(field).to_have_value("")
    await expect(field).to_be_focused()
    await phone.page.keyboard.press("Space")
    await expect(field).to_have_value(" ")
    assert not phone.inbox.of(TalkAsked)


async def test_the_key_that_shows_new_messages_leaves_the_focus_in_the_chat(phone):
    phone.inbox.show(chat=lines(phone, 30), room="garage")
    await phone.text("room").to_have_text("garage")
    scroll = phone.page.locator("#scroll")
    await scroll.focus()
    await scroll.evaluate(SCROLL_TO, -200)
    phone.inbox.show(chat=lines(phone, 31))
    await expect(phone.page.locator("#newest")).to_be_visible()
    await phone.page.keyboard.press("Tab")
    await phone.page.keyboard.press("Enter")
    await expect(phone.page.locator("#newest")).to_be_hidden()
    await expect(scroll).to_be_focused()
