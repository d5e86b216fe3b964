"""The test command itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parallel import BESIDE, TESTS

DEADLINE_S = 600.0
"""Three starts of pytest at a low priority take 90 s on a busy machine."""
PASSES, FAILS = "def test_it(): pass", "def test_it(): assert not 'this one fails'"
RUN = (
    "import sys; from pathlib import Path; from tests.parallel import run;"
    "sys.exit(run(Path(sys.argv[1]), [['second', 'third/test_other.py'], ['third']]))"
)


def test_what_the_other_processes_run_exists():
    names = [name for group in BESIDE for name in group]
    assert [name for name in names if not (TESTS / name).exists()] == []
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("codes", "is_passed"),
    [
        ((PASSES, PASSES, PASSES), True),
        ((FAILS, PASSES, PASSES), False),
        ((PASSES, FAILS, PASSES), False),
        ((PASSES, PASSES, ""), False),
    ],
)
def test_a_failure_in_any_process_is_shown_and_fails_the_command(
    tmp_path, codes, is_passed
):
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    for folder, code in zip(("first", "second", "third"), codes, strict=True):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "test_it.py").write_text(code)
    (tmp_path / "third" / "test_other.py").write_text(PASSES)
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path)],
        check=False,
        cwd=Path(__file__).parents[1],
        # Plugins take most of the time of a start.
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert (done.returncode == 0) == is_passed
    assert ("this one fails" in done.stdout) == (FAILS in codes)
    assert done.stdout.count("test session starts") == 3
    assert done.stdout.count("test_other.py") == 1, "only where it is named itself"
