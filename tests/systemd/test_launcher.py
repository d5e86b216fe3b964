"""Installed command: user and environment of each subcommand."""

import os
import subprocess
from pathlib import Path

import pytest

LAUNCHER = Path(__file__).parents[2] / "systemd" / "ptt-appliance.sh"
PROGRAM = "/opt/ptt-appliance/venv/bin/ptt-appliance"


@pytest.fixture
def launch(tmp_path):
    """Run the launcher with programs that only print their arguments."""

    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python").symlink_to("/usr/bin/python3.13")
    (tmp_path / "lib" / "python3.13").mkdir(parents=True)

    def stand_in(name, code):
        path = folder / name
        path.write_text(f"#!/bin/sh\n{code}\n")
        path.chmod(0o755)
        return path

    program = stand_in("program", 'echo program "$@" "HERE=${HERE-}"')
    stand_in("sudo", 'echo sudo "${0##*/}" "$@"')
    stand_in("runuser", 'echo runuser "$@"')
    launcher = stand_in("launcher", LAUNCHER.read_text().replace(PROGRAM, str(program)))

    def run(*words, user=1000, **more):
        stand_in("id", f"echo {user}")
        path = f"{folder}:{os.environ['PATH']}"
        done = subprocess.run(
            [launcher, *words],
            env={"PATH": path, "HERE": "mine"} | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        has_packages = (tmp_path / "lib" / "python3.13").exists()
        assert (done.returncode == 0) is has_packages
        return done.stdout.strip().replace(f"{folder}/", "")

    return run


@pytest.mark.parametrize("user", [0, 1000])
@pytest.mark.parametrize(
    "words",
    [
        "",
        "-h",
        "--help",
        "config check --config own.yaml",
        "config show",
        "token-server",
        "demo",
        "devices",
        "run --help",
        "pair -h",
    ],
)
def test_other_commands_run_as_the_caller_with_its_variables(launch, words, user):
    given = words.split()
    assert launch(*given, user=user) == " ".join(["program", *given, "HERE=mine"])


def test_root_checks_the_configuration_as_the_user_who_has_to_read_it(launch):
    assert launch("config", "check") == "program config check HERE=mine"
    asked = launch("config", "check", user=0)
    assert asked.startswith("runuser --user ptt-appliance -- env STATE_DIRECTORY=")
    assert asked.endswith(" program config check")
    assert launch("config", "check", "--json", user=0).startswith("runuser")
    own = launch("config", "check", user=0, PTT_APPLIANCE_CONFIG="/root/own.yaml")
    assert own == "program config check HERE=mine"


@pytest.mark.parametrize("words", ["run --set a=b", "pair", "doctor --json"])
def test_commands_of_the_appliance_run_as_its_user(launch, words):
    assert launch(*words.split()) == f"sudo sudo launcher {words}"
    asked = launch(*words.split(), user=0)
    assert asked.startswith("runuser --user ptt-appliance -- env STATE_DIRECTORY=")
    assert asked.endswith(f" program {words}")


def test_the_services_check_for_another_python_and_start_nothing(launch):
    assert launch("check-python") == ""


@pytest.mark.parametrize(
    "words", ["check-python", "", "pair", "config check", "token-server", "run --help"]
)
def test_after_an_upgrade_of_the_system_the_installation_is_asked_for(
    launch, tmp_path, words
):
    (tmp_path / "lib" / "python3.13").rename(tmp_path / "lib" / "python3.11")
    assert launch(*words.split()) == (
        "This system has python3.13 now, and the packages are for another version. "
        "In the clone of the repository, run: sudo bash systemd/install.sh"
    )
