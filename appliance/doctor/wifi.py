"""Check of the power saving of Wi-Fi, which delays packets by tenths of a second."""

import errno
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from appliance.core import fault_table
from appliance.doctor.checks import Finding, finding
from appliance.doctor.probes import finished

INTERFACES: Final = Path("/sys/class/net")
IW: Final = "/usr/sbin/iw"
"""In Debian it is in a folder that only root has in its PATH."""

_UNSUPPORTED: Final = f"(-{errno.EOPNOTSUPP})"
"""End of iw's message for a driver without this setting."""


def wifi(
    current_interface: Callable[[], str | None],
    interfaces: Path = INTERFACES,
    iw: str | None = None,
    nmcli: str = "nmcli",
) -> Finding:
    """Check the interface that is in use.

    `current_interface` returns the one with this machine's address; None: there is no
    network. `iw` is the program to call; None: the installed one.
    """
    try:
        interface = current_interface()
    except OSError:
        # The check of the network reports it.
        interface = None
    if interface is None:
        return Finding("Wi-Fi", "no network is in use")
    if not (interfaces / interface / "wireless").exists():
        return Finding("Wi-Fi", f"not used, the network is on {interface}")
    program = iw or shutil.which("iw") or IW
    state = _power_save(program, interface)
    match state:
        case "on":
            commands = _remedy(interface, nmcli)
            facts = {"interface": interface, "commands": commands}
            return finding("Wi-Fi", fault_table.WIFI_SLEEPS, **facts)
        case "off":
            return Finding("Wi-Fi", f"{interface} power save off")
        case "unsupported":
            return Finding("Wi-Fi", f"the driver of {interface} has no power save")
        case "missing":
            advice = "Install iw (sudo apt install iw) and run doctor again."
        case _:
            question = f"sudo {program} dev {interface} get power_save"
            advice = f"Run {question} for the reason."
    return Finding("Wi-Fi", f"{interface} power save unknown", advice)


def _power_save(iw: str, interface: str) -> str:
    """Return `on`, `off`, `unsupported` by the driver, `missing` (iw), or `unknown`."""
    done = finished([iw, "dev", interface, "get", "power_save"])
    if done is None:
        return "unknown" if Path(iw).exists() else "missing"
    if _UNSUPPORTED in done.stderr:
        return "unsupported"
    state = done.stdout.strip().rpartition(" ")[2]
    return state if state in {"on", "off"} else "unknown"


def _remedy(interface: str, nmcli: str) -> str:
    """Return how to switch power saving off so that it stays so after a restart.

    Source: nm-settings-nmcli(5), `802-11-wireless.powersave`: 2 is "disable".
    """
    asked = ["-e", "no", "-g", "GENERAL.CONNECTION", "device", "show", interface]
    done = finished([nmcli, *asked])
    name = done.stdout.strip() if done and done.returncode == 0 else ""
    if name:
        quoted = shlex.quote(name)
        return (
            f"sudo nmcli connection modify {quoted}"
            f" 802-11-wireless.powersave 2 && sudo nmcli connection up {quoted}"
        )
    rule = (
        f'ACTION=="add", SUBSYSTEM=="net", KERNEL=="{interface}", '
        f'RUN+="{IW} dev %k set power_save off"'
    )
    return (
        f"echo '{rule}' | sudo tee "
        "/etc/udev/rules.d/70-wifi-power-save.rules, then restart the box."
    )
