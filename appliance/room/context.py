"""What each visit to a room works with."""

from dataclasses import dataclass

from appliance.ports import MicrophoneFeed, Playback, Post
from appliance.room.connection import Pending, Spawn


@dataclass(frozen=True, slots=True)
class SessionContext:
    """What every visit works with."""

    post: Post
    feed: MicrophoneFeed
    playback: Playback
    spawn: Spawn
    pending: Pending


@dataclass(frozen=True, slots=True)
class RoomStyle:
    """What the configuration says about this room."""

    encryption_key_file: str | None = None
    is_plain_chat: bool = False
