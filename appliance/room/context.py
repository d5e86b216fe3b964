"""What each visit to a room works with."""

from dataclasses import dataclass

from appliance.ports import Playout, Post, Uplink
from appliance.room.connection import Pending, Spawn


@dataclass(frozen=True, slots=True)
class Gear:
    """What every visit works with."""

    post: Post
    uplink: Uplink
    playout: Playout
    spawn: Spawn
    pending: Pending


@dataclass(frozen=True, slots=True)
class Style:
    """What the configuration says about this room."""

    encryption_key_file: str | None = None
    is_plain_chat: bool = False
