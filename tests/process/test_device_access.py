"""Device files that the box may not use, and how a user gets access."""

import os
import pwd
from pathlib import Path

import pytest

from appliance.process.device_access import (
    Account,
    DeviceFile,
    device_file,
    join_group,
    may_use,
    own_account,
    refusal,
    refusal_of,
)

CHIP = Path("/dev/gpiochip0")
BOX = Account("ptt-appliance", frozenset({"ptt-appliance", "audio", "i2c"}))


def test_a_chip_that_belongs_to_root_alone_has_a_rule_of_udev_as_remedy():
    said = refusal_of(DeviceFile(CHIP, "root", "root", 0o600), BOX)
    assert said.startswith(
        "no permission: /dev/gpiochip0 belongs to root:root, mode 0600, and the box "
        "runs as ptt-appliance in the groups audio, i2c, ptt-appliance. "
    )
    assert 'SUBSYSTEM=="gpio", GROUP="gpio", MODE="0660"' in said


def test_a_bus_that_belongs_to_root_alone_has_a_rule_of_its_own_subsystem():
    said = refusal_of(DeviceFile(Path("/dev/i2c-1"), "root", "root", 0o600), BOX)
    assert 'SUBSYSTEM=="i2c-dev", GROUP="i2c"' in said


def test_a_group_that_the_service_lacks_is_given_to_the_service_and_to_no_person():
    account = Account("ptt-appliance", frozenset({"audio"}))
    said = refusal_of(DeviceFile(CHIP, "root", "gpio", 0o660), account)
    assert "Run: sudo usermod -aG gpio ptt-appliance && sudo systemctl restart" in said


def test_root_may_use_every_device():
    root = Account("root", frozenset({"root"}))
    assert may_use(root, DeviceFile(CHIP, "root", "gpio", 0o000))


def test_what_the_modes_allow_is_refused_by_the_unit():
    said = refusal_of(DeviceFile(Path("/dev/i2c-1"), "root", "i2c", 0o660), BOX)
    assert "DeviceAllow" in said


@pytest.mark.parametrize(
    ("owner", "group", "mode", "is_allowed"),
    [
        ("root", "i2c", 0o660, True),
        ("root", "i2c", 0o640, False),
        ("root", "gpio", 0o660, False),
        ("root", "gpio", 0o666, True),
        ("ptt-appliance", "root", 0o600, True),
        ("ptt-appliance", "i2c", 0o060, False),
    ],
)
def test_owner_group_and_others_have_rights_in_this_order(
    owner, group, mode, is_allowed
):
    assert may_use(BOX, DeviceFile(CHIP, owner, group, mode)) == is_allowed


def test_a_real_file_is_described(tmp_path):
    path = tmp_path / "i2c-1"
    path.touch(0o600)
    file = device_file(path)
    assert (file.path, file.mode) == (path, 0o600)
    assert file.owner == own_account().user
    assert str(path) in refusal(path)


def test_a_device_that_is_gone_is_named(tmp_path):
    assert refusal(tmp_path / "i2c-1").startswith(f"no permission for {tmp_path}")


def test_the_service_gets_the_group_and_not_the_person():
    assert join_group("gpio", "ptt-appliance") == (
        "sudo usermod -aG gpio ptt-appliance && sudo systemctl restart ptt-appliance"
    )


def test_a_person_has_to_log_in_again():
    assert join_group("audio", "pi") == "sudo usermod -aG audio pi, then log in again"


def test_the_user_of_this_process_is_named():
    name = pwd.getpwuid(os.geteuid()).pw_name
    assert f"usermod -aG audio {name}" in join_group("audio")
