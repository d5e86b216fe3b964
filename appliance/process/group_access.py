"""Remedy for a device that only members of a group may open."""

import os
import pwd
from typing import Final

SERVICE_USER: Final = "ptt-appliance"
"""User of the installed service, as which `doctor` runs too."""


def join_group(group: str, user: str = "") -> str:
    """Return the command that adds the user to the group for good, and what then.

    Args:
        group: of the device's file.
        user: who needs the device; empty: the user of this process.
    """
    name = user or _own_name()
    command = f"sudo usermod -aG {group} {name}"
    if name == SERVICE_USER:
        return f"{command} && sudo systemctl restart {SERVICE_USER}"
    return f"{command}, then log in again"


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        # A container may run as a user without a name.
        return str(os.geteuid())
