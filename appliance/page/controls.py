"""Commands from clients: checked against the view, and posted as events.

`TalkLeases` is the talk button of all clients: who presses it, and until when.
"""

import asyncio
import time
import unicodedata
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import assert_never

from msgspec import UNSET

from appliance.core import events
from appliance.core.chat import Delivery
from appliance.core.view import TalkState, View
from appliance.net.rate_limit import Rate, RateLimit
from appliance.page.messages import (
    AnyRequest,
    ChatRequest,
    GainRequest,
    JoinRequest,
    LatestView,
    LeaveRequest,
    MuteRequest,
    RequestRefused,
    TalkRequest,
    VolumeRequest,
)
from appliance.ports import Post

TEXT_CHARACTERS = 2000
TEXT_BYTES = 8192
"""Longer lines would not fit into a packet of the data channel (15 kB with JSON)."""
CHAT_EACH = Rate(burst=5, per_s=1)
"""Our choice: faster than people type."""
CHAT_ALL = Rate(burst=10, per_s=2)
LEASE_S = 30.0
"""A press by a plain request ends after this unless it is repeated, because there is no
socket whose end would show that the client is gone. Our choice."""
CANNOT_TALK = frozenset({TalkState.UNAVAILABLE, TalkState.LOCKED})
TALKING = frozenset({TalkState.TALKING, TalkState.WARNING})

MUTED_AT_BOX = "The box is muted by its own button; unmute it there."
MUTED_ON_PAGE = "The box is muted on a page; unmute it first."
RELEASE_FIRST = (
    "That talk has ended. Release the talk button, here and on every other page or"
    " script, then press it again."
)

Answer = dict[str, object]
CallLater = Callable[[float, Callable[[], None]], asyncio.TimerHandle]


@dataclass(frozen=True, slots=True)
class Client:
    """Sender of a command, and holder of the talk button that it presses."""

    login: str
    """Digest of the cookie or token: the same for all tabs of a phone."""
    socket: str | None = None
    """Unique for a WebSocket; None for a plain request."""
    address: str = field(default="", compare=False)
    """IP address of a plain request."""


class Controls:
    """Commands from the LAN. Thread: the loop's."""

    def __init__(
        self,
        latest: LatestView,
        post: Post,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._latest = latest
        self._post = post
        self.leases = TalkLeases(post)
        self._chat_rate = RateLimit(CHAT_EACH, CHAT_ALL, now_s)

    def execute(self, request: AnyRequest, client: Client) -> Answer:
        """Execute a command and return the body of the response.

        Raises:
            RequestRefused: with the reason.
        """
        answer: Answer = {}
        match request:
            case TalkRequest():
                answer = self._talk(request, client)
            case MuteRequest():
                answer = self._mute(request)
            case ChatRequest():
                answer = self._chat(request, client)
            case JoinRequest():
                self._join(request)
            case LeaveRequest():
                self._post(events.LeaveAsked())
            case VolumeRequest():
                self._post(events.VolumeAsked(request.percent))
                answer = {"percent": request.percent}
            case GainRequest():
                self._post(events.GainAsked(request.db))
                answer = {"db": request.db}
            case _:
                assert_never(request)
        return answer

    def _talk(self, request: TalkRequest, client: Client) -> Answer:
        """Press or release; a refused press is dropped and must not transmit later."""
        if not request.on:
            self.leases.release(client)
            return {"on": False}
        view = self._latest.view
        if view.is_page_press_ignored:
            if self.leases.is_pressed(client):
                # A repeat is not a release: the next must not count as a new press.
                self.leases.press(client)
            raise RequestRefused(HTTPStatus.CONFLICT, RELEASE_FIRST)
        if refusal := _talk_refusal(view):
            self.leases.release(client)
            raise RequestRefused(HTTPStatus.CONFLICT, refusal)
        is_new = self.leases.press(client)
        # A repeat does not start a talk: the talk limit may have ended it meanwhile.
        answer: Answer = {"on": is_new or view.talk in TALKING}
        return {**answer, "lease_s": LEASE_S} if client.socket is None else answer

    def _mute(self, request: MuteRequest) -> Answer:
        if not request.on and self._latest.view.is_muted_at_box:
            raise RequestRefused(HTTPStatus.CONFLICT, MUTED_AT_BOX)
        self._post(events.MuteAsked(request.on))
        return {"on": request.on}

    def _join(self, request: JoinRequest) -> None:
        presets = self._latest.view.presets
        preset = self._latest.view.preset if request.preset is UNSET else request.preset
        if preset is not None and preset not in presets:
            known = ", ".join(("null", *presets))
            sentence = f"Unknown preset. Known here: {known}."
            raise RequestRefused(HTTPStatus.BAD_REQUEST, sentence, key="preset")
        self._post(events.JoinAsked(preset, request.display_name))

    def _chat(self, request: ChatRequest, client: Client) -> Answer:
        text = _checked(request.text)
        line_id = str(uuid.uuid4()) if request.id is UNSET else request.id
        # Without the limits below: the line may be the one that fills the outbox.
        # A line that the newest view does not have yet is recognised by the chat log.
        for line in self._latest.view.chat:
            if line.is_own and line.id == line_id:
                return {"id": line_id, "state": line.state}
        if refusal := self._latest.view.chat_refusal:
            raise RequestRefused(HTTPStatus.CONFLICT, refusal)
        if not self._chat_rate.take(client.login):
            sentence = "Too many chat lines. Wait a few seconds and send it again."
            retry = {"retry-after": "2"}
            raise RequestRefused(HTTPStatus.TOO_MANY_REQUESTS, sentence, headers=retry)
        self._post(events.ChatTyped(line_id, text, time.time_ns() // 1_000_000))
        return {"id": line_id, "state": Delivery.QUEUED}


class TalkLeases:
    """Talk button of the page, pressed while any client presses it.

    The press of a WebSocket ends with it; one whose client does not answer pings is
    closed. The press of a plain request has a time limit.

    Thread: the loop's.
    """

    def __init__(self, post: Post, call_later: CallLater | None = None) -> None:
        """Start released; `call_later` is the running loop's unless given."""
        self._post = post
        self._call_later = call_later
        self._leases: dict[Client, asyncio.TimerHandle | None] = {}
        """End of the press of each client."""

    def is_pressed(self, client: Client) -> bool:
        """Return whether the button of this client is pressed."""
        return client in self._leases

    def press(self, client: Client) -> bool:
        """Press the button of this client, and return whether it was released.

        Only a new press posts an event: a repeat prolongs the lease, and must not
        restart a talk that the talk limit has ended.
        """
        is_new = not self.is_pressed(client)
        self._drop(client)
        end = None
        if client.socket is None:
            call_later = self._call_later or asyncio.get_running_loop().call_later
            end = call_later(LEASE_S, lambda: self.release(client))
        self._leases[client] = end
        if is_new:
            self._post(events.TalkAsked(is_on=True))
        return is_new

    def release(self, client: Client) -> None:
        """Release the button of this client, if it is pressed."""
        if not self.is_pressed(client):
            return
        self._drop(client)
        if not self._leases:
            self._post(events.TalkAsked(is_on=False))

    def release_where(self, is_ended: Callable[[Client], bool]) -> None:
        """Release the buttons of all clients for which this returns True."""
        for client in filter(is_ended, tuple(self._leases)):
            self.release(client)

    def _drop(self, client: Client) -> None:
        end = self._leases.pop(client, None)
        if end is not None:
            end.cancel()


def _talk_refusal(view: View) -> str:
    """Return why a press would not transmit; empty if it would."""
    if view.is_muted_at_box:
        return MUTED_AT_BOX
    if view.is_muted_on_page:
        return MUTED_ON_PAGE
    return view.talk_text if view.talk in CANNOT_TALK else ""


def _checked(text: str) -> str:
    # Control characters are left out: terminals obey them.
    text = "".join(x for x in text if x in "\n\t" or unicodedata.category(x) != "Cc")
    text = text.strip()
    if not text:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, "The line is empty.", key="text")
    if len(text) > TEXT_CHARACTERS or len(text.encode()) > TEXT_BYTES:
        sentence = (
            f"The line has {len(text)} characters; at most {TEXT_CHARACTERS}"
            f" and {TEXT_BYTES} bytes can be sent at once."
        )
        raise RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence, key="text")
    return text
