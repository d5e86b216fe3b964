"""Interfaces of the adapters: to the app, and between the room and the audio adapter.

Adapters import these instead of each other; `assembly` builds them.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from appliance.core.commands import (
    FetchToken,
    RoomCommand,
    SoundCommand,
    StoreVolumeAndGain,
)
from appliance.core.events import Event
from appliance.core.view import View

if TYPE_CHECKING:
    # Importing NumPy takes 0.1 s, and most users of this module do not need it.
    from appliance.pcm import Block

Post = Callable[[Event], None]
"""Put an event into the app's queue. Thread: any; never blocks."""

CommandT_contra = TypeVar("CommandT_contra", contravariant=True)

EventSource = AbstractAsyncContextManager[object]
"""Adapter that only posts events: buttons, network monitor."""


class CommandHandler(
    AbstractAsyncContextManager["CommandHandler[CommandT_contra]"],
    Protocol[CommandT_contra],
):
    """Adapter that carries out commands while it is open."""

    def do(self, command: CommandT_contra) -> None:
        """Start the command and return at once; the result is posted as an event.

        Thread: the event loop's.
        """


class Viewer(AbstractAsyncContextManager["Viewer"], Protocol):
    """Adapter that displays the state of the box."""

    def show(self, view: View) -> None:
        """Display this view, which replaces the last one, and return at once.

        Thread: the event loop's.
        """


Tokens = CommandHandler[FetchToken]
Room = CommandHandler[RoomCommand]
Sound = CommandHandler[SoundCommand]
Store = CommandHandler[StoreVolumeAndGain]


@dataclass(frozen=True, slots=True)
class Adapters:
    """All adapters of a box except the token source.

    The room is opened after the audio and therefore closed before it: the microphone
    feed must be disconnected before LiveKit's objects are released.
    """

    store: Store
    sound: Sound
    room: Room
    event_sources: tuple[EventSource, ...]
    viewers: tuple[Viewer, ...]

    async def enter(self, stack: AsyncExitStack) -> None:
        """Open all adapters; the stack closes them in reverse order."""
        first: tuple[EventSource, ...] = (self.store, self.sound, self.room)
        for adapter in (*first, *self.viewers, *self.event_sources):
            await stack.enter_async_context(adapter)


class MicrophoneFeed(Protocol):
    """Source of the microphone's audio; implemented by the audio adapter.

    Thread: the event loop's, for every method.
    """

    def connect(self, send: "Callable[[Block], None]") -> None:
        """Send the microphone's audio from now on, silence while the gate is closed.

        `send` takes one block. It is called on the audio adapter's threads, never
        concurrently, for the blocks of whole packets of 20 ms in a row. It must not
        keep the block, whose memory is reused. At most one is connected.
        """

    def disconnect(self) -> None:
        """Stop; when this returns, `send` is not running and is not called again.

        May be called without `connect` and twice.
        """


class Playback(Protocol):
    """Destination of the other participants' audio; implemented by the audio adapter.

    Thread: the event loop's, for every method.
    """

    def add(self, talker: str) -> "Callable[[Block], None]":
        """Add a talker, whose name must not be in use.

        Returns:
            Takes one block of the talker's; any thread, one at a time.
        """

    def remove(self, talker: str) -> None:
        """Remove a talker; its later blocks are dropped."""

    def mute(self, talker: str, *, is_on: bool) -> None:
        """Play the talker or not, from the next block on; unknown ones are ignored."""

    def is_sounding(self, talker: str) -> bool:
        """Return whether the talker is audible, or was a moment ago."""


class EchoCanceller(Protocol):
    """Acoustic echo canceller."""

    def cancel(self, microphone: "Block", played: "Block", delay_ms: int) -> None:
        """Remove the echo of the speaker from the microphone's block, in place.

        Args:
            microphone: the captured block; overwritten.
            played: the block given to the speaker in the same callback.
            delay_ms: from giving `played` to the card until its echo is captured.

        Thread: the audio sender's.
        """


class NoiseSuppressor(Protocol):
    """Noise suppression, high-pass filter and automatic gain."""

    def clean(self, microphone: "Block") -> None:
        """Process the microphone's block in place.

        Thread: the audio sender's.
        """
