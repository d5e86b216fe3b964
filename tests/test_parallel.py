"""The test command itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.parallel import BESIDE, TESTS

PASSES, FAILS = "def test_it(): pass", "def test_it(): assert not 'this one fails'"
RUN = (
    "import sys; from pathlib import Path; from tests.parallel import run;"
    "sys.exit(run(Path(sys.argv[1]), ['second']))"
)


def test_the_folders_of_the_second_process_exist():
    assert [name for name in BESIDE if not (TESTS / name).is_dir()] == []


@pytest.mark.parametrize(
    ("first", "second", "is_passed"),
    [
        (PASSES, PASSES, True),
        (FAILS, PASSES, False),
        (PASSES, FAILS, False),
        (PASSES, "", False),
    ],
)
def test_a_failure_in_either_process_is_shown_and_fails_the_command(
    tmp_path, first, second, is_passed
):
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    for folder, code in (("first", first), ("second", second)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "test_it.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path)],
        check=False,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode == 0) == is_passed
    assert ("this one fails" in done.stdout) == (FAILS in {first, second})
    assert done.stdout.count("test session starts") == 2
