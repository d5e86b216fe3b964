"""`ptt-appliance pair`: PIN, QR code and bearer tokens on the command line."""

import io
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from appliance.page import address
from appliance.page.pairing_file import (
    Keys,
    PairingFile,
    digest,
    fresh_keys,
    fresh_secret,
)

ANYWHERE = ("192.0.2.1", 9)
"""TEST-NET-1 (RFC 5737): asking for a route to it sends nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The command's switches."""

    is_reset: bool = False
    """Make a new PIN first, and forget every phone and token."""
    is_token: bool = False
    """Print a new bearer token and nothing else."""
    is_json: bool = False
    """Print for a script."""


def pair(directory: Path, listen: str, name: str, wish: Wish) -> int:
    """Print how to pair, and return the exit status.

    Args:
        directory: the service's state directory.
        listen: the page's `host:port`.
        name: the box's name.
        wish: what to print.
    """
    file = PairingFile(directory)
    try:
        keys = _keys(file, is_reset=wish.is_reset)
        if wish.is_token:
            return _token(file, keys, is_json=wish.is_json)
    except OSError as problem:
        sys.stderr.write(
            f"{file.path} cannot be used: {problem.strerror}."
            " Run this as root or as the service's user.\n"
        )
        return 1
    host, port = address.parsed(listen)
    urls = _urls(host, port, name)
    shown = _as_json(urls, keys.pin) if wish.is_json else _sheet(urls, keys.pin)
    sys.stdout.write(shown)
    return 0


def _keys(file: PairingFile, *, is_reset: bool) -> Keys:
    fresh = fresh_keys()
    if is_reset:
        return file.change(lambda _: fresh, fresh)
    return file.change(lambda keys: keys, fresh)


def _token(file: PairingFile, keys: Keys, *, is_json: bool) -> int:
    secret = fresh_secret()
    file.change(lambda kept: kept.with_token(digest(secret)), keys)
    shown = msgspec.json.encode({"token": secret}).decode() if is_json else secret
    sys.stdout.write(f"{shown}\n")
    return 0


def _urls(host: str, port: int, name: str) -> tuple[str, ...]:
    """Return the page's addresses, the one that every phone understands first."""
    named = address.url(host, port, name)
    if host not in {"0.0.0.0", "::"}:
        return (named,)
    numbered = _lan_address()
    return (named,) if numbered is None else (f"http://{numbered}:{port}", named)


def _lan_address() -> str | None:
    """Return this machine's address on the LAN; None without a network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(ANYWHERE)
        except OSError:
            return None
        return str(probe.getsockname()[0])


def _as_json(urls: tuple[str, ...], pin: str) -> str:
    pairing_url = address.pairing_url(urls[0], pin)
    shown = {"urls": urls, "pin": pin, "pairing_url": pairing_url}
    return msgspec.json.encode(shown).decode() + "\n"


def _sheet(urls: tuple[str, ...], pin: str) -> str:
    import segno

    code = segno.make(address.pairing_url(urls[0], pin), error="l", micro=False)
    drawn = io.StringIO()
    code.terminal(drawn, compact=True)
    where = "\n      or  ".join(urls)
    return (
        "Scan this with a phone on the same network:\n\n"
        f"{drawn.getvalue()}\n"
        f"    Page  {where}\n"
        f"    PIN   {pin[:3]} {pin[3:]}\n"
    )
