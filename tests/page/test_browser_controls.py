"""Talk button and room list in a real browser: fingers, keys, assistive technology."""

from contextlib import AsyncExitStack

import pytest
from playwright.async_api import expect

from appliance.core.events import JoinAsked, LeaveAsked, TalkAsked, VolumeAsked
from appliance.core.view import ConnectionState, TalkState
from tests.page.test_websocket import live, read

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOUSE = 1
"""Chromium's id of the mouse as a pointer."""
OTHER_FINGER = 7
RELEASES = {
    "pointercancel": f"""button => button.dispatchEvent(
        new PointerEvent("pointercancel", {{pointerId: {MOUSE}}}))""",
    "lostpointercapture": f"""button => button.dispatchEvent(
        new PointerEvent("lostpointercapture", {{pointerId: {MOUSE}}}))""",
    "blur of the button": "button => button.blur()",
    "blur of the page": """() => dispatchEvent(new Event("blur"))""",
    "pagehide": """() => dispatchEvent(new PageTransitionEvent("pagehide"))""",
    "visibilitychange": """() => {
        Object.defineProperty(document, "hidden", {value: true});
        document.dispatchEvent(new Event("visibilitychange"));
    }""",
}
"""What ends a talk on phones without the pointer being lifted; the last for good."""
LIFT = f"""button => button.dispatchEvent(
    new PointerEvent("pointerup", {{pointerId: {OTHER_FINGER}}}))"""
MENU = """button => button.dispatchEvent(
    new MouseEvent("contextmenu", {cancelable: true}))"""


async def held(phone):
    button = phone.page.locator("#talk")
    await button.hover()
    await phone.page.mouse.down()
    await phone.inbox.has(TalkAsked(is_on=True))
    return button


async def earlier_commands_came(phone):
    """Wait for a later command of the same page."""
    await phone.page.get_by_label("Volume").evaluate(
        """slider => {
            slider.value = 42;
            slider.dispatchEvent(new Event("input"));
            slider.dispatchEvent(new Event("change"));
        }"""
    )
    await phone.inbox.has(VolumeAsked(42))


async def is_still_talking(phone):
    await earlier_commands_came(phone)
    return TalkAsked(is_on=False) not in phone.inbox.events


async def test_whatever_takes_the_finger_or_the_page_away_ends_the_talk(phone):
    for cause in RELEASES.values():
        phone.inbox.events.clear()
        button = await held(phone)
        await button.evaluate(cause)
        await phone.inbox.has(TalkAsked(is_on=False))
        await expect(button).to_have_attribute("aria-pressed", "false")
        await phone.page.mouse.up()


async def test_a_long_press_opens_no_menu(phone):
    assert not await phone.page.locator("#talk").evaluate(MENU)


async def test_lifting_a_second_finger_does_not_end_the_talk(phone):
    button = await held(phone)
    await button.evaluate(LIFT)
    assert await is_still_talking(phone)
    await phone.page.mouse.up()
    await phone.inbox.has(TalkAsked(is_on=False))


async def test_a_key_that_did_not_start_the_talk_does_not_end_it(phone):
    await held(phone)
    await phone.page.keyboard.press("Space")
    assert await is_still_talking(phone)
    await phone.page.mouse.up()
    await phone.inbox.has(TalkAsked(is_on=False))


async def test_a_shortcut_with_the_space_bar_does_not_talk(phone):
    for place in ("body", "#talk"):
        if place != "body":
            await phone.page.locator(place).focus()
        for modifier in ("Control", "Alt", "Meta"):
            for key in ("Space", "Enter"):
                await phone.page.keyboard.press(f"{modifier}+{key}")
    await earlier_commands_came(phone)
    assert not phone.inbox.of(TalkAsked)


async def test_command_ends_the_talk_of_a_key_whose_release_a_mac_does_not_report(
    phone,
):
    await phone.page.locator("#talk").focus()
    for key in ("Space", "Enter"):
        phone.inbox.events.clear()
        await phone.page.keyboard.down(key)
        await phone.inbox.has(TalkAsked(is_on=True))
        await phone.page.keyboard.down("Meta")
        await phone.inbox.has(TalkAsked(is_on=False))
        await phone.page.keyboard.up(key)
        await phone.page.keyboard.up("Meta")


async def test_a_modifier_key_does_not_keep_the_talk_from_ending(phone):
    await phone.page.keyboard.down("Space")
    await phone.inbox.has(TalkAsked(is_on=True))
    await phone.page.keyboard.down("Control")
    await phone.page.keyboard.up("Space")
    await phone.inbox.has(TalkAsked(is_on=False))
    await phone.page.keyboard.up("Control")


async def test_the_focus_of_the_keyboard_is_before_the_button_that_replaces_one(phone):
    page, show = phone.page, phone.inbox.show
    leave, join, pill = map(page.locator, ("#leave", "#join", "#pill"))
    for _ in range(2):
        await page.keyboard.press("Tab")
    await expect(leave).to_be_focused()
    await page.keyboard.press("Space")
    await phone.inbox.has(LeaveAsked())
    show(connection=ConnectionState.LEFT, banner="left")
    await expect(pill).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(join).to_be_focused()
    await page.keyboard.press("Space")
    await phone.inbox.has(JoinAsked(preset="workshop"))
    show(connection=ConnectionState.CONNECTING, banner="connecting")
    await expect(pill).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(leave).to_be_focused()
    assert not phone.inbox.of(TalkAsked)


async def test_a_second_press_of_enter_on_join_does_not_leave_again(phone):
    page, show = phone.page, phone.inbox.show
    show(connection=ConnectionState.LEFT, banner="left")
    join = page.locator("#join")
    await expect(join).to_be_visible()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await expect(join).to_be_focused()
    await page.keyboard.press("Enter")
    await phone.inbox.has(JoinAsked(preset="workshop"))
    show(connection=ConnectionState.CONNECTING, banner="connecting")
    await expect(join).to_be_hidden()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Space")
    await earlier_commands_came(phone)
    assert not phone.inbox.of(LeaveAsked)
    assert not phone.inbox.of(TalkAsked)


async def test_after_a_click_on_join_the_space_bar_talks(phone):
    page, show = phone.page, phone.inbox.show
    show(connection=ConnectionState.LEFT, banner="left")
    await page.locator("#join").click()
    show(connection=ConnectionState.CONNECTED, banner="in workshop")
    await expect(page.locator("#join")).to_be_hidden()
    await page.keyboard.down("Space")
    await phone.inbox.has(TalkAsked(is_on=True))
    await page.keyboard.up("Space")
    assert LeaveAsked() not in phone.inbox.events


async def test_clicks_without_a_pointer_start_and_end_the_talk(phone):
    button = phone.page.locator("#talk")
    await button.evaluate("button => button.click()")
    await phone.inbox.has(TalkAsked(is_on=True))
    await expect(button).to_have_attribute("aria-pressed", "true")
    await button.evaluate("button => button.click()")
    await phone.inbox.has(TalkAsked(is_on=False))
    await expect(button).to_have_attribute("aria-pressed", "false")


async def test_a_talk_that_a_click_started_is_ended_by_any_press(phone):
    button = phone.page.locator("#talk")
    for end in ("finger", "mouse", "Space"):
        phone.inbox.events.clear()
        await button.evaluate("button => button.click()")
        await phone.inbox.has(TalkAsked(is_on=True))
        if end == "finger":
            await button.tap()
        elif end == "mouse":
            await button.click()
        else:
            await phone.page.keyboard.press(end)
        await phone.inbox.has(TalkAsked(is_on=False))
        await earlier_commands_came(phone)
        assert len(phone.inbox.of(TalkAsked)) == 2, end
        await expect(button).to_have_attribute("aria-pressed", "false")


async def test_a_talk_that_a_click_started_is_released_when_something_else_ends_it(
    phone,
):
    button = phone.page.locator("#talk")
    await button.evaluate("button => button.click()")
    await phone.inbox.has(TalkAsked(is_on=True))
    phone.inbox.show(is_page_press_ignored=True)
    await phone.inbox.has(TalkAsked(is_on=False))
    await expect(button).to_have_attribute("aria-pressed", "false")
    await phone.text("talk-label").to_have_text("Hold to talk")
    phone.inbox.show(is_page_press_ignored=False, room="later")
    await phone.text("room").to_have_text("later")
    await button.evaluate("button => button.click()")
    await phone.inbox.until(lambda: len(phone.inbox.of(TalkAsked)) == 3)


async def test_a_press_while_another_page_holds_the_button_names_the_reason(phone):
    phone.inbox.show(
        talk=TalkState.MUTED, is_page_press_ignored=True, room="with another page"
    )
    await phone.text("room").to_have_text("with another page")
    await phone.page.locator("#talk").hover()
    await phone.page.mouse.down()
    toast = phone.page.locator(".toast").last
    await expect(toast).to_contain_text("on every other page")
    assert not phone.inbox.of(TalkAsked)
    await phone.page.mouse.up()


async def test_a_talk_during_a_reconnection_is_not_shown_as_heard(phone):
    for talk, left_s in ((TalkState.TALKING, None), (TalkState.WARNING, 7)):
        phone.inbox.show(
            connection=ConnectionState.RECONNECTING,
            banner="reconnecting",
            talk=talk,
            talk_text="talking",
            talk_left_s=left_s,
            room=f"during {talk.value}",
        )
        await phone.text("room").to_have_text(f"during {talk.value}")
        words = "Reconnecting. Perhaps nobody hears you."
        await phone.text("talk-text").to_have_text(words)
        await phone.text("talk-label").to_have_text("Reconnecting")
        body = phone.page.locator("body")
        await expect(body).to_have_attribute("data-talk", "interrupted")


async def test_a_page_beyond_the_limit_says_why_it_is_not_connected(phone):
    cookie = await phone.served.cookie()
    async with AsyncExitStack() as stack:
        for _ in range(15):
            await read(await stack.enter_async_context(live(phone.served, cookie)))
        page = await phone.page.context.new_page()
        await page.goto(phone.served.url)
        away = page.locator("#away")
        await expect(away).to_have_text("16 pages are open already. Close one of them.")
        await page.close()
