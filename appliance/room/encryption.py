"""End-to-end encryption with a key that everybody in the room shares."""

from pathlib import Path
from typing import Final

from livekit import rtc

from appliance.core.events import Cause
from appliance.room.failures import Failure

_KEY_BYTES: Final = 4096
"""Longest key; our choice: a large file named by mistake is refused."""


def encryption(key_file: str) -> rtc.E2EEOptions | Failure:
    """Return the encryption with the key in this file, or why it cannot be used.

    Args:
        key_file: its first line is the key, the same as in the other clients.
    """
    try:
        with Path(key_file).open("rb") as file:
            content = file.read(_KEY_BYTES + 1)
    except OSError as exc:
        return _failure(f"cannot be read ({exc.strerror})")
    key = content.strip()
    if not key:
        return _failure("is empty")
    if len(content) > _KEY_BYTES or b"\n" in key:
        return _failure("is not a key: more than one line, or longer than 4096 bytes")
    return rtc.E2EEOptions(rtc.KeyProviderOptions(shared_key=key))


def _failure(fault: str) -> Failure:
    reason = (
        f"room.encryption_key_file {fault}: write the key that the room's other "
        "clients use into one line of it, readable for this service"
    )
    return Failure(Cause.MISCONFIGURED, reason, is_final=True)
