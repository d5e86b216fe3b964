"""Error messages of alsa-lib, found in what it writes to standard error.

alsa-lib writes the reason of a failure to file descriptor 2 and returns only a number.
"""

import re
from typing import Final

from appliance.core import fault_table

_PLACE: Final = re.compile(
    r"ALSA lib conf\.c:\d+:\(\w+\) (?P<file>[^:]*):(?P<line>\d+):\d+:(?P<words>.*)"
)
"""Source: alsa-lib 1.2, conf.c, `snd_config_load` and `snd_config_error`. The file is
empty or `_toplevel_` for the outermost one."""
_FILE: Final = re.compile(r"\) (?P<file>.+) may be old or corrupted")
_ANY: Final = re.compile(r"ALSA lib [^(]*\(\w+\) (?P<words>.*)")
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
