"""Runs all tests in two processes at the same time, because most of them wait.

The tests in `BESIDE` neither use a sound card nor measure sound in real time, so that
they may run beside those that do, at a lower priority. Their output follows when both
processes have ended.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

TESTS = Path(__file__).parent
BESIDE = (
    *("config", "core", "display", "doctor", "dtelecom", "metrics", "net", "page"),
    *("process", "room", "sound_cards", "systemd", "token_server", "tokens"),
)
"""Folders of the second process; the first one has everything else."""


def groups(folder: Path, beside: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return pytest's arguments for the tests of the first and the second process."""
    second = [str(folder / name) for name in beside]
    return [str(folder), *(f"--ignore={name}" for name in second)], second


def run(folder: Path = TESTS, beside: Sequence[str] = BESIDE) -> int:
    """Run all tests in the folder, and return an exit status: 0 if all have passed."""
    first, second = groups(folder, beside)
    pytest = (sys.executable, "-m", "pytest")
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as output,
        subprocess.Popen(
            ("nice", *pytest, *second), stdout=output, stderr=subprocess.STDOUT
        ) as other,
    ):
        status = subprocess.run((*pytest, *first), check=False).returncode
        other_status = other.wait()
        output.seek(0)
        sys.stdout.write(output.read())
    failed = [
        name for name, code in (("first", status), ("second", other_status)) if code
    ]
    print(
        f"Failed: {' and '.join(failed)} process."
        if failed
        else "Both processes passed."
    )
    return status or other_status


if __name__ == "__main__":
    sys.exit(run())
