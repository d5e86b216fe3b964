"""Failures to join and losses of a room: the SDK's messages as causes and sentences.

Source: messages of the SDK, each observed with livekit-server 1.13.5 or a server of our
own; `tests/room` observes them again.
"""

import re
from functools import partial
from typing import Final

from livekit.rtc import DisconnectReason

from appliance.core.events import Cause, Failure
from appliance.process.logs import redacted

_lost: Final = partial(Failure, Cause.SERVER_LOST)
_refused: Final = partial(Failure, Cause.REFUSED, is_final=True)

NOT_IN_TIME: Final = _lost(
    "the server did not complete joining within 15 s; it may be overloaded, or a "
    "firewall may block UDP and TCP to it"
)
NOT_PUBLISHED: Final = _lost(
    "the server did not accept the microphone's track; see the server's log",
)
ONLY_ONCE: Final = _lost(
    "this server takes the microphone's track only once in a session; joining again"
)
NO_AUDIO: Final = _lost("LiveKit's library delivers no audio of the others")
NOT_SENT: Final = _lost("LiveKit's library sends nothing of the microphone's sound")
NO_NODE: Final = _lost(
    "no node of dTelecom can be reached; the token source may name another one when it "
    "is asked again"
)
TOKEN_EXPIRED: Final = _lost(
    "the node does not accept this session's token any more; joining again"
)
_SERVER_ERROR: Final = _lost("the server answers with an error; see the server's log")

_ADDRESS: Final = re.compile(r"\w+://\S+")
"""Its host name may contain any of the words below."""
_CONNECTING: Final = {
    "permissions denied": _refused(
        "the token does not allow joining this room: its issuer has to grant roomJoin "
        "and the room's name"
    ),
    # Not final: a clock that lags after a power cut is set again within minutes.
    "client error: 40[13].*(is expired|not valid yet)": Failure(
        Cause.REFUSED,
        "the server finds the token expired or not yet valid: the clocks of token "
        "source and server differ, or the token is an old one",
    ),
    "client error: 40[13]": _refused(
        "the server refused the token (401 or 403): it may be expired or made for "
        "another server; check the token source, its API key and its clock"
    ),
    "invalid characters": _refused(
        "the token is malformed: check what the token source answers"
    ),
    "parse the url": Failure(
        Cause.MISCONFIGURED,
        "the server's address is invalid: it has to look like wss://example.org; check "
        "room.url and the token source's answer",
        is_final=True,
    ),
    "client error: 404": _lost(
        "there is no LiveKit server at this address, or it has no such room (404); "
        "check room.url and the token source's answer"
    ),
    # Whatever the server or a proxy writes after the status.
    r"(server|client) error: \d": _SERVER_ERROR,
    "failed to lookup|unreachable|No route": Failure(
        Cause.NO_INTERNET,
        "the server's name cannot be resolved or its network cannot be reached; check "
        "the internet connection and the server's address",
    ),
    "refused": _lost(
        "nothing answers at the server's address; it may be down or starting"
    ),
    r"certificate|corrupt message|\b(tls|rustls|TLS)\b": _lost(
        "no secure connection to the server; check this box's clock, the server's "
        "certificate, and that it speaks wss at this port"
    ),
    "timed out|timeout": _lost(
        "the server does not answer; it may be overloaded, or the network loses what "
        "is sent"
    ),
    "(server|client|handshake) error": _SERVER_ERROR,
}
"""Regular expressions that are tried in this order."""

_CANNOT_CONNECT: Final = _lost("the server cannot be joined now; it may be restarting")

_CLOSED: Final = Failure(Cause.ROOM_CLOSED, "somebody closed the room")
_SERVER_LOST: Final = _lost(
    "the connection to the server is lost and could not be resumed"
)

_DISCONNECTED: Final[dict[int, Failure]] = {
    DisconnectReason.DUPLICATE_IDENTITY: Failure(
        Cause.REPLACED,
        "another client joined with this box's identity; give each its own "
        "room.identity",
    ),
    DisconnectReason.PARTICIPANT_REMOVED: Failure(
        Cause.ROOM_CLOSED, "somebody removed this box from the room"
    ),
    DisconnectReason.ROOM_DELETED: _CLOSED,
    DisconnectReason.ROOM_CLOSED: _CLOSED,
    DisconnectReason.SERVER_SHUTDOWN: _lost("the server is shutting down"),
}


def connect_failure(message: str) -> Failure:
    """Return the failure for an error of `rtc.Room.connect`.

    Its message may contain the address and the whole token, which say nothing about it.
    """
    said = _ADDRESS.sub("", redacted(message))
    found = (_CONNECTING[words] for words in _CONNECTING if re.search(words, said))
    return next(found, _CANNOT_CONNECT)


def disconnect_failure(reason: DisconnectReason.ValueType) -> Failure:
    """Return the failure for the reason of a disconnect."""
    return _DISCONNECTED.get(reason, _SERVER_LOST)
