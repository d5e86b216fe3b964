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
    set_aside,
    write_whole,
)

_log = logging.getLogger(__name__)

SETTLE_S: Final = 2.0
"""Time without changes before volume and gain are written: one write per adjustment."""
RETRY_S: Final = 10.0
"""Time after which what could not be written is written again; our choice: the fault
ends soon after the disk has room, and a full SD card is not written all the time."""
_FAULTS: Final = {
    errno.ENOSPC: fault_table.STORE_FULL,
    errno.EROFS: fault_table.STORE_READ_ONLY,
}
LEVELS: Final = "levels.json"
IDENTITY: Final = "identity.json"
LARGEST_FILE = 4096
"""Bytes; the files have less than 100, a larger one is damaged."""


class VolumeAndGain(msgspec.Struct, frozen=True, omit_defaults=True):
    """Volume and microphone gain; None: never changed, the configuration applies."""

    volume: Percent | None = None
    microphone_gain_db: Annotated[float, Meta(ge=-30, le=30)] | None = None

    def over(self, kept: "VolumeAndGain") -> "VolumeAndGain":
        """Return these values, and the kept ones where there are none."""
        volume, gain_db = self.volume, self.microphone_gain_db
        return VolumeAndGain(
            kept.volume if volume is None else volume,
            kept.microphone_gain_db if gain_db is None else gain_db,
        )


class Identity(msgspec.Struct, frozen=True):
    """Identity in the room, stored where none can be derived from the machine."""

    identity: Text


KeptT = TypeVar("KeptT", VolumeAndGain, Identity)


@dataclass(frozen=True, slots=True)
class StoredState:
    """Stored settings."""

    identity: str
    volume_and_gain: VolumeAndGain


class SettingsStore:
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
        """Keep the folder, which is created with the first file; nothing is read yet.

        `post` receives `PartLost` when nothing can be written, and `PartFound` when it
        can be again. The identity is derived from `machine_files`.
        """
        self._folder = folder
        self._post = post
        self._settle_s = settle_s
        self._retry_s = retry_s
        self._machine_files = machine_files
        self._levels = VolumeAndGain()
        """As read at the start, with the changes since."""
        self._read_late = VolumeAndGain()
        """As read before a write, if that failed at the start."""
        self._unread: dict[str, str] = {}
        """Files whose content is not known, and why they could not be read."""
        self._wanted: dict[str, VolumeAndGain | Identity] = {}
        """Content that each file should have."""
        self._written: dict[str, VolumeAndGain | Identity] = {}
        """Wanted content that each file has; unknown after a failed write."""
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
        levels = self._decoded(LEVELS, VolumeAndGain)
        if levels is not None:
            self._levels = self._written[LEVELS] = levels
        identity = self._identity()
        for reason in self._unread.values():
            self._failed(reason)
        return StoredState(identity, self._levels)

    async def __aenter__(self) -> Self:
        """Post the fault that `read` met, and start the task that writes."""
        await self._background.open(self._write_changes())
        if self._fault.reason is not None:
            self._post_lost(self._fault.reason)
        return self

    async def __aexit__(self, *failure: object) -> None:
        """Write volume and gain if they are not written yet."""
        await self._background.close(*failure)
        self._flush()

    def do(self, command: StoreVolumeAndGain) -> None:
        """Write volume and gain once they have not changed for a while."""
        changes = VolumeAndGain(command.percent, command.db)
        self._levels = changes.over(self._levels)
        self._wanted[LEVELS] = self._levels
        self._changed.set()

    def _identity(self) -> str:
        """Return the stored identity, else one that is the same at each start.

        Earlier versions stored a random one, under which the room knows the box.
        """
        known = self._decoded(IDENTITY, Identity)
        if known is not None:
            return known.identity
        if derived := derived_identity(self._folder, self._machine_files):
            return derived
        made = random_identity()
        if IDENTITY in self._unread:
            set_aside(self._folder / IDENTITY, self._unread[IDENTITY])
        self._wanted[IDENTITY] = Identity(made)
        self._flush()
        return made

    async def _write_changes(self) -> None:
        while True:
            await self._until_due()
            while self._changed.is_set():
                self._changed.clear()
                await asyncio.sleep(self._settle_s)
            # Off the event loop: an SD card may need half a second.
            await asyncio.to_thread(self._flush)

    async def _until_due(self) -> None:
        """Wait for a change, or until what could not be written is tried again."""
        is_written = self._wanted.items() <= self._written.items()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if is_written else self._retry_s):
                await self._changed.wait()

    def _flush(self) -> None:
        """Write the files that have other content; report fault or recovery.

        Thread: any.
        """
        with self._writing:
            for name, content in tuple(self._wanted.items()):
                if content == self._written.get(name):
                    continue
                whole = self._whole(content)
                try:
                    write_whole(self._folder / name, msgspec.json.encode(whole))
                except OSError as exc:
                    self._written.pop(name, None)
                    self._failed(store_reason(exc))
                    continue
                self._written[name] = content
                self._unread.pop(name, None)
                if self._fault.worked():
                    self._post(PartFound(Part.STORE, str(self._folder)))

    def _whole(self, content: VolumeAndGain | Identity) -> VolumeAndGain | Identity:
        """Return the content with what could not be read at the start, if it can be."""
        if isinstance(content, Identity):
            return content
        if LEVELS in self._unread:
            self._read_late = self._decoded(LEVELS, VolumeAndGain) or self._read_late
        return content.over(self._read_late)

    def _decoded(self, name: str, kind: type[KeptT]) -> KeptT | None:
        """Return the content of the file; None if it is missing or unreadable."""
        path = self._folder / name
        try:
            with path.open("rb") as file:
                return msgspec.json.decode(file.read(LARGEST_FILE), type=kind)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            set_aside(path, exc)
        except OSError as exc:
            self._unread[name] = store_reason(exc)
        return None

    def _failed(self, reason: str) -> None:
        if self._fault.failed(reason) and self._background.is_open:
            self._post_lost(reason)

    def _post_lost(self, reason: str) -> None:
        self._post(PartLost(Part.STORE, str(self._folder), reason))


def store_reason(exc: OSError) -> str:
    """Return why nothing can be stored, and what to do."""
    fault = _FAULTS.get(exc.errno or 0, fault_table.STORE_FAILED)
    return fault.text(error=exc.strerror or exc)
