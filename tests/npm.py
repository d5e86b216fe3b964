"""Packages from npm, installed once for each lock file and kept in the user's cache."""

import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.cache import cache_folder


def installed(lock: Path) -> Path:
    """Install what this `package-lock.json` lists, and return `node_modules`."""
    version = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    folder = cache_folder() / f"npm-{version}"
    modules = folder / "node_modules"
    # npm writes this file last.
    if not (modules / ".package-lock.json").exists():
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
    return modules
