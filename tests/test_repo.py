import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent


def complaints(*words):
    """Run a Python tool on the whole repository; return what it has to say."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        check=False,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=600,
    )
    return "" if done.returncode == 0 else f"{done.stdout}{done.stderr}"


def test_ruff_has_nothing_to_say():
    assert not complaints("ruff", "check")


def test_everything_is_formatted():
    assert not complaints("ruff", "format", "--check")


def test_mypy_has_nothing_to_say():
    assert not complaints("mypy")
