"""Outbox of the chat: send own lines, and queue them while there is no room."""

from dataclasses import replace

from appliance.core.chat import OUTBOX_LINES, ChatLine, Delivery
from appliance.core.commands import Command, SendChat
from appliance.core.events import ChatFailed, ChatSent, ChatTyped
from appliance.core.state import State, Step


def typed(state: State, event: ChatTyped) -> Step:
    """Queue the line and send it; drop it if the outbox is full (the page says so)."""
    if state.chat.is_full:
        return state, ()
    chat = state.chat.typed(event)
    is_new = chat is not state.chat
    state = replace(state, chat=chat)
    is_due = is_new and state.is_connected
    return state, (_send(state, chat.lines[-1]),) if is_due else ()


def refusal(state: State) -> str:
    """Return why no line can be queued; empty: one can."""
    if state.chat.is_full:
        return f"{OUTBOX_LINES} lines are waiting for the room already"
    return ""


def answered(state: State, event: ChatSent | ChatFailed) -> State:
    """Record the answer; a failure during an outage leaves the line queued."""
    if isinstance(event, ChatSent):
        return replace(state, chat=state.chat.marked(event.id, Delivery.SENT))
    if not state.is_connected:
        return state
    chat = state.chat.marked(event.id, Delivery.FAILED, event.reason)
    return replace(state, chat=chat)


def queued(state: State) -> tuple[Command, ...]:
    """Return the commands that send every queued line."""
    return tuple(_send(state, line) for line in state.chat.queued)


def _send(state: State, line: ChatLine) -> Command:
    return SendChat(state.ticket, line.id, line.text, line.ts_ms)
