"""What the box remembers over a restart: who it is, and how loud (R1.6, R2.9, R7.4).

Two small files in the state directory; each is replaced as a whole or not at all.
Nothing is written while nothing changes.
"""

import asyncio
import contextlib
import logging
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self, TypeVar

import msgspec
from msgspec import Meta

from appliance.config import Percent, Text
from appliance.core.commands import KeepLevels
from appliance.core.events import Part, PartFound, PartLost
from appliance.ports import Post
from appliance.process.background import Background
from appliance.process.state_files import write_whole

log = logging.getLogger(__name__)

REST_S = 5.0
"""How long the volume knob must be at rest before it is written: one write per turn."""
IDENTITY_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without those that are taken for one another when read aloud."""
LARGEST_FILE = 4096
"""Bytes; ours have under 100, anything larger is not ours."""


class Levels(msgspec.Struct, frozen=True):
    """How loud the box was."""

    volume: Percent
    microphone_gain_db: Annotated[float, Meta(ge=-30, le=30)]


class Identity(msgspec.Struct, frozen=True):
    """Who the box is, where the configuration does not say."""

    identity: Text


KeptT = TypeVar("KeptT", Levels, Identity)


@dataclass(frozen=True, slots=True)
class StoredState:
    """What was found, with defaults for what was not."""

    identity: str
    levels: Levels | None
    """None: nobody has ever turned the knob; the configuration says how loud."""


class Store:
    """Keeps volume and gain; `read` gives back what was kept."""

    def __init__(self, folder: Path, post: Post, *, rest_s: float = REST_S) -> None:
        """Say where.

        Args:
            folder: made when the first file is written.
            post: is told `PartLost` when nothing can be kept, `PartFound` when it
                can again.
            rest_s: how long levels must not have changed before they are written.
        """
        self._folder = folder
        self._post = post
        self._rest_s = rest_s
        self._wanted: Levels | None = None
        self._written: Levels | None = None
        self._turned = asyncio.Event()
        self._trouble: PartLost | None = None
        # Closing may want to write while a write that was given up still runs.
        self._writing = threading.Lock()
        self._background = Background()

    def read(self) -> StoredState:
        """Return what was kept; the first time, make an identity and keep it.

        To be called before the store is entered: only then is a trouble posted.
        """
        self._written = self._wanted = self._decoded("levels.json", Levels)
        known = self._decoded("identity.json", Identity)
        if known is not None:
            return StoredState(known.identity, self._written)
        letters = (secrets.choice(IDENTITY_LETTERS) for _ in range(8))
        made = Identity(f"box-{''.join(letters)}")
        self._write("identity.json", made)
        return StoredState(made.identity, self._written)

    async def __aenter__(self) -> Self:
        """Tell what `read` could not do, and be ready for levels."""
        await self._background.open(self._keep())
        if self._trouble is not None:
            self._post(self._trouble)
        return self

    async def __aexit__(self, *failure: object) -> None:
        """Write what is not written yet."""
        if not self._background.is_open:
            return
        await self._background.close(*failure)
        self._flush(self._wanted)

    def do(self, command: KeepLevels) -> None:
        """Keep the levels once they rest."""
        self._wanted = Levels(command.percent, command.db)
        self._turned.set()

    async def _keep(self) -> None:
        while True:
            await self._turned.wait()
            while self._turned.is_set():
                self._turned.clear()
                await asyncio.sleep(self._rest_s)
            # An SD card may take half a second.
            await asyncio.to_thread(self._flush, self._wanted)

    def _flush(self, levels: Levels | None) -> None:
        """Write the levels if the file has others.

        Thread: any.
        """
        with self._writing:
            is_new = levels is not None and levels != self._written
            if is_new and self._write("levels.json", levels):
                self._written = levels

    def _write(self, name: str, content: Levels | Identity | None) -> bool:
        """Return whether it was written; trouble is told once, recovery too."""
        try:
            write_whole(self._folder / name, msgspec.json.encode(content))
        except OSError as error:
            self._lose(error)
            return False
        if self._trouble is not None:
            log.info("settings are kept again  folder=%s", self._folder)
            self._post(PartFound(Part.STORE, str(self._folder)))
            self._trouble = None
        return True

    def _decoded(self, name: str, kind: type[KeptT]) -> KeptT | None:
        """Return what the file says; None when it is not there or not readable."""
        path = self._folder / name
        try:
            with path.open("rb") as file:
                return msgspec.json.decode(file.read(LARGEST_FILE), type=kind)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            self._set_aside(path, str(error))
        except OSError as error:
            self._lose(error)
        return None

    def _set_aside(self, path: Path, reason: str) -> None:
        """Keep a damaged file for whoever wants to know; defaults take its place."""
        log.warning("kept file is damaged, set aside  file=%s reason=%s", path, reason)
        with contextlib.suppress(OSError):
            path.replace(path.with_name(f"{path.name}.bad"))

    def _lose(self, error: OSError) -> None:
        reason = error.strerror or str(error)
        level = logging.WARNING if self._trouble is None else logging.DEBUG
        log.log(level, "settings not kept  folder=%s reason=%s", self._folder, reason)
        if self._trouble is not None:
            return
        self._trouble = PartLost(Part.STORE, str(self._folder), reason)
        if self._background.is_open:
            self._post(self._trouble)
