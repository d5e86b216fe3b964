"""Commands from clients: checked against the view, and posted as events."""

import asyncio
import time
import unicodedata
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import assert_never

from msgspec import UNSET

from appliance.core.chat import Delivery
from appliance.core.events import (
    ChatTyped,
    GainAsked,
    JoinAsked,
    LeaveAsked,
    MuteAsked,
    VolumeAsked,
)
from appliance.core.view import TalkState, View
from appliance.net.rate_limit import Rate, RateLimit
from appliance.page.messages import (
    AnyRequest,
    ChatRequest,
    GainRequest,
    JoinRequest,
    LeaveRequest,
    MuteRequest,
    RequestRefused,
    TalkRequest,
    VolumeRequest,
)
from appliance.page.snapshot import LatestView
from appliance.page.talk_leases import LEASE_S, TalkLeases
from appliance.ports import Post

TEXT_CHARACTERS = 2000
TEXT_BYTES = 8192
"""Longer lines would not fit into a packet of the data channel (15 kB with JSON)."""
CHAT_EACH = Rate(burst=5, per_s=1)
"""Our choice: faster than people type."""
CHAT_ALL = Rate(burst=10, per_s=2)
CANNOT_TALK = frozenset({TalkState.UNAVAILABLE, TalkState.LOCKED})
TALKING = frozenset({TalkState.TALKING, TalkState.WARNING})

MUTED_AT_BOX = "The box is muted by its own button; unmute it there."
MUTED_ON_PAGE = "The box is muted on a page; unmute it first."
RELEASE_FIRST = "That talk has ended. Release the talk button, then press it again."
HELD_ELSEWHERE = "Another page or script still holds the talk button."

Answer = dict[str, object]


@dataclass(frozen=True, slots=True)
class Client:
    """Sender of a command."""

    login: str
    """Digest of the cookie or token: the same for all tabs of a phone."""
    socket: str | None = None
    """Unique for a WebSocket; None for a plain request."""
    address: str = ""
    """IP address of a plain request."""


class Controls:
    """Executor of all commands from the LAN.

    Thread: the loop's.
    """

    def __init__(
        self,
        latest: LatestView,
        post: Post,
        leases: TalkLeases,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Check commands against `latest`; talk uses `leases`, the others `post`."""
        self._latest = latest
        self._post = post
        self._leases = leases
        self._addresses: dict[str, str] = {}
        """Of the holders of the talk button by plain requests."""
        self._chat_rate = RateLimit(CHAT_EACH, CHAT_ALL, now_s)
        self._lock = asyncio.Lock()

    async def execute(self, request: AnyRequest, client: Client) -> Answer:
        """Execute a command and return the body of the response.

        Commands that arrive together are executed one after the other, each checked
        against the view that follows from the one before.

        Raises:
            RequestRefused: with the reason.
        """
        async with self._lock:
            try:
                return self._execute(request, client)
            finally:
                # The app, which `post` has scheduled, handles the event and publishes
                # the view in this pass of the loop.
                await asyncio.sleep(0)

    def _execute(self, request: AnyRequest, client: Client) -> Answer:
        match request:
            case TalkRequest():
                return self._talk(request, client)
            case MuteRequest():
                return self._mute(request)
            case ChatRequest():
                return self._chat(request, client)
            case JoinRequest():
                return self._join(request)
            case LeaveRequest():
                self._post(LeaveAsked())
                return {}
            case VolumeRequest() | GainRequest():
                return self._set_level(request)
            case _:
                assert_never(request)

    def is_release(self, request: AnyRequest, client: Client) -> bool:
        """Return whether the command releases the talk button that the client holds."""
        is_off = isinstance(request, TalkRequest) and not request.on
        return is_off and self._leases.is_pressed(_holder(client))

    def release_address(self, address: str) -> None:
        """Release the talk button for a request or a connection refused unread.

        It may have been the release, and a talk must not outlast that.
        """
        for holder, known in tuple(self._addresses.items()):
            if known == address:
                del self._addresses[holder]
                self._leases.release(holder)

    def disconnected(self, client: Client) -> None:
        """Release the talk button of a closed WebSocket."""
        self._leases.release(_holder(client))

    def _set_level(self, request: VolumeRequest | GainRequest) -> Answer:
        if isinstance(request, VolumeRequest):
            self._post(VolumeAsked(request.percent))
            return {"percent": request.percent}
        self._post(GainAsked(request.db))
        return {"db": request.db}

    def _talk(self, request: TalkRequest, client: Client) -> Answer:
        """Press or release; a refused press is dropped and must not transmit later."""
        holder, view = _holder(client), self._latest.view
        lease_s = LEASE_S if client.socket is None else None
        if request.on and view.is_page_press_ignored:
            # A repeat is not a release: the next one must not count as a new press.
            self._leases.prolong(holder, lease_s)
            is_held = self._leases.is_pressed(holder)
            sentence = RELEASE_FIRST if is_held else HELD_ELSEWHERE
            raise RequestRefused(HTTPStatus.CONFLICT, sentence)
        refusal = _talk_refusal(view) if request.on else ""
        if refusal or not request.on:
            self._addresses.pop(holder, None)
            self._leases.release(holder)
        if refusal:
            raise RequestRefused(HTTPStatus.CONFLICT, refusal)
        if not request.on:
            return {"on": False}
        if client.socket is None:
            self._addresses[holder] = client.address
        is_new = self._leases.press(holder, lease_s)
        # A repeat does not start a talk: the talk limit may have ended it meanwhile.
        answer: Answer = {"on": is_new or view.talk in TALKING}
        return answer if lease_s is None else {**answer, "lease_s": lease_s}

    def _mute(self, request: MuteRequest) -> Answer:
        if not request.on and self._latest.view.is_muted_at_box:
            raise RequestRefused(HTTPStatus.CONFLICT, MUTED_AT_BOX)
        self._post(MuteAsked(request.on))
        return {"on": request.on}

    def _join(self, request: JoinRequest) -> Answer:
        presets = self._latest.view.presets
        preset = self._latest.view.preset if request.preset is UNSET else request.preset
        if preset is not None and preset not in presets:
            known = ", ".join(presets) or "none are configured"
            sentence = f"Unknown preset. Write one of: {known}."
            raise RequestRefused(HTTPStatus.BAD_REQUEST, sentence, key="preset")
        self._post(JoinAsked(preset, request.display_name))
        return {}

    def _chat(self, request: ChatRequest, client: Client) -> Answer:
        text = _checked(request.text)
        line_id = str(uuid.uuid4()) if request.id is UNSET else request.id
        # Without the limits below: the line may be the one that fills the outbox.
        if (state := self._state_of(line_id)) is not None:
            return {"id": line_id, "state": state}
        if refusal := self._latest.view.chat_refusal:
            raise RequestRefused(HTTPStatus.CONFLICT, refusal)
        if not self._chat_rate.take(client.login):
            sentence = "Too many chat lines. Wait a few seconds and send it again."
            retry = {"retry-after": "2"}
            raise RequestRefused(HTTPStatus.TOO_MANY_REQUESTS, sentence, headers=retry)
        self._post(ChatTyped(line_id, text, time.time_ns() // 1_000_000))
        return {"id": line_id, "state": Delivery.QUEUED}

    def _state_of(self, line_id: str) -> Delivery | None:
        """Return the delivery state of a line of this box; None: it has no such line.

        A line that the newest view does not have yet is recognised by the chat log.
        """
        lines = self._latest.view.chat
        return next(
            (line.state for line in lines if line.is_own and line.id == line_id), None
        )


def _holder(client: Client) -> str:
    return client.socket or client.login


def _talk_refusal(view: View) -> str:
    """Return why a press would not transmit; empty if it would."""
    if view.is_muted_at_box:
        return MUTED_AT_BOX
    if view.is_muted_on_page:
        return MUTED_ON_PAGE
    return view.talk_text if view.talk in CANNOT_TALK else ""


def _checked(text: str) -> str:
    text = "".join(filter(_is_text, text)).strip()
    if not text:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, "The line is empty.", key="text")
    if len(text) > TEXT_CHARACTERS or len(text.encode()) > TEXT_BYTES:
        sentence = (
            f"The line has {len(text)} characters; at most {TEXT_CHARACTERS}"
            f" and {TEXT_BYTES} bytes can be sent at once."
        )
        raise RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence, key="text")
    return text


def _is_text(character: str) -> bool:
    """Return whether a chat line may contain it; terminals obey control characters."""
    return character in "\n\t" or unicodedata.category(character) != "Cc"
