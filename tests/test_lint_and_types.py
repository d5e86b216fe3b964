"""Linter, formatter and type checker."""

import subprocess
import sys
from pathlib import Path

from tests.cache import cache_folder

REPOSITORY = Path(__file__).parent.parent


def complaints(*words):
    """Run a Python tool on the whole repository; return its output if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        check=False,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=600,
    )
    return "" if done.returncode == 0 else f"{done.stdout}{done.stderr}"


def test_ruff_finds_nothing():
    assert not complaints("ruff", "check")


def test_everything_is_formatted():
    assert not complaints("ruff", "format", "--check")


def test_mypy_finds_nothing():
    # Without what it knows of unchanged modules it takes half a minute.
    assert not complaints("mypy", "--cache-dir", str(cache_folder() / "mypy"))
