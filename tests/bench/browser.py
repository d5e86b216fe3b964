"""LiveKit's own client in headless Chromium: `python -m tests.bench.browser`.

Chromium plays and captures through ALSA, so it uses a virtual card like any program.
"""

import argparse
import asyncio
import os
import signal
from pathlib import Path

from playwright.async_api import ConsoleMessage, async_playwright

from tests.room.livekit_js import SWITCHES, chromium, livekit_js

SCRIPT = Path(__file__).with_suffix(".js")
EVENTS = {"joined", "track subscribed"}

Options = argparse.Namespace


async def talk(options: Options) -> None:
    """Be in the room until SIGTERM."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    origin = options.url.replace("ws://", "http://")
    more = [f"--alsa-{way}-device={options.card}" for way in ("input", "output")]
    # A microphone requires a secure context.
    more.append(f"--unsafely-treat-insecure-origin-as-secure={origin}")
    more.append("--use-fake-ui-for-media-stream")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium(),
            args=[*SWITCHES, *more],
            ignore_default_args=["--mute-audio"],
            handle_sigterm=False,
        )
        page = await browser.new_page()
        page.on("console", _print)
        await page.goto(origin)
        await page.add_script_tag(path=livekit_js())
        await page.add_script_tag(path=SCRIPT)
        secrets = [options.url, os.environ["ROOM_TOKEN"], options.processing]
        await page.evaluate("([url, token, isOn]) => talk(url, token, isOn)", secrets)
        await over.wait()
        print("concealed", await page.evaluate("concealed()"), flush=True)
        await browser.close()


def _print(message: ConsoleMessage) -> None:
    """Print what a test waits for; the client's log contains the token."""
    if message.text in EVENTS:
        print(message.text, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--card", required=True)
    parser.add_argument("--processing", action="store_true")
    asyncio.run(talk(parser.parse_args()))
