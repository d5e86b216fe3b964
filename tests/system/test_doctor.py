import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.config import ButtonsConfig, Config, LampsConfig, ScreenConfig
from appliance.core.events import Cause
from appliance.errors import SoundError, TokenUnreachable
from appliance.system import checks
from appliance.system.doctor import doctor, wifi

NO_BUTTONS = ButtonsConfig(talk=None, leave=None)
NO_LAMPS = LampsConfig(online=None, talking=None)
BARE = Config(buttons=NO_BUTTONS, lamps=NO_LAMPS, screen=ScreenConfig(driver="none"))


def card(direction):
    return f"USB {direction}"


def no_card(direction):
    raise SoundError(direction, "nothing there. Plug in a USB sound card.")


def no_token():
    reason = "the source answered 500"
    raise TokenUnreachable(Cause.TOKEN_SOURCE, reason)


def iw(folder, says):
    script = folder / "iw"
    script.write_text(f"#!/bin/sh\necho 'Power save: {says}'\n")
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def interfaces(tmp_path):
    (tmp_path / "net" / "wlan0" / "wireless").mkdir(parents=True)
    (tmp_path / "net" / "eth0").mkdir()
    return tmp_path / "net"


def test_a_missing_card_is_told_with_what_to_do_and_fails_the_command(capsys):
    assert doctor(BARE, no_card) == 1
    said = capsys.readouterr().out
    assert "WRONG  microphone: does not work" in said
    assert "       microphone: nothing there. Plug in a USB sound card." in said
    assert "ok     screen: none configured" in said


def test_a_script_gets_the_same_as_json(capsys):
    doctor(BARE, card, no_token, as_json=True)
    parts = {x["part"]: x for x in json.loads(capsys.readouterr().out)}
    assert parts["speaker"] == {"part": "speaker", "found": "USB speaker", "advice": ""}
    assert parts["token source"]["advice"] == "the source answered 500"


def test_a_bus_that_is_off_is_told_with_how_to_switch_it_on(tmp_path):
    finding = checks.screen(ScreenConfig(), tmp_path)
    assert "raspi-config" in finding.advice
    (tmp_path / "i2c-1").touch()
    assert checks.screen(ScreenConfig(), tmp_path).is_good


def test_pins_matter_only_where_something_is_wired(tmp_path):
    assert checks.pins(NO_BUTTONS, NO_LAMPS, tmp_path).is_good
    finding = checks.pins(ButtonsConfig(), NO_LAMPS, tmp_path)
    assert finding.found == "this machine has none for talk, leave"
    (tmp_path / "gpiochip0").touch()
    assert checks.pins(ButtonsConfig(), LampsConfig(), tmp_path).is_good


def test_no_network_is_told():
    assert checks.network(lambda: "10.0.0.7").is_good
    assert not checks.network(lambda: None).is_good


def test_only_names_that_cannot_be_resolved_are_trouble():
    assert checks.names(["https://localhost/token", None]).is_good
    finding = checks.names(["https://127.0.0.1/x", f"wss://{'x' * 64}.invalid"])
    assert finding.found == f"unknown: {'x' * 64}.invalid"


def test_a_clock_in_the_past_is_told():
    assert not checks.clock(datetime(1970, 1, 1, tzinfo=UTC)).is_good
    assert checks.clock(datetime(2027, 1, 1, tzinfo=UTC)).is_good


def test_wifi_that_saves_power_is_told(tmp_path, interfaces):
    finding = wifi(interfaces, iw(tmp_path, "on"))
    assert "set power_save off" in finding.advice
    assert wifi(interfaces, iw(tmp_path, "off")).is_good
    assert wifi(Path("/nowhere")).is_good


def test_wifi_without_iw_says_so(interfaces):
    finding = wifi(interfaces, "/nowhere/iw")
    assert finding.found == "wlan0 power save unknown"
    assert "apt install iw" in finding.advice
