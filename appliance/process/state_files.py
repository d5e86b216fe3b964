"""State directory, atomic writing of the files in it, and identity of the machine.

The files: `levels.json` (`settings_store`), `pairing.json` (`page.pairing`) and
`latency.json` (`audio.latency_steps`), and `identity` of a machine without a number.
"""

import contextlib
import hashlib
import logging
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

_log = logging.getLogger(__name__)

MACHINE_FILES: Final = (
    Path("/proc/device-tree/serial-number"),
    Path("/etc/machine-id"),
)
LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without letters and digits that are easily confused."""
LENGTH: Final = 8
"""Letters: of 100,000 boxes two have the same identity with a chance below 1 %."""
_IDENTITY: Final = re.compile(f"box-[{LETTERS}]{{{LENGTH}}}")
LARGEST_ID: Final = 256
"""Characters; a machine has less than 40."""
SCRATCH: Final = ".tmp"
"""Ending of a file that is being written."""
_SALT: Final = b"ptt-appliance identity"


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

    Written by root it belongs to the owner of the directory: to the service.

    Raises:
        OSError: it could not be written; the old content is unchanged.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = path.with_name(path.name + SCRATCH)
    scratch.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(scratch, flags, 0o600), "wb") as file:
            if os.geteuid() == 0:
                owner = path.parent.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError:
        # A full disk has space for an empty file, which would remain.
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise
    _sync_folder(path.parent)


def set_aside(path: Path, reason: object) -> None:
    """Rename an unusable file, so that it can be examined. Thread: any."""
    try:
        path.replace(path.with_name(f"{path.name}.bad"))
    except OSError:
        _log.warning("unusable file not set aside  file=%s reason=%s", path, reason)
    else:
        _log.warning("unusable file set aside  file=%s reason=%s", path, reason)


def _sync_folder(folder: Path) -> None:
    """Flush the directory, so that the new name survives a power cut too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def machine_identity(
    folder: Path, machine_files: Iterable[Path] = MACHINE_FILES
) -> str:
    """Return the identity of this box, the same at each start.

    It is random and kept where the machine has no number of its own. `folder` is the
    state directory: two boxes on one machine need two identities.
    """
    for path in machine_files:
        if number := _number(path):
            content = b"\0".join((_SALT, number.encode(), str(folder).encode()))
            return _spelled(int.from_bytes(hashlib.sha256(content).digest()))
    path = folder / "identity"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        kept = path.read_bytes()[:LARGEST_ID].decode("ascii")
        if _IDENTITY.fullmatch(kept):
            return kept
    made = _spelled(secrets.randbits(64))
    try:
        write_whole(path, made.encode())
    except OSError as exc:
        _log.warning("identity is not kept  file=%s reason=%s", path, exc)
    return made


def _number(path: Path) -> str:
    """Return the machine's number; empty where there is none, or only a placeholder."""
    try:
        text = path.read_bytes()[:LARGEST_ID].decode("ascii").strip(" \0\n")
    except (OSError, UnicodeDecodeError):
        return ""
    is_placeholder = text == "uninitialized" or not text.strip("0")
    return "" if is_placeholder else text


def _spelled(number: int) -> str:
    values = (number // len(LETTERS) ** place for place in range(LENGTH))
    return "box-" + "".join(LETTERS[value % len(LETTERS)] for value in values)
