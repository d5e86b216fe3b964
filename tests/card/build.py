"""Compilation of the virtual sound card and its mixer, once per version of a source."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

CARD = Path(__file__).with_name("pcm_ptt.c")
MIXER = Path(__file__).with_name("ctl_ptt.c")
OPTIONS = ("-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-fPIC", "-DPIC")


def plugin(source: Path = CARD) -> Path:
    """Return the compiled plugin; compile it if the cache does not have it yet.

    Needs gcc, pkg-config and libasound2-dev. Processes may call this at the same time.

    Raises:
        subprocess.CalledProcessError: The compiler's own words are on stderr.
    """
    flags = _pkg_config()
    told = "\0".join((*OPTIONS, *flags)).encode()
    version = hashlib.sha256(source.read_bytes() + told).hexdigest()[:16]
    library = _cache() / f"{source.stem}-{version}.so"
    if not library.exists():
        _compile(source, library, flags)
    return library


def _compile(source: Path, library: Path, flags: list[str]) -> None:
    """Compile to a temporary name and rename, so that no partial library is seen."""
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        made = Path(folder) / library.name
        gcc = shutil.which("gcc") or "gcc"
        command = [
            gcc,
            "-shared",
            *OPTIONS,
            "-o",
            str(made),
            str(source),
            *flags,
            "-lm",
        ]
        subprocess.run([*command, "-lpthread"], check=True)
        made.replace(library)


def _pkg_config() -> list[str]:
    tool = shutil.which("pkg-config") or "pkg-config"
    command = [tool, "--cflags", "--libs", "alsa"]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    return run.stdout.split()


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or tempfile.gettempdir()
    # A folder of another user is not writable.
    folder = Path(root) / f"ptt-appliance-tests-{os.getuid()}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
