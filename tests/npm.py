"""Packages from npm, installed once for each lock file and kept in the user's cache.

`python -m tests.npm` installs them all.
"""

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.cache import cache_folder

LOCKS = (
    Path(__file__).parent / "room/browser/package-lock.json",
    Path(__file__).parent / "dtelecom/npm/package-lock.json",
)


def installed(lock: Path) -> Path:
    """Install what this `package-lock.json` lists, and return `node_modules`."""
    version = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    folder = cache_folder() / f"npm-{version}"
    modules = folder / "node_modules"
    with folder.with_suffix(".lock").open("w") as only_one:
        fcntl.flock(only_one, fcntl.LOCK_EX)
        # npm writes this file last.
        if not (modules / ".package-lock.json").exists():
            _install(lock, folder)
    return modules


def _install(lock: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(lock.parent / name, folder)
    npm = shutil.which("npm")
    assert npm, "npm is missing: install the Debian package npm"
    subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=folder,
        check=True,
        capture_output=True,
    )


if __name__ == "__main__":
    for lock_file in LOCKS:
        print(installed(lock_file))
