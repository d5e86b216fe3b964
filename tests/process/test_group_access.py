"""The command that lets a user use a device."""

import os
import pwd

from appliance.process.group_access import join_group


def test_the_service_gets_the_group_and_not_the_person():
    assert join_group("gpio", "ptt-appliance") == (
        "sudo usermod -aG gpio ptt-appliance && sudo systemctl restart ptt-appliance"
    )


def test_a_person_has_to_log_in_again():
    assert join_group("audio", "pi") == "sudo usermod -aG audio pi, then log in again"


def test_the_user_of_this_process_is_named():
    name = pwd.getpwuid(os.geteuid()).pw_name
    assert f"usermod -aG audio {name}" in join_group("audio")
