"""Folder for what the tests make once and keep."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder in the user's cache that the demo uses too."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "ptt-appliance"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
