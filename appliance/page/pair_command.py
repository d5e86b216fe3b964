"""`ptt-appliance pair`: prints PIN, QR code and bearer tokens on the command line."""

import contextlib
import errno
import io
import os
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final
from urllib.parse import urlsplit

import msgspec

from appliance.core import fault_table
from appliance.net.listen import check_address, pairing_url, parsed, url
from appliance.net.network_monitor import current_address
from appliance.page.pairing import (
    KEPT_TOKENS,
    PairingCredentials,
    PairingFile,
    digest,
    new_credentials,
    new_secret,
)

SERVICE_DIRECTORY = Path("/var/lib/ptt-appliance")
"""State directory of the installed service, as in its unit."""

LOOK_UP_S: Final = 1.0
"""Time-out for an mDNS name, which takes milliseconds; our choice."""
MAY_DIFFER = (
    "The box may have another PIN, which only its screen shows. If this one is refused,"
    " make the file writable and run this again: it is accepted then.\n"
)
"""A box that cannot write keeps in memory the new PIN of each start and each pairing,
and writes it as soon as it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairOptions:
    """Options of the command."""

    is_reset: bool = False
    """Create a new PIN first, and invalidate every cookie and token."""
    is_token: bool = False
    """Print a new bearer token and nothing else."""
    is_json: bool = False


def pair(
    directory: Path,
    listen: str,
    options: PairOptions,
    *,
    is_enabled: bool = True,
    service: Path = SERVICE_DIRECTORY,
) -> int:
    """Print how to pair a phone, and return the exit status.

    `directory` is the state directory of this command, `service` that of the installed
    service.
    """
    for warning in _warnings(directory, service, is_enabled=is_enabled):
        sys.stderr.write(f"{warning}\n")
    file = PairingFile(directory)
    try:
        fresh = new_credentials()
        credentials = file.change(
            lambda stored: fresh if options.is_reset else stored, fresh
        )
        if options.is_token:
            return _token(file, credentials, is_json=options.is_json)
    except OSError as exc:
        sys.stderr.write(
            f"{file.path} cannot be written: {exc.strerror}. {remedy(exc)}\n"
        )
        kept: PairingCredentials | None = None
        if not options.is_reset and not options.is_token:
            with contextlib.suppress(OSError):
                kept = file.read()
        if kept is None:
            return 1
        sys.stderr.write(MAY_DIFFER)
        credentials = kept
    urls = _urls(*parsed(listen))
    shown = _as_json if options.is_json else _as_text
    sys.stdout.write(shown(urls, credentials.pin))
    return 0


def remedy(exc: OSError) -> str:
    """Return what to do about a state directory that cannot be written."""
    match exc.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return fault_table.STORE_FULL.advice()
        case errno.EROFS:
            # Not the fault table's advice, which is to ignore it: this command cannot.
            return (
                "The file system is read-only. Make it writable while you run this: "
                "sudo mount -o remount,rw /."
            )
        case errno.EACCES | errno.EPERM:
            return "Run this as root or as the service's user."
        case _:
            return "Check the disk: sudo dmesg | tail."


def _warnings(directory: Path, service: Path, *, is_enabled: bool) -> Iterator[str]:
    """Yield the reasons why the service may not accept what is printed."""
    if not is_enabled:
        yield "The page is disabled. Write `page: {enabled: true}` to use this."
    # It may be a symbolic link into a directory that only root can read.
    is_other = os.path.realpath(directory) != os.path.realpath(service)
    if is_other and os.path.lexists(service):
        yield (
            f"The installed service uses the PIN in {service}, this command the one in"
            f" {directory}. Run this with STATE_DIRECTORY={service} to change that."
        )


def _token(file: PairingFile, credentials: PairingCredentials, *, is_json: bool) -> int:
    secret = new_secret()
    file.change(lambda kept: kept.with_token(digest(secret)), credentials)
    if len(credentials.tokens) >= KEPT_TOKENS:
        sys.stderr.write(f"The oldest of {KEPT_TOKENS} tokens is revoked.\n")
    shown = msgspec.json.encode({"token": secret}).decode() if is_json else secret
    sys.stdout.write(f"{shown}\n")
    return 0


def _urls(host: str, port: int) -> tuple[str, ...]:
    """Return the page's URLs, first the one with an IP address, which always works.

    The mDNS name is left out where it leads to another machine, which had it before.
    """
    lan = None
    with contextlib.suppress(OSError):
        lan = current_address()
    shown, named = url(host, port, lan or ""), url(host, port, "")
    is_one = shown == named or _is_elsewhere(urlsplit(named).hostname or "")
    return (shown,) if is_one else (shown, named)


def _is_elsewhere(name: str) -> bool:
    """Return whether this host name leads to another machine, as far as is known."""
    found: SimpleQueue[str] = SimpleQueue()

    def look_up() -> None:
        try:
            found.put(socket.gethostbyname(name))
        except OSError:
            found.put("")

    # A name server that does not answer would take half a minute.
    threading.Thread(target=look_up, daemon=True).start()
    try:
        address = found.get(timeout=LOOK_UP_S)
        if address:
            check_address(address)
    except Empty:
        return False
    except OSError:
        return True
    return False


def _as_json(urls: tuple[str, ...], pin: str) -> str:
    shown = {"urls": urls, "pin": pin, "pairing_url": pairing_url(urls[0], pin)}
    return msgspec.json.encode(shown).decode() + "\n"


def _as_text(urls: tuple[str, ...], pin: str) -> str:
    import segno

    code = segno.make(pairing_url(urls[0], pin), error="l", micro=False)
    drawn = io.StringIO()
    # Half blocks are smaller but need UTF-8; else the code is of coloured spaces.
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    code.terminal(drawn, compact=encoding == "utf8")
    where = "\n      or  ".join(urls)
    return (
        "Scan this with a phone on the same network:\n\n"
        f"{drawn.getvalue()}\n"
        f"    Page  {where}\n"
        f"    PIN   {pin[:3]} {pin[3:]}   for one phone; then a new PIN is created\n"
    )
