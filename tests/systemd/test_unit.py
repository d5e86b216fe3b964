"""The systemd units."""

import grp
import os
import pwd
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "systemd" / "ptt-appliance.service"
SCORE_LIMIT = 20
"""Tenths of systemd's exposure level; the unit has 16 to 17."""


def settings(unit=UNIT):
    """Return (section, key) → values, in the order of the file."""
    found: dict[tuple[str, str], list[str]] = {}
    section = ""
    for line in unit.read_text().splitlines():
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


def analyze(verb, *options, folder, unit=UNIT):
    """Analyse the unit, with another program than the installed one."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.fail("systemd-analyze is missing: install the Debian package systemd")
    lines = [
        "ExecStart=/bin/true" if line.startswith("ExecStart=") else line
        for line in unit.read_text().splitlines()
    ]
    copy = folder / unit.name
    copy.write_text("\n".join(lines))
    command = [program, verb, *options, str(copy)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_systemd_understands_every_line(tmp_path):
    done = analyze("verify", "--man=no", "--recursive-errors=no", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_journal_keeps_few_lines_of_a_library_that_writes_all_the_time():
    # Seen with systemd 252: 600 of 200,000 lines, and 35,000 without these two.
    assert words("Service", "LogRateLimitIntervalSec") == {"60"}
    assert words("Service", "LogRateLimitBurst") == {"100"}


def test_the_exposure_level_of_the_unit_is_low(tmp_path):
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
        ("Service", "Environment", "STATE_DIRECTORY=/var/lib/ptt-appliance"),
        ("Service", "ReadWritePaths", "-/var/lib/ptt-appliance"),
        ("Service", "WorkingDirectory", "%t/ptt-appliance"),
        ("Service", "NoNewPrivileges", "yes"),
        ("Service", "ProtectSystem", "strict"),
        ("Service", "DevicePolicy", "closed"),
        ("Unit", "StartLimitIntervalSec", "0"),
        ("Install", "WantedBy", "multi-user.target"),
    ],
)
def test_the_unit_has_these_settings(section, key, value):
    assert settings()[section, key] == [value]


def test_the_unit_depends_on_neither_network_nor_sound():
    waits = words("Unit", "After") | words("Unit", "Requires") | words("Unit", "Wants")
    assert {wait for wait in waits if not wait.startswith("modprobe@")} == set()


def test_a_state_directory_that_cannot_be_made_does_not_stop_the_service(tmp_path):
    """`-`: a failure is ignored; `+`: as root, outside of the sandbox."""
    assert not [key for _, key in settings() if key.startswith("StateDirectory")]
    command = settings()["Service", "ExecStartPre"][0]
    assert command.startswith("-+/usr/bin/install -d -m 0700 ")
    user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(os.getegid())
    here = command.removeprefix("-+").replace("/var/lib", str(tmp_path))
    here = here.replace("-o ptt-appliance", f"-o {user.pw_name}")
    here = here.replace("-g ptt-appliance", f"-g {group.gr_name}")
    for _ in range(2):
        subprocess.run(here.split(), check=True)
    made = tmp_path / "ptt-appliance"
    assert made.stat().st_mode & 0o7777 == 0o700


@pytest.mark.parametrize("name", ["ptt-appliance", "ptt-token-server"])
def test_the_log_of_a_service_says_that_the_system_has_another_python(name):
    """`-`: only says it; a service that can start does so."""
    check = settings(UNIT.with_name(f"{name}.service"))["Service", "ExecStartPre"][-1]
    assert check == "-/usr/local/bin/ptt-appliance check-python"


def test_only_the_needed_devices_are_allowed():
    allowed = set(settings()["Service", "DeviceAllow"])
    assert allowed == {"char-alsa rw", "char-gpiochip rw", "char-i2c rw"}
    assert words("Service", "SupplementaryGroups") == {"audio", "gpio", "i2c"}


def test_executable_memory_is_allowed_for_portaudio():
    """The functions it calls are made in executable memory; the kernel would refuse."""
    assert ("Service", "MemoryDenyWriteExecute") not in settings()


def test_proc_asound_stays_visible():
    assert ("Service", "ProcSubset") not in settings()
