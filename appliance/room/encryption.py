"""End-to-end encryption with a key that everybody in the room shares."""

from pathlib import Path

from livekit import rtc

from appliance.core.events import Cause
from appliance.room.failures import Failure

_KEY_BYTES = 4096
"""Longest key; our choice: somebody who names a film by mistake is told so."""


def encryption(key_file: str | None) -> rtc.E2EEOptions | Failure | None:
    """Return how the room is encrypted; None: not at all.

    Args:
        key_file: a file whose first line is the key, as the other clients have it.
    """
    if key_file is None:
        return None
    try:
        with Path(key_file).open("rb") as file:
            content = file.read(_KEY_BYTES + 1)
    except OSError as error:
        return _failure(f"cannot be read ({error.strerror})")
    key = content.strip()
    if not key:
        return _failure("is empty")
    if len(content) > _KEY_BYTES or b"\n" in key:
        return _failure("is not a key: more than one line, or longer than 4096 bytes")
    return rtc.E2EEOptions(rtc.KeyProviderOptions(shared_key=key))


def _failure(what: str) -> Failure:
    reason = (
        f"room.encryption_key_file {what}: write the key that the room's other "
        "clients use into one line of it, readable for this service"
    )
    return Failure(Cause.MISCONFIGURED, reason, is_final=True)
