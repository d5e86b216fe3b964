"""Package indexes that do not answer."""

import asyncio
import importlib.util
import os
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.tokens.fake_server import http, says, serving

SYSTEMD = Path(__file__).parents[2] / "systemd"
REFUSED = "http://127.0.0.1:1/simple"
NO_ANSWER_S = 0.1


def load():
    """Return the script as a module; its folder has the name of another package."""
    spec = importlib.util.spec_from_file_location(
        "pip_indexes", SYSTEMD / "pip_indexes.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pip_indexes = load()


@contextmanager
def silent_server():
    """Accept connections and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/simple"


def environment(folder, index, *more):
    """Return variables by which pip has these indexes, in a file of its own."""
    config = folder / "pip.conf"
    config.write_text(
        f"[global]\nindex-url = {index}\nextra-index-url =\n"
        + "".join(f"    {url}\n" for url in more)
        + "[install]\nprefer-binary = true\n"
    )
    others = {key: x for key, x in os.environ.items() if not key.startswith("PIP_")}
    return others | {"PIP_CONFIG_FILE": str(config)}


def install_step(env):
    """Return what pip would be given, and what the person reads."""
    code = f"source {SYSTEMD}/setup.sh\nwithout_silent_indexes {SYSTEMD.parent}/.venv\n"
    done = subprocess.run(
        ["bash", "-euc", f"{code}env"],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    pairs = (line.partition("=") for line in done.stdout.splitlines())
    return {key: x for key, _, x in pairs if key.startswith("PIP_")}, done.stderr


async def test_an_index_that_does_not_answer_is_named_and_not_used(tmp_path):
    secret = REFUSED.replace("//", "//anna:hush@")
    async with serving(says(http("404 Not Found")), []) as url:
        env = environment(tmp_path, f"{url}/simple", secret, f"{url}/more")
        given, said = await asyncio.to_thread(install_step, env)
    assert said == (
        f"The package index {REFUSED} does not answer, so it is not used.\n"
    )
    assert given["PIP_CONFIG_FILE"] == "/dev/null"
    assert given["PIP_INDEX_URL"] == f"{url}/simple"
    assert given["PIP_EXTRA_INDEX_URL"] == f"{url}/more"
    assert given["PIP_PREFER_BINARY"] == "true"


async def test_indexes_that_answer_are_used_as_they_are_configured(tmp_path):
    async with serving(says(http("200 OK")), []) as url:
        env = environment(tmp_path, url, url)
        given, said = await asyncio.to_thread(install_step, env)
    assert said == ""
    assert given == {"PIP_CONFIG_FILE": env["PIP_CONFIG_FILE"]}


def test_without_any_index_pip_asks_none(tmp_path):
    given, said = install_step(environment(tmp_path, REFUSED))
    assert given["PIP_NO_INDEX"] == "1"
    assert "PIP_INDEX_URL" not in given
    assert "does not answer" in said


def test_a_module_of_the_same_name_elsewhere_is_not_run(tmp_path):
    (tmp_path / "ast.py").write_text("raise SystemExit\n")
    env = environment(tmp_path, REFUSED) | {"PYTHONPATH": str(tmp_path)}
    given, _ = install_step(env)
    assert given["PIP_NO_INDEX"] == "1"


def test_a_server_that_accepts_and_says_nothing_does_not_answer():
    with silent_server() as url:
        assert not pip_indexes.answers(url, "", NO_ANSWER_S)


async def test_an_index_is_asked_without_the_name_and_password_in_its_address():
    asked: list[bytes] = []
    async with serving(says(http("401 Unauthorized")), asked) as url:
        secret = url.replace("//", "//anna:hush@")
        assert await asyncio.to_thread(pip_indexes.answers, f"{secret}/simple", "")
    assert b"hush" not in asked[0]


@pytest.mark.parametrize("url", ["file:///srv/wheels", "/srv/wheels", "wheels"])
def test_a_folder_is_for_pip_to_judge(url):
    assert pip_indexes.answers(url, "", NO_ANSWER_S)


def test_a_malformed_address_is_named_and_not_used(tmp_path):
    given, said = install_step(environment(tmp_path, "http://anna:hush@[::1/x"))
    assert said == (
        "The package index http://[::1/x does not answer, so it is not used.\n"
    )
    assert given["PIP_NO_INDEX"] == "1"


@pytest.mark.parametrize("url", ["http://", "http://[::1/x", REFUSED])
def test_an_address_that_cannot_be_used_does_not_answer(url):
    assert not pip_indexes.answers(url, "", NO_ANSWER_S)


def test_pip_waits_a_bounded_time_and_its_failure_is_a_sentence(tmp_path):
    """A Python in place of the virtual environment's prints how pip is called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python").write_text('#!/bin/sh\necho "$@"\nexit 1\n')
    (folder / "timeout").write_text(
        '#!/bin/sh\necho timeout "$1" "$2"\nshift 2\nexec "$@"\n'
    )
    for program in folder.iterdir():
        program.chmod(0o755)
    (tmp_path / "pyvenv.cfg").touch()
    code = f"source {SYSTEMD}/setup.sh\ninstall_locked {tmp_path} /dev/null\n"
    env = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euc", code], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "timeout --foreground 1800\n" in done.stdout
    assert "--timeout 15 --retries 2" in done.stdout
    assert "longer than half an hour" in done.stderr
