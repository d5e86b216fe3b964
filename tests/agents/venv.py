"""Virtual environment of the voice agent, made once and kept in the user's cache.

`python -m tests.agents.venv` makes it, which takes half a minute and 400 MB.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cache import cache_folder

LOCK = Path(__file__).parent / "requirements.lock"


def interpreter() -> Path:
    """Return the Python that has LiveKit's agents framework."""
    version = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = cache_folder() / f"agents-{version}"
    done = folder / "complete"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            _make(folder)
            done.touch()
    return folder / "bin" / "python"


def _make(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    python = folder / "bin" / "python"
    install = ["-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(LOCK)]
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), *install, "--disable-pip-version-check"],
    ):
        subprocess.run(command, check=True)


if __name__ == "__main__":
    print(interpreter())
