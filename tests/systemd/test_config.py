"""The configuration that `install.sh` installs on a new box, and its upgrade."""

import re
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.config import Config
from appliance.config.load import HOST_NAME, load

REPOSITORY = Path(__file__).parents[2]
INSTALL = REPOSITORY / "systemd" / "install.sh"
STARTER = REPOSITORY / "systemd" / "config.yaml"


@pytest.fixture
def install_config(tmp_path: Path) -> Callable[[], Path]:
    """Run that step of the installer on a folder, as this user."""
    etc = tmp_path / "etc"
    functions = INSTALL.read_text().removesuffix('main "$@"\n')
    functions = functions.replace('$(dirname "${BASH_SOURCE[0]}")', str(INSTALL.parent))
    # Another user than root cannot give a file away.
    keep_owner = (
        "install() {\n"
        "  local words=()\n"
        "  while (($#)); do\n"
        '    if [[ $1 == -[og] ]]; then shift; else words+=("$1"); fi\n'
        "    shift\n"
        "  done\n"
        '  command install "${words[@]}"\n'
        "}\n"
        "chgrp() { :; }\n"
    )
    code = f"{functions}{keep_owner}etc={etc}\ninstall_config\n"

    def run() -> Path:
        subprocess.run(["bash"], input=code, text=True, check=True)
        return etc

    return run


def test_a_new_box_has_a_file_without_keys_and_the_reference_beside_it(install_config):
    etc = install_config()
    loaded = load(etc / "config.yaml", (), {})
    assert loaded.origins == {"name": HOST_NAME}
    assert (etc / "reference.yaml").read_bytes() == (
        REPOSITORY / "config.yaml"
    ).read_bytes()


def test_an_upgrade_keeps_the_configuration_and_renews_the_reference(install_config):
    etc = install_config()
    (etc / "config.yaml").write_text("name: kitchen\n")
    (etc / "reference.yaml").write_text("old\n")
    install_config()
    assert (etc / "config.yaml").read_text() == "name: kitchen\n"
    assert "old" not in (etc / "reference.yaml").read_text().splitlines()


def test_the_block_of_the_readme_can_be_appended_to_the_installed_file(tmp_path):
    readme = (REPOSITORY / "README.md").read_text()
    section = readme.partition("## Install it\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"<<'END'\n(.*?)^ *END", section, re.DOTALL | re.MULTILINE)
    path = tmp_path / "config.yaml"
    path.write_text(STARTER.read_text() + textwrap.dedent(block))
    room = load(path, (), {}).config.room
    assert room.token_url != Config().room.token_url


@pytest.mark.parametrize("name", ["README.md", "systemd/config.yaml"])
def test_a_box_that_works_is_restarted_only_with_a_file_without_mistakes(name):
    lines = (REPOSITORY / name).read_text().splitlines()
    (restart,) = [line for line in lines if line.endswith("restart ptt-appliance")]
    assert "sudo ptt-appliance config check && sudo systemctl restart" in restart


def test_the_example_of_the_installed_file_is_valid_without_its_comment_signs(tmp_path):
    example = re.findall(r"^# (room:|  \S+: .*)$", STARTER.read_text(), re.MULTILINE)
    path = tmp_path / "config.yaml"
    path.write_text("\n".join(example))
    assert load(path, (), {}).config.room.token_url
