"""The command line: usage, exit status and messages."""

import asyncio
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from appliance.cli import main
from tests.card.asound import Card, plug_in
from tests.card.faults import FAULTS
from tests.clock import Clock
from tests.page.fake_app import serving

COMMANDS = [
    ["run"],
    ["demo"],
    ["devices"],
    ["pair"],
    ["config"],
    ["config", "check"],
    ["config", "show"],
    ["config", "schema"],
    ["token-server"],
]


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch, tmp_path):
    monkeypatch.setenv("PTT_APPLIANCE_CONFIG", str(tmp_path / "config.yaml"))
    (tmp_path / "config.yaml").write_text("")


@pytest.mark.parametrize("command", [[], *COMMANDS], ids=" ".join)
def test_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"Example: ptt-appliance {' '.join(command)}".strip() in shown


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["bogus"],
        ["run", "--bogus"],
        ["run", "--set", "talk.mode"],
        ["config"],
        ["demo", "--seconds", "-1"],
        ["demo", "--seconds", "nan"],
        ["demo", "--listen", "8080"],
        ["token-server", "--listen", "nowhere"],
    ],
)
def test_wrong_usage_exits_2_and_says_so_on_stderr(args, capsys):
    with pytest.raises(SystemExit) as caught:
        main(args)
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.err
    assert not captured.out


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"ptt-appliance {version('ptt-appliance')}\n"


def test_a_terminal_without_utf8_shows_a_qr_code_without_block_letters(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "appliance", "pair"],
        env={
            **os.environ,
            "PYTHONIOENCODING": "ascii",
            "STATE_DIRECTORY": str(tmp_path),
        },
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    code = done.stdout.partition("Page")[0]
    assert "\x1b[7m" in code
    assert "?" not in code


async def test_pair_says_when_nobody_serves_the_page(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))

    async def said(listen, *settings):
        arguments = ["pair", "--json", "--set", f"page.listen={listen}", *settings]
        assert await asyncio.to_thread(main, arguments) == 0
        return capsys.readouterr().err

    warning = "The page does not answer now"
    async with serving(tmp_path, Clock(), "0.0.0.0:0") as page:
        listen = f"0.0.0.0:{page.url.rpartition(':')[2]}"
        assert warning not in await said(listen)
    assert warning in await said(listen)
    disabled = await said(listen, "--set", "page.enabled=false")
    assert warning not in disabled
    assert "The page is disabled" in disabled


def test_a_server_without_a_token_is_wrong_usage(capsys):
    assert main(["demo", "--room-url", "ws://127.0.0.1"]) == 2
    assert "--room-token" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["run"], ["pair"], ["config", "check"], ["config", "show"]]
)
def test_a_wrong_configuration_exits_78_with_one_line_per_fault(command, capsys):
    assert main([*command, "--set", "talk.mode=x", "--set", "volume=1"]) == 78
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [line.split(": ")[:2] for line in captured.err.splitlines()] == [
        ["--set", "volume"],
        ["--set", "talk.mode"],
    ]


def test_run_without_a_room_exits_78_and_says_what_to_write(capsys):
    assert main(["run"]) == 78
    assert "room.token_url: expected" in capsys.readouterr().err


def test_check_reports_each_fault_as_json(capsys):
    assert main(["config", "check", "--json", "--set", "talk.mode=x"]) == 78
    (fault,) = json.loads(capsys.readouterr().out)["faults"]
    assert fault["key"] == "talk.mode"
    assert fault["source"] == "--set"


@pytest.mark.parametrize("content", ["", "room:\n", "# nothing yet\n"])
def test_check_refuses_what_run_would_refuse(capsys, tmp_path, content):
    path = tmp_path / "config.yaml"
    path.write_text(content)
    check = ["config", "check", "--config", str(path)]
    assert main(check) == 78
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "room.token_url: expected" in captured.err
    assert main([*check, "--json"]) == 78
    (fault,) = json.loads(capsys.readouterr().out)["faults"]
    assert (fault["key"], fault["source"]) == ("room.token_url", str(path))
    assert main([*check, "--set", "room.token_url=https://h"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == (f"{path}: no mistakes\n", "")


def test_show_prints_yaml_and_json(capsys):
    assert main(["config", "show", "--set", "name=kitchen"]) == 0
    assert capsys.readouterr().out.startswith("name: kitchen")
    assert main(["config", "show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["talk.mode"]["value"] == "hybrid"


def test_the_doctor_asks_the_token_source_and_the_server(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("PTT_ROOM__TOKEN_URL", "http://127.0.0.1:1/token?key=hush")
    assert main(["doctor", "--json", "--set", "room.url=ws://127.0.0.1:1"]) == 1
    out = capsys.readouterr().out
    parts = {finding["part"]: finding for finding in json.loads(out)}
    assert parts["token source"]["advice"] == (
        "http://127.0.0.1:1/token refuses connections. Is the token source running?"
    )
    assert parts["server"]["found"] == (
        "ws://127.0.0.1:1 cannot be reached: connection refused"
    )
    assert "hush" not in out


def test_the_doctor_looks_for_no_device_that_is_configured_as_none(
    capsys, monkeypatch, tmp_path
):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("PTT_SOUND__MICROPHONE", "none")
    main(["doctor", "--json", "--set", "sound.speaker=none"])
    found = {one["part"]: one for one in json.loads(capsys.readouterr().out)}
    for part in ("microphone", "speaker"):
        assert (found[part]["found"], found[part]["advice"]) == ("none configured", "")


def test_schema_prints_json(capsys):
    assert main(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "ptt-appliance"


def test_a_token_server_without_keys_exits_78(capsys, monkeypatch):
    monkeypatch.delenv("LIVEKIT_API_KEY", raising=False)
    assert main(["token-server"]) == 78
    assert "environment: LIVEKIT_API_KEY: expected" in capsys.readouterr().err


def test_the_module_is_the_program():
    done = subprocess.run(
        [sys.executable, "-m", "appliance", "config", "check", "--set", "x=1"],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 78
    assert "Traceback" not in done.stderr


def test_a_closed_pipe_causes_no_traceback():
    done = subprocess.run(
        f"{sys.executable} -m appliance config schema | head -c 1",
        shell=True,
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "{"
    assert done.stderr == ""


@pytest.mark.parametrize("command", [["devices"], ["doctor"]])
def test_a_mistake_in_alsas_configuration_is_a_sentence_and_no_traceback(
    command, tmp_path
):
    mistake = tmp_path / "asound.conf"
    mistake.write_text("pcm.broken {\n}}\n")
    done = subprocess.run(
        [sys.executable, "-m", "appliance", *command],
        env=os.environ | {"ALSA_CONFIG_PATH": str(mistake)},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert f"sound: {mistake}, line 2: Unexpected" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("command", [["devices"], ["doctor"]])
def test_a_card_that_does_not_answer_is_a_sentence(command, tmp_path):
    card = Card(tmp_path / "usb")
    env = plug_in(tmp_path / "asound.conf", card)
    FAULTS["open-hangs"].begin(card)
    done = subprocess.run(
        [sys.executable, "-m", "appliance", *command],
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "sound: the sound card does not answer (search)" in said
    assert "Traceback" not in said


def test_an_ascii_terminal_is_shown_other_characters_as_question_marks(
    tmp_path,
):
    card = Card(tmp_path / "usb", name="USB \u041c\u0438\u043a")
    done = subprocess.run(
        [sys.executable, "-m", "appliance", "devices"],
        env=os.environ
        | plug_in(tmp_path / "asound.conf", card)
        | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('"USB ???": microphone and speaker')


def test_the_list_of_devices_loads_nothing_that_only_the_doctor_needs(tmp_path):
    code = (
        "import sys; from appliance.cli import main; main(['devices']); "
        "print({'httpx', 'numpy', 'appliance.doctor.checks'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | plug_in(tmp_path / "asound.conf", Card(tmp_path / "usb")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "set()", done.stderr
