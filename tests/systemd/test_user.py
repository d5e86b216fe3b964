"""User of the service, as the installer makes it."""

import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"


@pytest.fixture
def make_user(tmp_path):
    """Run that step of the installer for a user in these groups; return its groups."""
    groups = tmp_path / "groups"
    install = (SYSTEMD / "install.sh").read_text().removesuffix('main "$@"\n')
    functions = install.replace('$(dirname "${BASH_SOURCE[0]}")', str(SYSTEMD))
    # usermod(8): without --append the user is removed from all other groups.
    stand_ins = f"""
        groupadd() {{ :; }}
        id() {{ [[ -e {groups} ]]; }}
        useradd() {{ touch {groups}; }}
        usermod() {{
          local words=" $* "
          [[ $words == *" --append "* ]] || : >{groups}
          words=${{words#* --groups }}
          tr , '\\n' <<<"${{words%% *}}" >>{groups}
        }}
        state={tmp_path}/state
        install() {{ mkdir -p "${{@: -1}}"; }}
        """

    def run(*before):
        if before:
            groups.write_text("\n".join((*before, "")))
        code = f"{functions}{stand_ins}make_user\n"
        subprocess.run(["bash"], input=code, text=True, check=True)
        assert (tmp_path / "state").is_dir()
        return set(groups.read_text().split())

    return run


def test_a_new_user_is_in_the_groups_of_the_devices(make_user):
    assert make_user() == {"audio", "gpio", "i2c"}


def test_an_upgrade_keeps_the_groups_that_the_owner_added(make_user):
    after = make_user("audio", "gpio", "dialout")
    assert after == {"audio", "gpio", "i2c", "dialout"}
