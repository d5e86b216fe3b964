"""`ptt-appliance pair`: prints PIN, QR code and bearer tokens on the command line."""

import contextlib
import errno
import io
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from appliance.core import fault_table
from appliance.net.network_monitor import current_address
from appliance.net.server_address import pairing_url, parsed, url
from appliance.net.url import is_local
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
_WHO = "Run this as root or as the service's user."
REMEDIES = {
    errno.EACCES: _WHO,
    errno.EPERM: _WHO,
    errno.ENOSPC: fault_table.STORE_FULL.advice(),
    errno.EROFS: "Make it writable meanwhile: sudo mount -o remount,rw /.",
}
"""What to do if the file cannot be written, by the number of the error."""


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
    service: Path = SERVICE_DIRECTORY,
) -> int:
    """Print how to pair a phone, and return the exit status.

    `directory` is the state directory of this command, `service` that of the installed
    service.
    """
    _warn_of_other(directory, service)
    file, fresh, secret = PairingFile(directory), new_credentials(), new_secret()

    def changed(stored: PairingCredentials) -> PairingCredentials:
        kept = fresh if options.is_reset else stored
        return kept.with_token(digest(secret)) if options.is_token else kept

    try:
        after = file.change(changed, fresh)
    except OSError as exc:
        remedy = REMEDIES.get(exc.errno or 0, "Check the disk: sudo dmesg | tail.")
        sys.stderr.write(f"{file.path} cannot be written: {exc.strerror}. {remedy}\n")
        return 1
    if options.is_token and len(after.tokens) == KEPT_TOKENS:
        sys.stderr.write(f"Only the newest {KEPT_TOKENS} tokens are valid.\n")
    result: dict[str, object] = {"token": secret}
    text = f"{secret}\n"
    if not options.is_token:
        urls = _urls(*parsed(listen))
        link = pairing_url(urls[0], after.pin)
        result = {"urls": urls, "pin": after.pin, "pairing_url": link}
        text = _as_text(urls, after.pin)
    json = msgspec.json.encode(result).decode()
    sys.stdout.write(f"{json}\n" if options.is_json else text)
    return 0


def _warn_of_other(directory: Path, service: Path) -> None:
    """Say if the installed service uses another state directory."""
    # It may be a symbolic link into a directory that only root can read.
    is_other = os.path.realpath(directory) != os.path.realpath(service)
    if is_other and os.path.lexists(service):
        sys.stderr.write(
            f"The installed service uses the PIN in {service}, this command the one in"
            f" {directory}. Run this with STATE_DIRECTORY={service} to change that.\n"
        )


def _urls(host: str, port: int) -> tuple[str, ...]:
    """Return the page's URLs, first the one with an IP address, which always works."""
    lan = None
    with contextlib.suppress(OSError):
        lan = current_address()
    # Without duplicates, in this order.
    return tuple(dict.fromkeys((url(host, port, lan or ""), url(host, port, ""))))


def _as_text(urls: tuple[str, ...], pin: str) -> str:
    import segno

    code = segno.make(pairing_url(urls[0], pin), error="l", micro=False)
    drawn = io.StringIO()
    # Half blocks are smaller but need UTF-8; else the code is of coloured spaces.
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    code.terminal(drawn, compact=encoding == "utf8")
    where = "\n      or  ".join(urls)
    begin = "Scan this with a phone on the same network"
    if is_local(urls[0]):
        begin = "Only this machine can open the page, because of page.listen"
    return (
        f"{begin}:\n\n"
        f"{drawn.getvalue()}\n"
        f"    Page  {where}\n"
        f"    PIN   {pin[:3]} {pin[3:]}   for one phone; then a new PIN is created\n"
    )
