"""A browser with the page open, and what the tests of the page show in it."""

import shutil
from dataclasses import dataclass

from playwright.async_api import Browser, Page, expect

from appliance.core.chat import ChatLine, Delivery
from tests.page.fake_app import Served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PHONE = {"width": 390, "height": 844}
# Five seconds are too few on a busy machine.
expect.set_options(timeout=30_000)


@dataclass
class OpenPage:
    """A paired browser with the page open."""

    page: Page
    served: Served
    problems: list[str]
    expected: str = "no problem"
    """Part of the text of problems that are no failure."""

    @property
    def inbox(self):
        return self.served.inbox

    def text(self, name):
        return expect(self.page.locator(f"#{name}"))


async def opened(browser: Browser, **options):
    """Return a page in a new context, and the errors on its console."""
    context = await browser.new_context(**options)
    page = await context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: note(problems, line))
    return page, problems


def note(problems, line):
    """Record errors except 401, the expected response before pairing."""
    if line.type == "error" and "401" not in line.text:
        problems.append(line.text)


def line_with(phone, **changes):
    known = {
        "id": "9",
        "sender_id": "" if "state" in changes else "anna",
        "sender_name": "Anna",
        "text": "text",
        "ts_ms": 1_760_000_000_000,
        "state": Delivery.RECEIVED,
    }
    return ChatLine(**{**known, **changes})
