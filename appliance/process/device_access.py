"""Refused access to a device file: its owner, this program's user, and the remedy."""

import grp
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.core import fault_table

SERVICE_USER: Final = "ptt-appliance"
"""User of the installed service, as which `doctor` runs too."""
_RULES: Final = {"gpiochip": ("gpio", "gpio"), "i2c": ("i2c-dev", "i2c")}
"""Subsystem of udev and usual group of a device, by its name without the number."""
_READ_WRITE: Final = 0o6
_GROUP_BITS: Final = stat.S_IRGRP | stat.S_IWGRP


@dataclass(frozen=True, slots=True)
class Account:
    """User and groups of a process."""

    user: str
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class DeviceFile:
    """Owner and mode of a device file."""

    path: Path
    owner: str
    group: str
    mode: int


def own_account() -> Account:
    """Return user and groups of this process."""
    groups = {os.getegid(), *os.getgroups()}
    return Account(_user(os.geteuid()), frozenset(map(_group, groups)))


def device_file(path: Path) -> DeviceFile:
    """Return owner and mode of a device file.

    Raises:
        OSError: it is gone.
    """
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    return DeviceFile(path, _user(found.st_uid), _group(found.st_gid), mode)


def may_use(account: Account, file: DeviceFile) -> bool:
    """Return whether owner and mode let this account read and write."""
    bits = file.mode
    if file.owner == account.user:
        bits >>= 6
    elif file.group in account.groups:
        bits >>= 3
    return account.user == "root" or bits & _READ_WRITE == _READ_WRITE


def join_group(group: str, user: str = "") -> str:
    """Return the command that adds the user to the group, and the step after it.

    An empty `user` means that of this process.
    """
    name = user or _user(os.geteuid())
    command = f"sudo usermod -aG {group} {name}"
    if name == SERVICE_USER:
        return f"{command} && sudo systemctl restart {SERVICE_USER}"
    return f"{command}, then log in again"


def refusal(path: Path) -> str:
    """Return why this process may not use the device, and the remedy."""
    try:
        file = device_file(path)
    except OSError as exc:
        return fault_table.DEVICE_GONE.text(device=path, error=exc.strerror)
    return refusal_of(file, own_account())


def refusal_of(file: DeviceFile, account: Account) -> str:
    """Return why this account may not use the device, and the remedy."""
    return fault_table.DEVICE_REFUSED.text(
        device=file.path,
        owner=f"{file.owner}:{file.group}, mode {file.mode:04o}",
        user=account.user,
        groups=", ".join(sorted(account.groups)) or "none",
        remedy=_remedy(file, account),
    )


def _remedy(file: DeviceFile, account: Account) -> str:
    """Return the remedy for the account under which the box runs."""
    if may_use(account, file):
        return "The service's own limits refuse it: see DeviceAllow in its unit."
    user = SERVICE_USER if account.user == "root" else account.user
    if file.group != "root" and file.mode & _GROUP_BITS == _GROUP_BITS:
        return f"Run: {join_group(file.group, user)}."
    subsystem, group = _RULES[file.path.name.rstrip("0123456789-")]
    rule = f'SUBSYSTEM=="{subsystem}", GROUP="{group}", MODE="0660"'
    return (
        f"Write into /etc/udev/rules.d/60-{SERVICE_USER}.rules: {rule}; then restart."
    )


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        # A container may run as a user without a name.
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
