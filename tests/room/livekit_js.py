"""Installation of LiveKit's own JavaScript client, once per lock file."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

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
    lock = HERE / "package-lock.json"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    version = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    folder = Path(base) / "ptt-appliance" / f"browser-{version}"
    script = folder / "node_modules/livekit-client/dist/livekit-client.umd.js"
    if not script.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, folder)
        npm = shutil.which("npm")
        assert npm, "npm is missing: install the Debian package npm"
        subprocess.run(
            [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=folder,
            check=True,
            capture_output=True,
        )
    return script


def chromium() -> str | None:
    """Return the path of the distribution's Chromium."""
    return shutil.which("chromium") or shutil.which("chromium-browser")
