"""What the simulated speaker played: the newest minutes by time, and a WAV file."""

import logging
import os
import struct
import tempfile
from collections import deque
from pathlib import Path
from typing import Final

from appliance.audio.dsp import RATE_HZ
from appliance.demo.measure import Sound, TimedBlock, cut_out, joined
from appliance.demo.phrase import Samples
from appliance.errors import DemoError

KEPT_S: Final = 90.0
"""A talk of 30 s and its repetition fit."""
LONGEST_S: Final = 600.0
"""The file ends growing after ten minutes, at 58 MB."""
FRAME_BYTES: Final = 2
HEADER_BYTES: Final = 44

_log = logging.getLogger(__name__)


class Tape:
    """Takes what the speaker plays.

    Thread: `put` the card's; the rest any, one at a time.
    """

    def __init__(self, path: Path) -> None:
        """Make the file anew.

        Raises:
            DemoError: it cannot be written.
        """
        self.path = path
        self._recent: deque[TimedBlock] = deque()
        self._unwritten: deque[Samples] = deque()
        self._written = 0
        self._is_broken = False
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            self._file: int | None = os.open(path, flags, 0o644)
        except OSError as exc:
            sentence = f"{path} cannot be written: {exc.strerror}. Use --wav FILE."
            raise DemoError(sentence) from exc

    def close(self) -> None:
        """Write what is left and close the file; twice is fine."""
        self.write()
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    @property
    def length_s(self) -> float:
        """How long the file is."""
        return self._written / (FRAME_BYTES * RATE_HZ)

    def put(self, at_s: float, block: Samples) -> None:
        """Take a block that is played at this moment."""
        self._recent.append((at_s, block))
        self._unwritten.append(block)

    def write(self) -> None:
        """Bring the file up to date; it can be opened at any time after this."""
        while self._recent and self._recent[0][0] < self._recent[-1][0] - KEPT_S:
            self._recent.popleft()
        blocks = [self._unwritten.popleft() for _ in range(len(self._unwritten))]
        if self._file is None or self._is_broken or self.length_s >= LONGEST_S:
            return
        try:
            self._append(self._file, b"".join(block.tobytes() for block in blocks))
        except OSError as exc:
            self._is_broken = True
            _log.warning("recording ends  reason=%r", exc.strerror)

    def between(self, from_s: float, to_s: float) -> Sound | None:
        """Return what was played between two moments; None: nothing is known."""
        # A copy: the card goes on putting.
        recent = self._recent.copy()
        blocks = [x for x in recent if from_s - 1.0 < x[0] < to_s + 1.0]
        return cut_out(joined(blocks), from_s, to_s) if blocks else None

    def _append(self, file: int, pcm: bytes) -> None:
        os.pwrite(file, pcm, HEADER_BYTES + self._written)
        self._written += len(pcm)
        os.pwrite(file, _header(self._written), 0)


def default_path() -> Path:
    """Return where the recording goes unless somebody says otherwise.

    It bears the user's number: nobody can write to what another user has left there.
    """
    return Path(tempfile.gettempdir()) / f"ptt-demo-{os.getuid()}.wav"


def _header(count: int) -> bytes:
    """Return the start of a WAV file with so many bytes of 16-bit mono samples."""
    kind = (1, 1, RATE_HZ, RATE_HZ * FRAME_BYTES, FRAME_BYTES, 8 * FRAME_BYTES)
    shape = struct.pack("<4sIHHIIHH", b"fmt ", 16, *kind)
    riff = struct.pack("<4sI4s", b"RIFF", HEADER_BYTES - 8 + count, b"WAVE")
    return riff + shape + struct.pack("<4sI", b"data", count)
