"""Persistent settings: identity, volume and microphone gain.

`levels.json` and `identity.json` in the state directory, replaced atomically, and only
on changes.
"""

import asyncio
import contextlib
import errno
import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Self, TypeVar

import msgspec
from msgspec import Meta

from appliance.config import Percent, Text
from appliance.core import fault_table
from appliance.core.commands import StoreVolumeAndGain
from appliance.core.events import Part, PartFound, PartLost
from appliance.ports import Post
from appliance.process.background import Background
from appliance.process.fault_report import FaultLog
from appliance.process.state_files import (
    MACHINE_FILES,
    derived_identity,
    random_identity,
    write_whole,
)

_log = logging.getLogger(__name__)

SETTLE_S: Final = 2.0
"""Time without changes before volume and gain are written: one write per adjustment."""
RETRY_S: Final = 2.0
"""Time after which what could not be written is written again; our choice, so that the
fault ends soon after the disk has room."""
_FAULTS: Final = {
    errno.ENOSPC: fault_table.STORE_FULL,
    errno.EROFS: fault_table.STORE_READ_ONLY,
}
LARGEST_FILE = 4096
"""Bytes; the files have less than 100, a larger one is damaged."""


class VolumeAndGain(msgspec.Struct, frozen=True):
    """Volume and microphone gain."""

    volume: Percent
    microphone_gain_db: Annotated[float, Meta(ge=-30, le=30)]


class Identity(msgspec.Struct, frozen=True):
    """Identity in the room, stored where none can be derived from the machine."""

    identity: Text


KeptT = TypeVar("KeptT", VolumeAndGain, Identity)


@dataclass(frozen=True, slots=True)
class StoredState:
    """Stored settings."""

    identity: str
    volume_and_gain: VolumeAndGain | None
    """None: never changed; the values of the configuration apply."""


class Store:
    """Storage of volume and gain; `read` returns the stored settings."""

    def __init__(
        self,
        folder: Path,
        post: Post,
        *,
        settle_s: float = SETTLE_S,
        retry_s: float = RETRY_S,
        machine_files: Iterable[Path] = MACHINE_FILES,
    ) -> None:
        """Keep the folder; nothing is read or written yet.

        Args:
            folder: created when the first file is written.
            post: receives `PartLost` when nothing can be written, and `PartFound`
                when it can be again.
            settle_s: time without changes before volume and gain are written.
            retry_s: time after which they are written again if that failed.
            machine_files: where the identity is derived from.
        """
        self._folder = folder
        self._post = post
        self._settle_s = settle_s
        self._retry_s = retry_s
        self._unwritten: dict[str, VolumeAndGain | Identity | None] = {}
        """Content of the files that could not be written."""
        self._machine_files = machine_files
        self._wanted: VolumeAndGain | None = None
        self._written: VolumeAndGain | None = None
        self._changed = asyncio.Event()
        self._fault = FaultLog(
            _log,
            f"settings cannot be stored  folder={folder}",
            f"settings are stored again  folder={folder}",
        )
        # The last write may begin while an abandoned one still runs.
        self._writing = threading.Lock()
        self._background = Background()

    def read(self) -> StoredState:
        """Return the stored settings, and the identity of this box.

        Call it before entering the store, which then posts a fault found here.
        """
        self._written = self._wanted = self._decoded("levels.json", VolumeAndGain)
        return StoredState(self._identity(), self._written)

    async def __aenter__(self) -> Self:
        """Post the fault that `read` met, and start the task that writes."""
        await self._background.open(self._write_changes())
        if self._fault.reason is not None:
            self._post_lost(self._fault.reason)
        return self

    async def __aexit__(self, *failure: object) -> None:
        """Write volume and gain if they are not written yet."""
        if not self._background.is_open:
            return
        await self._background.close(*failure)
        self._flush(self._wanted)

    def do(self, command: StoreVolumeAndGain) -> None:
        """Write volume and gain once they have not changed for a while."""
        self._wanted = VolumeAndGain(command.percent, command.db)
        self._changed.set()

    def _identity(self) -> str:
        """Return the stored identity, else one that is the same at each start.

        Earlier versions stored a random one, under which the room knows the box.
        """
        known = self._decoded("identity.json", Identity)
        if known is not None:
            return known.identity
        if derived := derived_identity(self._folder, self._machine_files):
            return derived
        made = random_identity()
        self._write("identity.json", Identity(made))
        return made

    async def _write_changes(self) -> None:
        while True:
            await self._until_due()
            while self._changed.is_set():
                self._changed.clear()
                await asyncio.sleep(self._settle_s)
            # Off the event loop: an SD card may need half a second.
            await asyncio.to_thread(self._flush, self._wanted)

    async def _until_due(self) -> None:
        """Wait for a change, or until what could not be written is tried again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._retry_s if self._unwritten else None):
                await self._changed.wait()

    def _flush(self, volume_and_gain: VolumeAndGain | None) -> None:
        """Write volume and gain if they differ from the file, and what failed before.

        Thread: any.
        """
        with self._writing:
            is_new = volume_and_gain is not None and volume_and_gain != self._written
            if is_new or "levels.json" in self._unwritten:
                self._unwritten["levels.json"] = volume_and_gain
            for name, content in tuple(self._unwritten.items()):
                if self._write(name, content) and name == "levels.json":
                    self._written = volume_and_gain

    def _write(self, name: str, content: VolumeAndGain | Identity | None) -> bool:
        """Write the file, report fault or recovery, and return True on success."""
        try:
            write_whole(self._folder / name, msgspec.json.encode(content))
        except OSError as exc:
            self._unwritten[name] = content
            self._failed(exc)
            return False
        self._unwritten.pop(name, None)
        if self._fault.worked():
            self._post(PartFound(Part.STORE, str(self._folder)))
        return True

    def _decoded(self, name: str, kind: type[KeptT]) -> KeptT | None:
        """Return the content of the file; None if it is missing or unreadable."""
        path = self._folder / name
        try:
            with path.open("rb") as file:
                return msgspec.json.decode(file.read(LARGEST_FILE), type=kind)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as exc:
            self._set_aside(path, str(exc))
        except OSError as exc:
            self._failed(exc)
        return None

    def _set_aside(self, path: Path, reason: str) -> None:
        """Rename a damaged file, so that defaults are used and it can be examined."""
        _log.warning(
            "stored file is damaged, set aside  file=%s reason=%s", path, reason
        )
        with contextlib.suppress(OSError):
            path.replace(path.with_name(f"{path.name}.bad"))

    def _failed(self, exc: OSError) -> None:
        reason = store_reason(exc)
        if self._fault.failed(reason) and self._background.is_open:
            self._post_lost(reason)

    def _post_lost(self, reason: str) -> None:
        self._post(PartLost(Part.STORE, str(self._folder), reason))


def store_reason(exc: OSError) -> str:
    """Return why nothing can be stored, and what to do."""
    fault = _FAULTS.get(exc.errno or 0, fault_table.STORE_FAILED)
    return fault.text(error=exc.strerror or exc)
