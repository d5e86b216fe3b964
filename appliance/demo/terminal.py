"""The person's terminal: whole lines, one live line at the bottom, and its keys."""

import contextlib
import os
import sys
import termios
from collections.abc import Iterator
from typing import Final, TextIO

CLEAR: Final = "\r\x1b[2K"
"""To the line's start, and erase it; ECMA-48."""
FALLBACK_COLUMNS: Final = 80
"""What a terminal has that does not tell."""
_LOCAL_FLAGS: Final = 3
_CONTROL_SIGNS: Final = 6
"""Where the lists of `tcgetattr` have what is changed here."""


class Terminal:
    """Writes for a person; with something else than a terminal, only whole lines."""

    def __init__(self, stream: TextIO) -> None:
        """Write to this stream."""
        self._stream = stream
        self._live = ""
        self.is_live = stream.isatty()
        """Whether one line can be drawn again and again."""

    @property
    def columns(self) -> int:
        """How much fits on the live line; asked anew, since windows change."""
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except OSError:
            columns = 0
        return (columns or FALLBACK_COLUMNS) - 1

    def say(self, line: str) -> None:
        """Write a line that stays, above the live one."""
        self._write(f"{self._clear()}{line}\n{self._live}")

    def draw(self, line: str) -> None:
        """Put this in place of the live line."""
        if self.is_live and line != self._live:
            clear = self._clear()
            self._live = line
            self._write(clear + line)

    def end(self) -> None:
        """Take the live line away."""
        clear, self._live = self._clear(), ""
        self._write(clear)

    def _clear(self) -> str:
        return CLEAR if self._live else ""

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class LogStream:
    """Lets a log handler write its lines above the live one."""

    def __init__(self, terminal: Terminal) -> None:
        """Write there."""
        self._terminal = terminal

    def write(self, text: str) -> None:
        """Write what the handler has made: a line with its end."""
        if text.strip():
            self._terminal.say(text.rstrip("\n"))

    def flush(self) -> None:
        """Do nothing: lines are written at once."""


def has_keys() -> bool:
    """Whether somebody can press keys: a terminal, with us in its foreground."""
    try:
        descriptor = sys.stdin.fileno()
        is_ours = os.tcgetpgrp(descriptor) == os.getpgrp()
        return sys.stdin.isatty() and is_ours
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def single_keys(descriptor: int) -> Iterator[None]:
    """Have keys come one by one and unseen; afterwards everything is as before.

    Ctrl-C still interrupts. Ctrl-Z does nothing: a box that stands still has left
    without saying so.
    """
    before = termios.tcgetattr(descriptor)
    wanted = termios.tcgetattr(descriptor)
    wanted[_LOCAL_FLAGS] &= ~(termios.ICANON | termios.ECHO)
    signs = list(wanted[_CONTROL_SIGNS])
    signs[termios.VMIN], signs[termios.VTIME] = 1, 0
    signs[termios.VSUSP] = b"\0"
    wanted[_CONTROL_SIGNS] = signs
    termios.tcsetattr(descriptor, termios.TCSADRAIN, wanted)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
