"""LiveKit's own JavaScript client, and Chromium to run it."""

import shutil
from pathlib import Path

from tests.npm import installed

HERE = Path(__file__).parent / "browser"
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
)
"""Switches of Chromium for tests."""


def livekit_js() -> Path:
    """Return the client as one script; needs npm if it is not in the cache yet."""
    modules = installed(HERE / "package-lock.json")
    return modules / "livekit-client/dist/livekit-client.umd.js"


def chromium() -> str | None:
    """Return the path of the distribution's Chromium."""
    return shutil.which("chromium") or shutil.which("chromium-browser")
