"""Unit, installation and container of the token server."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.token_server.config import read_settings
from tests.systemd.test_unit import analyze, settings

REPOSITORY = Path(__file__).parents[2]
SYSTEMD = REPOSITORY / "systemd"
UNIT = SYSTEMD / "ptt-token-server.service"
SCORE_LIMIT = 12
"""Tenths of systemd's exposure level; the unit has 11."""


def test_systemd_understands_every_line(tmp_path):
    options = ("--man=no", "--recursive-errors=no")
    done = analyze("verify", *options, folder=tmp_path, unit=UNIT)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_exposure_level_of_the_unit_is_low(tmp_path):
    options = ("--offline=true", f"--threshold={SCORE_LIMIT}")
    done = analyze("security", *options, folder=tmp_path, unit=UNIT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("key", "value"),
    [
        # The installer waits until it is ready.
        ("Type", "notify"),
        ("DynamicUser", "yes"),
        ("Restart", "always"),
        ("RestartPreventExitStatus", "78"),
        ("LimitCORE", "0"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("PrivateDevices", "yes"),
    ],
)
def test_the_unit_has_these_settings(key, value):
    assert settings(UNIT)["Service", key] == [value]


def test_the_secrets_come_from_files_and_not_from_the_environment():
    found = settings(UNIT)
    assert ("Service", "Environment") not in found
    assert ("Service", "EnvironmentFile") not in found
    assert found["Service", "LoadCredential"] == [
        "token-server.yaml:/etc/ptt-appliance/token-server.yaml",
        "token-server:/etc/ptt-appliance/token-server",
    ]


def test_the_installed_files_are_what_the_unit_reads(tmp_path):
    etc = install_token_config(tmp_path)
    assert (etc / "token-server").stat().st_mode & 0o777 == 0o700
    assert (etc / "token-server.yaml").stat().st_mode & 0o777 == 0o600
    reference = (SYSTEMD / "token-server.yaml").read_bytes()
    assert (etc / "token-server.reference.yaml").read_bytes() == reference
    # As systemd makes it from the two lines of the unit.
    loaded = tmp_path / "credentials"
    loaded.mkdir()
    config = loaded / "token-server.yaml"
    config.write_bytes((etc / "token-server.yaml").read_bytes())
    (loaded / "token-server_LIVEKIT_URL").write_text("wss://lk.example.com\n")
    (loaded / "token-server_LIVEKIT_API_KEY").write_text("key\n")
    (loaded / "token-server_LIVEKIT_API_SECRET").write_text("x" * 32 + "\n")
    found = read_settings(config, None, {"CREDENTIALS_DIRECTORY": str(loaded)})
    assert found.config.rooms == ("kitchen",)
    assert found.api_secret == "x" * 32


def test_an_upgrade_keeps_the_configuration(tmp_path):
    etc = install_token_config(tmp_path)
    (etc / "token-server.yaml").write_text("rooms: [garage]\n")
    install_token_config(tmp_path)
    assert (etc / "token-server.yaml").read_text() == "rooms: [garage]\n"


def install_token_config(folder: Path) -> Path:
    """Run that step of the installer on a folder."""
    etc = folder / "etc"
    install = (SYSTEMD / "install.sh").read_text().removesuffix('main "$@"\n')
    functions = install.replace('$(dirname "${BASH_SOURCE[0]}")', str(SYSTEMD))
    code = f"{functions}etc={etc}\ninstall_token_config\n"
    subprocess.run(["bash"], input=code, text=True, check=True)
    return etc


def instructions(name: str) -> list[str]:
    text = (SYSTEMD / "Containerfile").read_text().replace("\\\n", "")
    return re.findall(rf"^{name} (.*)$", text, re.MULTILINE)


def test_the_container_copies_files_that_exist_and_needs_no_root():
    for line in instructions("COPY"):
        assert (REPOSITORY / shlex.split(line)[0]).exists()
    assert instructions("USER") == ["65534:65534"]
    assert instructions("FROM") == ["python:3.13-slim"]


def test_the_containers_command_is_understood():
    (line,) = instructions("ENTRYPOINT")
    words = json.loads(line)
    assert words[:4] == ["python", "-m", "appliance", "token-server"]
    done = subprocess.run(
        [sys.executable, *words[1:], "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
