"""Persistent settings: volume and microphone gain, in `levels.json`."""

import asyncio
import errno
import logging
import threading
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
from appliance.process.state_files import set_aside, write_whole

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
        self._is_unwritten = False
        """Whether the file has other levels."""
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
            self._is_unwritten = True
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
            if not self._is_unwritten:
                return True
            # They may change meanwhile.
            self._is_unwritten = False
            try:
                write_whole(self._path, msgspec.json.encode(self._levels))
            except OSError as exc:
                self._is_unwritten = True
                self._fault.lost(store_reason(exc))
                return False
            self._fault.found()
            return True


def store_reason(exc: OSError) -> str:
    """Return why nothing can be stored, and what to do."""
    fault = _FAULTS.get(exc.errno or 0, fault_table.STORE_FAILED)
    return fault.text(error=exc.strerror or exc)
