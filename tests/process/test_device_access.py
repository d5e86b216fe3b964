"""Device files that the box may not use, and how a user gets access."""

import os
import pwd
from pathlib import Path

import pytest

from appliance.process.device_access import access_remedy, join_group, refusal

OWN_NAME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.mark.parametrize(
    ("device", "group", "mode", "remedy"),
    [
        ("gpiochip0", "root", 0o600, 'SUBSYSTEM=="gpio", GROUP="gpio", MODE="0660"'),
        ("i2c-1", "root", 0o600, 'SUBSYSTEM=="i2c-dev", GROUP="i2c"'),
        ("i2c-1", "i2c", 0o640, 'SUBSYSTEM=="i2c-dev", GROUP="i2c"'),
        ("gpiochip0", "gpio", 0o660, f"Run: sudo usermod -aG gpio {OWN_NAME}"),
    ],
)
def test_the_remedy_is_a_group_or_a_rule_of_udev(device, group, mode, remedy):
    assert remedy in access_remedy(Path("/dev", device), group, mode)


def test_a_refused_device_is_named_with_its_owner_and_the_user(tmp_path):
    path = tmp_path / "i2c-1"
    path.touch(0o600)
    said = refusal(path)
    assert said.startswith(f"no permission: {path} belongs to {OWN_NAME}:")
    assert f", mode 0600, and the box runs as {OWN_NAME} in the groups " in said


def test_a_device_that_is_gone_is_named(tmp_path):
    assert refusal(tmp_path / "i2c-1").startswith(f"no permission for {tmp_path}")


def test_the_service_gets_the_group_and_not_the_person():
    assert join_group("gpio", "ptt-appliance") == (
        "sudo usermod -aG gpio ptt-appliance && sudo systemctl restart ptt-appliance"
    )


def test_a_person_has_to_log_in_again():
    assert join_group("audio", "pi") == "sudo usermod -aG audio pi, then log in again"


def test_the_user_of_this_process_is_named():
    assert f"usermod -aG audio {OWN_NAME}" in join_group("audio")
