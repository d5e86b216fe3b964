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
        *("panel", "process", "systemd", "tokens"),
        *("test_cli.py", "test_exit.py", "test_lint_and_types.py"),
    ),
    ("room", "test_conftest.py", "test_package_structure.py"),
    (
        *("agents", "demo", "guest", "token_server", "test_parallel.py"),
        *("room/test_browser.py", "room/test_captions.py", "room/test_chat_channel.py"),
        *("room/test_dtelecom.py", "room/test_encryption.py"),
    ),
)
"""Folders and modules of the other processes; the first one has everything else. All
take about the same time."""
PYTEST = (sys.executable, "-m", "pytest")


def run(folder: Path = TESTS, beside: Sequence[Sequence[str]] = BESIDE) -> int:
    """Run all tests in the folder, and return an exit status: 0 if all have passed."""
    groups = [[folder / name for name in names] for names in beside]
    elsewhere = [path for paths in groups for path in paths]
    with ExitStack() as stack:
        others = [
            stack.enter_context(_started(_command(paths, elsewhere)))
            for paths in groups
        ]
        status = subprocess.run(_command([folder], elsewhere), check=False).returncode
        statuses = [status, *(process.wait() for process, _ in others)]
        for _, output in others:
            output.seek(0)
            sys.stdout.write(output.read())
    failed = [f"{number}" for number, code in enumerate(statuses, 1) if code]
    print(f"Failed: process {', '.join(failed)}." if failed else "All tests passed.")
    return max(statuses, key=abs)


def _command(paths: Sequence[Path], elsewhere: Sequence[Path]) -> list[str]:
    """Return the command for these paths, without those in them that run elsewhere."""
    inside = [path for path in elsewhere if not set(path.parents).isdisjoint(paths)]
    return [*PYTEST, *map(str, paths), *(f"--ignore={path}" for path in inside)]


@contextmanager
def _started(command: Sequence[str]) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """Start pytest at a lower priority; yield the process and the file of its output.

    Waits for its end.
    """
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as output,
        subprocess.Popen(
            ("nice", *command),
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        yield process, output


if __name__ == "__main__":
    sys.exit(run())
