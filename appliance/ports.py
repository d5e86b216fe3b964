"""What `app` asks of its adapters, and what they may ask of each other's goods.

Adapters know these shapes, `core` and `config`; only `assembly` knows concrete ones.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from appliance.core.commands import (
    JoinRoom,
    KeepLevels,
    LeaveRoom,
    RoomCommand,
    SendChat,
    SoundCommand,
    StoreCommand,
    TokenCommand,
    UnmuteTrack,
)
from appliance.core.events import Event
from appliance.core.view import View

if TYPE_CHECKING:
    # NumPy takes a tenth of a second, and the control road does without.
    from appliance.pcm import Block

Post = Callable[[Event], None]
"""Put an event into the inbox; from any thread, never blocks."""

CommandT_contra = TypeVar("CommandT_contra", contravariant=True)


class CommandHandler(
    AbstractAsyncContextManager["CommandHandler[CommandT_contra]"],
    Protocol[CommandT_contra],
):
    """An adapter that is given commands."""

    def do(self, command: CommandT_contra) -> None:
        """Start doing it and return at once; the answer is an event.

        Thread: the loop's.
        """


class Viewer(AbstractAsyncContextManager["Viewer"], Protocol):
    """An adapter that shows the box to somebody."""

    def show(self, view: View) -> None:
        """Take the newest view and return at once.

        Thread: the loop's.
        """


Tokens = CommandHandler[TokenCommand]
Room = CommandHandler[RoomCommand]
Sound = CommandHandler[SoundCommand]
Store = CommandHandler[StoreCommand]
EventSource = AbstractAsyncContextManager[object]
"""An adapter that only posts: buttons, the network watch."""


@dataclass(frozen=True, slots=True)
class Adapters:
    """Who does what the core wants, but for the token source.

    The room is opened after the sound, so that it is closed before it: LiveKit must not
    be fed any more when it goes.
    """

    store: Store
    sound: Sound
    room: Room
    parts: tuple[EventSource, ...]
    viewers: tuple[Viewer, ...]

    async def enter(self, stack: AsyncExitStack) -> None:
        """Open all of them; the stack closes them backwards."""
        first: tuple[EventSource, ...] = (self.store, self.sound, self.room)
        for adapter in (*first, *self.viewers, *self.parts):
            await stack.enter_async_context(adapter)

    def do(self, command: RoomCommand | SoundCommand | StoreCommand) -> None:
        """Hand the command to the one that owns it."""
        match command:
            case JoinRoom() | LeaveRoom() | UnmuteTrack() | SendChat():
                self.room.do(command)
            case KeepLevels():
                self.store.do(command)
            case _:
                self.sound.do(command)


class MicrophoneFeed(Protocol):
    """Where the room gets the microphone from; the sound road's end."""

    def connect(self, send: "Callable[[Block], None]") -> None:
        """Send every block from now on, silence while the gate is closed.

        `send` is called for each block, those of a packet or more in a row, on threads
        of the sound road, one at a time. It must not keep the block: its memory is used
        again.
        """

    def disconnect(self) -> None:
        """Send no more; when this returns, `send` is not running and will not be."""

    def renew(self) -> None:
        """Take note that the encoder may be another one from now on."""

    def prime_jitter_buffers(self) -> None:
        """Take note that all who hear us have just come, and nobody has for longer."""

    @property
    def packets(self) -> int:
        """How many packets of 20 ms were sent."""

    @property
    def wants_stats(self) -> bool:
        """Whether it would help to know how many of them have left this machine."""

    def learn(self, asked: int, sent: int) -> None:
        """Take note of how many have left.

        Args:
            asked: `packets` when the question was asked.
            sent: how many had left at some moment since.
        """


class Playback(Protocol):
    """Where the room puts what others say; the sound road's start."""

    def add(self, talker: str) -> "Callable[[Block], None]":
        """Return where to put this talker's blocks, one per 10 ms, from any thread."""

    def remove(self, talker: str) -> None:
        """Forget the talker; blocks put after this are dropped."""

    def is_sounding(self, talker: str) -> bool:
        """Return whether the talker says anything, or did just now."""

    def learn(self, talker: str, held_s: float) -> None:
        """Take note how long sound of this talker was kept before it was put here.

        Who has been removed is fine.
        """


class EchoCanceller(Protocol):
    """Echo cancellation."""

    def cancel(self, microphone: "Block", played: "Block", delay_ms: int) -> None:
        """Take out of the microphone's block, in place, what the speaker played.

        Args:
            microphone: what was heard.
            played: what was given to the speaker in the same callback.
            delay_ms: from giving `played` to the card until its echo is heard.

        Thread: the uplink's.
        """


class NoiseSuppressor(Protocol):
    """Noise suppression, high-pass filter and automatic gain."""

    def clean(self, microphone: "Block") -> None:
        """Clean the microphone's block in place.

        Thread: the uplink's.
        """
