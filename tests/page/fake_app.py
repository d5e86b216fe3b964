"""A page on loopback, with an in-memory app behind it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from appliance.config import PageConfig
from appliance.core.chat import ChatLine, Delivery
from appliance.core.events import (
    ChatTyped,
    Event,
    MuteAsked,
    PageServed,
    Participant,
    TalkAsked,
    VolumeAsked,
)
from appliance.core.view import ConnectionState, LampStates, TalkState, View
from appliance.page.adapter import Page, PageSettings
from appliance.page.messages import STARTING
from appliance.page.pairing import PairingFile
from tests.clock import Clock
from tests.loopback import http_client

IN_ROOM = replace(
    STARTING,
    name="kitchen",
    connection=ConnectionState.CONNECTED,
    banner="in workshop",
    room="workshop",
    presets=("workshop", "garage"),
    preset="workshop",
    people=(
        Participant("anna", "Anna", is_speaking=True),
        Participant("ben", "Ben Müller", is_muted=True),
        Participant("agent-7", "Assistant"),
    ),
    talkers=("Anna",),
    talk=TalkState.MUTED,
    talk_text="muted",
    microphone_dbfs=-34,
    speaker_dbfs=-18,
    volume_percent=70,
    chat=(
        ChatLine(
            id="1",
            sender_id="anna",
            sender_name="Anna",
            text="The delivery is at the gate.",
            ts_ms=1_760_000_000_000,
            state=Delivery.RECEIVED,
        ),
    ),
    chat_refusal="",
    lamps=LampStates(online=True, receiving=True),
    rtt_ms=23,
    address="192.168.1.20",
    page_url="http://kitchen.local:8080",
    pin="000000",
)


PATIENCE_S = 30.0
"""Time-out on a busy machine."""
CHECK_S = 0.01
"""Interval in which changes of the PIN by the command line are looked for."""


@dataclass
class Inbox:
    """Fake app: receives events and publishes the views that follow from them."""

    view: View = IN_ROOM
    events: list[Event] = field(default_factory=list)
    page: Page | None = None
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def post(self, event: Event) -> None:
        self.events.append(event)
        self._react(event)
        task = asyncio.get_running_loop().create_task(self._wake())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def show(self, **changes):
        self.view = replace(self.view, **changes)
        if self.page is not None:
            self.page.show(self.view)

    async def has(self, event: Event, wait_s: float = PATIENCE_S) -> None:
        """Wait until this event has been posted."""
        await self.until(lambda: event in self.events, wait_s)

    async def until(self, is_true, wait_s: float = PATIENCE_S) -> None:
        async with asyncio.timeout(wait_s), self._news:
            await self._news.wait_for(is_true)

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    async def _wake(self) -> None:
        async with self._news:
            self._news.notify_all()

    def _react(self, event: Event) -> None:
        match event:
            case TalkAsked(is_on=is_on):
                state = TalkState.TALKING if is_on else TalkState.MUTED
                lamps = replace(self.view.lamps, talking=is_on)
                self.show(talk=state, talk_text=state.value, lamps=lamps)
            case MuteAsked(is_on=is_on):
                self.show(is_muted_on_page=is_on)
            case VolumeAsked(percent=percent):
                self.show(volume_percent=percent)
            case ChatTyped():
                self.show(chat=(*self.view.chat, own_line(event)))
            case _:
                return


def own_line(event: ChatTyped, state: Delivery = Delivery.SENT) -> ChatLine:
    return ChatLine(
        id=event.id,
        sender_id="",
        sender_name="",
        text=event.text,
        ts_ms=event.ts_ms,
        state=state,
    )


@dataclass
class Served:
    """A page that is being served."""

    inbox: Inbox
    clock: Clock
    url: str
    directory: Path

    @property
    def pin(self) -> str:
        """The current PIN."""
        keys = PairingFile(self.directory).read()
        assert keys is not None
        return keys.pin

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    def client(self, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
        return http_client(self.url, headers=headers)

    async def cookie(self) -> str:
        """Pair, and return the cookie header; the next PIN has been posted."""
        before = len(self.inbox.of(PageServed))
        async with self.client() as client:
            answer = await client.post("/pair", data={"pin": self.pin})
        assert answer.status_code == 303, answer.text
        await self.inbox.until(lambda: len(self.inbox.of(PageServed)) > before)
        ((name, value),) = answer.cookies.items()
        return f"{name}={value}"


async def one_join() -> str:
    return "ptt_joins_total 1\n"


def site(directory: Path, metrics=one_join, **changes) -> PageSettings:
    return PageSettings(
        name="kitchen", state_directory=directory, metrics=metrics, **changes
    )


@asynccontextmanager
async def serving(
    directory: Path, clock: Clock, listen: str = "127.0.0.1:0", **changes
) -> AsyncIterator[Served]:
    """Serve a page on loopback; `changes` are those of its settings."""
    inbox = Inbox()
    settings = site(directory, now_s=clock, wall_s=clock, **changes)
    config = PageConfig(listen=listen)
    async with Page(config, inbox.post, settings, check_s=CHECK_S) as page:
        inbox.page = page
        inbox.show()
        await inbox.until(lambda: inbox.of(PageServed))
        (event,) = inbox.of(PageServed)
        inbox.show(pin=event.pin)
        yield Served(inbox, clock, event.url, directory)
