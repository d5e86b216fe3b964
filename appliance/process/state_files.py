"""State directory: atomic writing of files in it, volume and gain, identity of the box.

The files: `levels.json` (`SettingsStore`), `pairing.json` (`page.pairing`),
`latency.json` (`audio.latency_steps`), and `identity` of a machine without a number.
"""

import asyncio
import contextlib
import errno
import hashlib
import logging
import os
import re
import secrets
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Final, Self

import msgspec
from msgspec import Meta

from appliance.config import Percent
from appliance.core import fault_table
from appliance.core.commands import StoreVolumeAndGain
from appliance.core.events import Part
from appliance.ports import Post
from appliance.process.background import Background
from appliance.process.fault_report import FaultLog, FaultReport

SCRATCH: Final = ".tmp"
"""Ending of a file that is being written."""
LEVELS: Final = "levels.json"
SETTLE_S: Final = 2.0
"""Time without changes before volume and gain are written: one write per adjustment."""
RETRY_S: Final = 10.0
"""Time after which what could not be written is written again; our choice: the fault
ends soon after the disk has room, and a full SD card is not written all the time."""
_FAULTS: Final = {
    errno.ENOSPC: fault_table.STORE_FULL,
    errno.EROFS: fault_table.STORE_READ_ONLY,
}

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
_SALT: Final = b"ptt-appliance identity"

_log = logging.getLogger(__name__)


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
    # The new name has to survive a power cut too.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def set_aside(path: Path, reason: object) -> None:
    """Rename an unusable file, so that it can be examined. Thread: any."""
    try:
        path.replace(path.with_name(f"{path.name}.bad"))
    except OSError:
        _log.warning("unusable file not set aside  file=%s reason=%s", path, reason)
    else:
        _log.warning("unusable file set aside  file=%s reason=%s", path, reason)


class VolumeAndGain(msgspec.Struct, frozen=True, omit_defaults=True):
    """Volume and microphone gain; None: never changed, the configuration applies."""

    volume: Percent | None = None
    microphone_gain_db: Annotated[float, Meta(ge=-30, le=30)] | None = None


class SettingsStore:
    """Storage of volume and gain; `read` returns the stored settings."""

    def __init__(
        self,
        folder: Path,
        post: Post,
        *,
        settle_s: float = SETTLE_S,
        retry_s: float = RETRY_S,
    ) -> None:
        """Keep the folder, which is created with the file; nothing is read yet."""
        self._path = folder / LEVELS
        self._settle_s = settle_s
        self._retry_s = retry_s
        self._levels = VolumeAndGain()
        self._stored: VolumeAndGain | None = self._levels
        """Content of the file; None: it could not be written."""
        self._changed = asyncio.Event()
        log = FaultLog(
            _log,
            f"settings cannot be stored  folder={folder}",
            f"settings are stored again  folder={folder}",
        )
        self._fault = FaultReport(post, Part.STORE, str(folder), log)
        # The last write may begin while an abandoned one still runs.
        self._writing = threading.Lock()
        self._background = Background()

    def read(self) -> VolumeAndGain:
        """Return the stored settings; a missing or unreadable file has none."""
        try:
            content = self._path.read_bytes()
            self._levels = msgspec.json.decode(content, type=VolumeAndGain)
        except FileNotFoundError:
            pass
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            set_aside(self._path, exc)
        except OSError as exc:
            self._fault.lost(store_reason(exc))
        self._stored = self._levels
        return self._levels

    async def __aenter__(self) -> Self:
        await self._background.open(self._write_changes())
        return self

    async def __aexit__(self, *failure: object) -> None:
        """Write volume and gain if they are not written yet."""
        await self._background.close(*failure)
        self._write()

    def do(self, command: StoreVolumeAndGain) -> None:
        """Write volume and gain once they have not changed for a while."""
        percent, db = command.percent, command.db
        levels = VolumeAndGain(
            self._levels.volume if percent is None else percent,
            self._levels.microphone_gain_db if db is None else db,
        )
        if levels != self._levels:
            self._levels = levels
            self._changed.set()

    async def _write_changes(self) -> None:
        while True:
            await self._changed.wait()
            while self._changed.is_set():
                self._changed.clear()
                await asyncio.sleep(self._settle_s)
            # Off the event loop: an SD card may need half a second.
            if not await asyncio.to_thread(self._write):
                await asyncio.sleep(self._retry_s)
                self._changed.set()

    def _write(self) -> bool:
        """Write the settings unless the file has them; return False on failure.

        Thread: any.
        """
        with self._writing:
            levels = self._levels
            if levels == self._stored:
                return True
            try:
                write_whole(self._path, msgspec.json.encode(levels))
            except OSError as exc:
                self._stored = None
                self._fault.lost(store_reason(exc))
                return False
            self._stored = levels
            self._fault.found()
            return True


def store_reason(exc: OSError) -> str:
    """Return why nothing can be stored, and what to do."""
    fault = _FAULTS.get(exc.errno or 0, fault_table.STORE_FAILED)
    return fault.text(error=exc.strerror or exc)


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
