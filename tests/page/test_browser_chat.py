"""The chat of the page in a real browser: scrolling, drafts and the focus."""

import pytest
from playwright.async_api import expect

from appliance.core.events import ChatTyped, TalkAsked
from tests.page.phone import line_with

pytestmark = pytest.mark.asyncio(loop_scope="module")

WIDE = {"width": 1280, "height": 800}
BELOW_PX = "list => -list.scrollTop"
SCROLL_TO = """(list, px) => new Promise((done) => {
    list.addEventListener("scroll", () => requestAnimationFrame(done), {once: true});
    list.scrollTop = -px;
})"""
"""Scrolls like a finger to a place so far above the end."""


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


async def test_older_lines_that_somebody_reads_stay_in_place(phone):
    await phone.page.set_viewport_size(WIDE)
    phone.inbox.show(chat=lines(phone, 30), room="garage")
    await phone.text("room").to_have_text("garage")
    scroll = phone.page.locator("#scroll")
    await scroll.evaluate(SCROLL_TO, 200)
    shown = phone.page.locator("#lines li").nth(20)
    top = "node => node.getBoundingClientRect().top"
    before = await shown.evaluate(top)
    phone.inbox.show(chat=lines(phone, 31), room="lobby")
    await phone.text("room").to_have_text("lobby")
    assert await shown.evaluate(top) == pytest.approx(before, abs=1)


async def test_the_chat_follows_while_it_gets_less_space(phone):
    phone.inbox.show(chat=lines(phone, 30), room="garage")
    await phone.text("room").to_have_text("garage")
    # As when a phone shows its keyboard.
    await phone.page.set_viewport_size({"width": 390, "height": 420})
    phone.inbox.show(chat=lines(phone, 31), room="lobby")
    await phone.text("room").to_have_text("lobby")
    assert await phone.page.locator("#scroll").evaluate(BELOW_PX) < 2


async def test_an_own_line_brings_the_newest_lines_into_sight(phone):
    phone.inbox.show(chat=lines(phone, 30), room="garage")
    await phone.text("room").to_have_text("garage")
    scroll, field = phone.page.locator("#scroll"), phone.page.locator("#text")
    await scroll.evaluate(SCROLL_TO, 200)
    await field.fill("Hello")
    await field.press("Enter")
    await expect(field).to_have_value("")
    await expect(phone.page.locator("#lines li").last).to_be_in_viewport()
    assert await scroll.evaluate(BELOW_PX) < 2


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


async def test_a_pasted_text_that_is_too_long_is_refused_and_not_cut(phone):
    phone.expected = "413"
    field = phone.page.locator("#text")
    await field.focus()
    await phone.page.keyboard.insert_text("a" * 2500)
    await phone.page.locator("#send").click()
    toast = phone.page.locator(".toast").last
    await expect(toast).to_contain_text("has 2500 characters; at most 2000")
    await expect(field).to_have_value("a" * 2500)
    assert not phone.inbox.of(ChatTyped)
