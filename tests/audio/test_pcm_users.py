import os
import pwd

from appliance.audio.pcm_users import join_group


def test_the_service_gets_the_group_and_not_the_person():
    assert join_group("ptt-appliance") == (
        "sudo usermod -aG audio ptt-appliance && sudo systemctl restart ptt-appliance"
    )


def test_a_person_has_to_log_in_again():
    assert join_group("pi") == "sudo usermod -aG audio pi, then log in again"


def test_the_user_of_this_process_is_named():
    assert f"audio {pwd.getpwuid(os.geteuid()).pw_name}" in join_group()
