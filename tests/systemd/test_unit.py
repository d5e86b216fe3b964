import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "systemd" / "ptt-appliance.service"
SCORE_LIMIT = 20
"""Tenths of systemd's exposure level; it was 1.6 when this was written."""


def settings():
    """Return (section, key) → values, in the order of the file."""
    found: dict[tuple[str, str], list[str]] = {}
    section = ""
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault((section, key), []).append(value)
    return found


def words(section, key):
    return {
        word for value in settings().get((section, key), []) for word in value.split()
    }


def analyze(verb, *options, folder):
    """Let systemd judge the unit as it would be without our program."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.fail("systemd-analyze is missing: install the Debian package systemd")
    lines = [
        "ExecStart=/bin/true" if line.startswith("ExecStart=") else line
        for line in UNIT.read_text().splitlines()
    ]
    unit = folder / UNIT.name
    unit.write_text("\n".join(lines))
    command = [program, verb, *options, str(unit)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_systemd_understands_every_line(tmp_path):
    done = analyze("verify", "--man=no", "--recursive-errors=no", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_finds_it_well_confined(tmp_path):
    limit = f"--threshold={SCORE_LIMIT}"
    done = analyze("security", "--offline=true", limit, folder=tmp_path)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("Service", "Type", "notify"),
        ("Service", "NotifyAccess", "main"),
        ("Service", "WatchdogSec", "30"),
        ("Service", "Restart", "always"),
        ("Service", "RestartSec", "3"),
        ("Service", "RestartPreventExitStatus", "78"),
        ("Service", "TimeoutStopSec", "5"),
        ("Service", "LimitNOFILE", "65536"),
        ("Service", "LimitRTTIME", "10s:12s"),
        ("Service", "User", "ptt-appliance"),
        ("Service", "StateDirectory", "ptt-appliance"),
        ("Service", "WorkingDirectory", "%t/ptt-appliance"),
        ("Service", "NoNewPrivileges", "yes"),
        ("Service", "ProtectSystem", "strict"),
        ("Service", "DevicePolicy", "closed"),
        ("Unit", "StartLimitIntervalSec", "0"),
        ("Install", "WantedBy", "multi-user.target"),
    ],
)
def test_the_service_promises(section, key, value):
    assert settings()[section, key] == [value]


def test_it_waits_for_neither_network_nor_sound():
    waits = words("Unit", "After") | words("Unit", "Requires") | words("Unit", "Wants")
    assert {wait for wait in waits if not wait.startswith("modprobe@")} == set()


def test_it_may_touch_the_devices_it_needs_and_no_others():
    allowed = set(settings()["Service", "DeviceAllow"])
    assert allowed == {"char-alsa rw", "char-gpiochip rw", "char-i2c rw"}
    assert words("Service", "SupplementaryGroups") == {"audio", "gpio", "i2c"}


def test_nothing_stops_portaudio_from_calling_python():
    """The functions it calls are made in executable memory; the kernel would refuse."""
    assert ("Service", "MemoryDenyWriteExecute") not in settings()


def test_proc_asound_stays_visible():
    assert ("Service", "ProcSubset") not in settings()
