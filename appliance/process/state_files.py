"""State directory, and atomic writing of the files in it."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path


def state_folder(environ: Mapping[str, str]) -> Path:
    """Return the state directory; of several that systemd names, the first one."""
    given = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    # The XDG specification requires that relative paths are ignored.
    base = Path(environ.get("XDG_STATE_HOME", ""))
    if not base.is_absolute():
        base = Path(environ.get("HOME", "/var/lib")) / ".local" / "state"
    return base / "ptt-appliance"


def write_whole(path: Path, content: bytes) -> None:
    """Replace the file atomically; only its owner can read it.

    After a power cut there is the old content or the new, never a mixture. Written by
    root it belongs to the owner of the directory, so that the service can read what the
    command line wrote.

    Raises:
        OSError: it could not be written; the old content is unchanged.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = path.with_name(f"{path.name}.tmp")
    scratch.unlink(missing_ok=True)
    try:
        _write_through(scratch, content)
        scratch.replace(path)
    except OSError:
        # A full disk has room for an empty file, which would remain.
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise
    _sync_folder(path.parent)


def _write_through(path: Path, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        if os.geteuid() == 0:
            owner = path.parent.stat()
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Flush the directory, so that the new name survives a power cut too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
