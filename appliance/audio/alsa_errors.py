"""Error messages of alsa-lib, captured from standard error.

alsa-lib writes the reason of a failure to file descriptor 2 and returns only a number.
"""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from appliance.core import fault_table

_PLACE: Final = re.compile(
    r"ALSA lib conf\.c:\d+:\(\w+\) (?P<file>[^:]*):(?P<line>\d+):\d+:(?P<words>.*)"
)
"""Source: alsa-lib 1.2, conf.c, `snd_config_load` and `snd_config_error`. The file is
empty or `_toplevel_` for the outermost one."""
_FILE: Final = re.compile(r"\) (?P<file>.+) may be old or corrupted")
_ANY: Final = re.compile(r"ALSA lib [^(]*\(\w+\) (?P<words>.*)")
_READ_BYTES: Final = 65_536
"""More than alsa-lib writes about any error in a configuration file."""


_NO_BANDWIDTH: Final = "No space left on device"
"""Error of the kernel whose own words mislead.

Source: Linux, Documentation/driver-api/usb/error-codes.rst, `ENOSPC`: this request
would overcommit the usb bandwidth reserved for periodic transfers."""


def with_host_text(sentence: str, host_text: str) -> str:
    """Return PortAudio's sentence with the text of the host, and a remedy if known.

    Args:
        sentence: PortAudio's message.
        host_text: ALSA's text; empty: there is none.
    """
    if not host_text:
        return sentence
    if host_text == _NO_BANDWIDTH:
        return fault_table.USB_BANDWIDTH.text(sentence=sentence, host=host_text)
    return f"{sentence} ({host_text})"


def stderr_of(call: Callable[[], object]) -> str:
    """Return what the call writes to file descriptor 2, from Python or from C.

    Output of other threads during the call is written to the descriptor afterwards; it
    is recognised by not beginning as ALSA's and PortAudio's lines do.

    Thread: any, but one at a time, because the descriptor is shared by the process.
    """
    try:
        before = os.dup(2)
    except OSError:
        # There is no standard error to capture.
        call()
        return ""
    memory = os.memfd_create("alsa-errors")
    try:
        os.dup2(memory, 2)
        try:
            call()
        finally:
            os.dup2(before, 2)
        os.lseek(memory, 0, os.SEEK_SET)
        written = os.read(memory, _READ_BYTES)
    finally:
        os.close(memory)
        os.close(before)
    _write_others(written)
    return written.decode(errors="replace")


def reason_in(written: str) -> str:
    """Return the cause in one sentence, with file and line where ALSA names them.

    Args:
        written: output of ALSA.

    Returns:
        Empty where the output names no cause.
    """
    place, file = _PLACE.search(written), _FILE.search(written)
    if place is None:
        other = _ANY.search(written)
        return other["words"].strip() if other else ""
    named = place["file"].strip()
    if named in {"", "_toplevel_"} and file is not None:
        named = file["file"].strip()
    return fault_table.ALSA_CONFIGURATION.text(
        file=named or "the ALSA configuration",
        line=place["line"],
        words=place["words"].strip(),
    )


def _write_others(written: bytes) -> None:
    lines = written.splitlines(keepends=True)
    others = [x for x in lines if not x.startswith((b"ALSA lib", b"Expression '"))]
    with suppress(OSError):
        if others:
            os.write(2, b"".join(others))
