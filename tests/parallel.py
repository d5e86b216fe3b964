"""Runs all tests in four processes at the same time, because most of them wait.

The tests in `BESIDE` use no sound card and measure no delays, so that they may run
beside those that do, at a lower priority. Their output follows when all
processes have ended.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

TESTS = Path(__file__).parent
BESIDE = (
    (
        *("config", "core", "display", "doctor", "dtelecom", "metrics", "net", "page"),
        *("panel", "process", "systemd", "token_server", "tokens"),
        *("test_cli.py", "test_exit.py", "test_lint_and_types.py"),
    ),
    ("room",),
    ("agents",),
)
"""Folders and modules of the other processes; the first one has everything else."""
PYTEST = (sys.executable, "-m", "pytest")


def run(folder: Path = TESTS, beside: Sequence[Sequence[str]] = BESIDE) -> int:
    """Run all tests in the folder, and return an exit status: 0 if all have passed."""
    groups = [[str(folder / name) for name in names] for names in beside]
    left_out = [f"--ignore={name}" for names in groups for name in names]
    with ExitStack() as stack:
        others = [stack.enter_context(_started(names)) for names in groups]
        status = subprocess.run(
            (*PYTEST, str(folder), *left_out), check=False
        ).returncode
        statuses = [status, *(process.wait() for process, _ in others)]
        for _, output in others:
            output.seek(0)
            sys.stdout.write(output.read())
    failed = [f"{number}" for number, code in enumerate(statuses, 1) if code]
    print(f"Failed: process {', '.join(failed)}." if failed else "All tests passed.")
    return max(statuses, key=abs)


@contextmanager
def _started(names: Sequence[str]) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """Start pytest at a lower priority; yield the process and the file of its output.

    Waits for its end.
    """
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as output,
        subprocess.Popen(
            ("nice", *PYTEST, *names),
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        yield process, output


if __name__ == "__main__":
    sys.exit(run())
