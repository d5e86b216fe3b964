"""Refused access to a device file: its owner, this program's user, and the remedy."""

import os
import stat
from collections.abc import Callable
from grp import getgrgid
from pathlib import Path
from pwd import getpwuid
from typing import Final

from appliance.core import fault_table

SERVICE_USER: Final = "ptt-appliance"
"""User of the installed service, as which `doctor` runs too."""
_RULES: Final = {"gpiochip": ("gpio", "gpio"), "i2c": ("i2c-dev", "i2c")}
"""Subsystem of udev and usual group of a device, by its name without the number."""
_GROUP_BITS: Final = stat.S_IRGRP | stat.S_IWGRP


def join_group(group: str, user: str = "") -> str:
    """Return the command that adds the user to the group, and the step after it.

    An empty `user` means that of this process.
    """
    name = user or _name(getpwuid, os.geteuid())
    command = f"sudo usermod -aG {group} {name}"
    if name == SERVICE_USER:
        return f"{command} && sudo systemctl restart {SERVICE_USER}"
    return f"{command}, then log in again"


def refusal(device: Path) -> str:
    """Return why this process may not use the device, and the remedy."""
    try:
        found = device.stat()
    except OSError as exc:
        return fault_table.DEVICE_GONE.text(device=device, error=exc.strerror)
    group, mode = _name(getgrgid, found.st_gid), stat.S_IMODE(found.st_mode)
    own_groups = {_name(getgrgid, number) for number in (os.getegid(), *os.getgroups())}
    return fault_table.DEVICE_REFUSED.text(
        device=device,
        owner=f"{_name(getpwuid, found.st_uid)}:{group}, mode {mode:04o}",
        user=_name(getpwuid, os.geteuid()),
        groups=", ".join(sorted(own_groups)),
        remedy=access_remedy(device, group, mode),
    )


def access_remedy(device: Path, group: str, mode: int) -> str:
    """Return how the user of this process gets access to a device of this group."""
    if group != "root" and mode & _GROUP_BITS == _GROUP_BITS:
        return f"Run: {join_group(group)}."
    subsystem, usual = _RULES[device.name.rstrip("0123456789-")]
    rule = f'SUBSYSTEM=="{subsystem}", GROUP="{usual}", MODE="0660"'
    return (
        f"Write into /etc/udev/rules.d/60-{SERVICE_USER}.rules: {rule}; then restart."
    )


def _name(find: Callable[[int], tuple[object, ...]], number: int) -> str:
    """Return the name of a user or group; a container may have some without names."""
    try:
        return str(find(number)[0])
    except KeyError:
        return str(number)
