"""Objects and settings that a session is given."""

from dataclasses import dataclass

from appliance.ports import MicrophoneFeed, Playback, Post
from appliance.room.connection import Pending, Spawn


@dataclass(frozen=True, slots=True)
class SessionContext:
    """Objects shared by all sessions."""

    post: Post
    feed: MicrophoneFeed
    playback: Playback
    spawn: Spawn
    pending: Pending
    is_listener: bool = False
    """The box has no microphone: nothing is published."""
    is_announcer: bool = False
    """The box has no speaker: nothing is subscribed to."""


@dataclass(frozen=True, slots=True)
class RoomStyle:
    """Settings of the room that the session joins."""

    encryption_key_file: str | None = None
    is_plain_chat: bool = False
    is_dtelecom: bool = False
    """The room is on dTelecom's network, whose servers can do less."""
