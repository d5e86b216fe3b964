"""End-to-end encryption with a shared key: its file, and the participants' faults."""

from pathlib import Path
from typing import Final

from livekit import rtc

from appliance.core.events import Cause, Failure
from appliance.room.connection import LOOK_S

ENCRYPTED: Final = (
    "sound is encrypted, and this box has no key (room.encryption_key_file)"
)
NOT_ENCRYPTED: Final = (
    "sound is not encrypted, although this box has a key for the room"
)
OTHER_KEY: Final = "sound cannot be decrypted: their key is not the one of this box"

PATIENCE_S: Final = 2.0
"""Time from the first speech to the first decrypted packet; our choice. The library
does not report a wrong key, only the first success."""
_KEY_BYTES: Final = 4096
"""Longest key; our choice: a large file named by mistake is refused."""


def encryption(key_file: str) -> rtc.E2EEOptions | Failure:
    """Return the encryption with the key in this file, or why it cannot be used.

    The file has one line, the key, the same as in the other clients.
    """
    try:
        with Path(key_file).open("rb") as file:
            content = file.read(_KEY_BYTES + 1)
    except (OSError, ValueError) as exc:
        # ValueError: its name has a NUL.
        reason = getattr(exc, "strerror", None) or exc
        return _failure(f"cannot be read ({reason})")
    key = content.strip()
    if not key or len(content) > _KEY_BYTES or b"\n" in key:
        return _failure(f"is not one line of at most {_KEY_BYTES} bytes")
    # As LiveKit's browser client, derive no later keys: with 16 for each packet, the
    # default, a talker with another key takes a CPU core (measured).
    return rtc.E2EEOptions(rtc.KeyProviderOptions(key, ratchet_window_size=0))


def _failure(fault: str) -> Failure:
    reason = (
        f"room.encryption_key_file {fault}: write the key that the room's other "
        "clients use into one line of it, readable for this service"
    )
    return Failure(Cause.MISCONFIGURED, reason, is_final=True)


class Decryption:
    """Encryption state of the other participants' audio."""

    def __init__(self, *, has_key: bool) -> None:
        """Start without participants; `has_key`: this box encrypts."""
        self._has_key = has_key
        self._decrypted: set[str] = set()
        self._waited_s: dict[str, float] = {}
        """Time unmuted of participants since they spoke and were not decrypted."""

    def is_playable(self, publication: rtc.RemoteTrackPublication) -> bool:
        """Return whether the track can be played; ciphertext would be loud noise."""
        return self._has_key or not _is_encrypted(publication)

    def state_changed(
        self, participant: rtc.Participant | None, state: rtc.EncryptionState.ValueType
    ) -> None:
        """Store the state of this participant's audio, as the library reports it."""
        if participant is None:
            return
        if state == rtc.EncryptionState.OK:
            self._decrypted.add(participant.identity)
            self._waited_s.pop(participant.identity, None)
        else:
            self._decrypted.discard(participant.identity)

    def expect(self, identity: str) -> None:
        """Expect a decrypted packet of this participant, whose speech arrives."""
        if identity not in self._decrypted:
            self._waited_s.setdefault(identity, 0.0)

    def forget(self, identity: str) -> None:
        """Remove a participant whose track has ended."""
        self._decrypted.discard(identity)
        self._waited_s.pop(identity, None)

    def fault(self, other: rtc.RemoteParticipant) -> str:
        """Return the fault of this participant's audio as a sentence; empty: none.

        Call it every `LOOK_S`.
        """
        tracks = audio_tracks(other)
        if not self._has_key:
            return ENCRYPTED if any(map(_is_encrypted, tracks)) else ""
        if not all(map(_is_encrypted, tracks)):
            return NOT_ENCRYPTED
        waited_s = self._waited_s.get(other.identity)
        if waited_s is None:
            return ""
        if not all(track.muted for track in tracks):
            self._waited_s[other.identity] = waited_s = waited_s + LOOK_S
        return OTHER_KEY if waited_s >= PATIENCE_S else ""


def audio_tracks(
    participant: rtc.RemoteParticipant,
) -> list[rtc.RemoteTrackPublication]:
    """Return the published audio tracks of a participant."""
    return [
        publication
        for publication in participant.track_publications.values()
        if publication.kind == rtc.TrackKind.KIND_AUDIO
    ]


def _is_encrypted(publication: rtc.RemoteTrackPublication) -> bool:
    return publication.encryption_type != rtc.EncryptionType.NONE
