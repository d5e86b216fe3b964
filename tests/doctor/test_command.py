"""What `doctor` prints, and its exit status."""

import json
import socket
import threading
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.config import (
    ButtonsConfig,
    Config,
    LampsConfig,
    Preset,
    RoomConfig,
    ScreenConfig,
    SoundConfig,
)
from appliance.core.events import Cause
from appliance.doctor import checks
from appliance.doctor.command import CheckInputs, doctor, tokens
from appliance.doctor.hardware import sound
from appliance.errors import TokenUnreachable
from appliance.sound_cards.alsa_mixer import CardMixer, Control
from appliance.sound_cards.devices import Device

NO_BUTTONS = ButtonsConfig(talk=None, leave=None)
NO_LAMPS = LampsConfig(online=None, talking=None)
FILE = Path(__file__)
BARE = Config(buttons=NO_BUTTONS, lamps=NO_LAMPS, screen=ScreenConfig(driver="none"))


USB = Device("USB Audio: Audio (hw:1,0)", 1, 2, 48_000, usb_id="1:1")
HDMI = Device("vc4-hdmi: Audio (hw:0,0)", 0, 2, 48_000)


def usb_card():
    return (USB,)


def no_card():
    return ()


def second_choice():
    return (HDMI,)


def no_token(_preset):
    reason = "the source answered 500"
    raise TokenUnreachable(Cause.TOKEN_SOURCE, reason)


def token(_preset):
    return "token for room kitchen until 14:05", "ws://127.0.0.1:9"


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_missing_card_is_reported_with_its_remedy_and_fails_the_command(capsys):
    assert doctor(BARE, CheckInputs(FILE, no_card, token)) == 1
    output = capsys.readouterr().out
    assert "WRONG  microphone: does not work" in output
    remedy = "any microphone: no sound card has one. Plug in a USB sound card."
    assert f"       {remedy}" in output
    assert "ok     screen: none configured" in output
    assert "ok     service: " in output
    assert "level" not in output


def test_each_finding_is_printed_before_the_next_check(capsys):
    printed = []

    def devices():
        printed.append(capsys.readouterr().out)
        return usb_card()

    doctor(BARE, CheckInputs(FILE, devices, token))
    assert printed[0].startswith("ok     configuration: no mistakes\nok     service: ")
    assert printed[1].startswith("ok     microphone: ")


def test_a_missing_file_is_named(capsys, tmp_path):
    doctor(BARE, CheckInputs(tmp_path / "config.yaml", no_card, token))
    line = capsys.readouterr().out.splitlines()[0]
    assert line.endswith(f"no mistakes; there is no file {tmp_path}/config.yaml yet")


def test_a_second_choice_is_reported_with_its_remedy(capsys):
    assert doctor(BARE, CheckInputs(FILE, second_choice, token)) == 1
    output = capsys.readouterr().out
    assert "WRONG  speaker: vc4-hdmi: Audio\n       not a USB card; plug one" in output


def test_a_direction_that_is_switched_off_needs_no_card(capsys):
    silent = replace(BARE, sound=SoundConfig(microphone="none", speaker="none"))
    doctor(silent, CheckInputs(FILE, no_card, token))
    output = capsys.readouterr().out
    assert "ok     microphone: none configured" in output
    assert "ok     speaker: none configured" in output


class Quiet(CardMixer):
    """Mixer whose only volume is zero."""

    def __init__(self):
        pass

    def controls(self):
        return (Control("PCM", "speaker", 0),)


def test_a_level_that_is_too_low_is_reported_with_its_remedy():
    devices = (replace(USB, card_id="Device"),)
    name, level = sound("speaker", (), lambda: devices, lambda _: nullcontext(Quiet()))
    assert (name.found, name.is_good) == ("USB Audio: Audio", True)
    assert (level.part, level.found) == ("speaker level", "Device: PCM 0 %")
    assert level.advice.startswith("Run: amixer")


def test_a_script_gets_the_same_as_json(capsys):
    doctor(BARE, CheckInputs(FILE, usb_card, no_token), as_json=True)
    parts = {x["part"]: x for x in json.loads(capsys.readouterr().out)}
    found = {"part": "speaker", "found": "USB Audio: Audio", "advice": ""}
    assert parts["speaker"] == found
    said = "USB Audio: Audio has none of its own"
    assert parts["microphone level"]["found"] == said
    assert parts["token source"]["advice"] == "the source answered 500"
    assert parts["server"]["found"] == "not known"


def found(findings):
    return [(finding.part, finding.found, finding.is_good) for finding in findings]


def test_the_server_of_the_token_is_checked(listening):
    url = f"ws://127.0.0.1:{listening}"
    said = "token for room kitchen until 14:05"
    room = RoomConfig(url="wss://other.invalid")
    assert found(tokens(room, lambda _: (said, f"{url}/x?key=1"))) == [
        ("token source", said, True),
        ("server", f"{url}/x responds", True),
    ]


def test_without_a_token_the_configured_server_is_checked(listening):
    url = f"ws://127.0.0.1:{listening}"
    assert found(tokens(RoomConfig(url=url), no_token)) == [
        ("token source", "does not work", False),
        ("server", f"{url} responds", True),
    ]


def test_the_token_source_of_each_preset_is_asked_and_each_server_once(listening):
    url = f"ws://127.0.0.1:{listening}"

    def fetch_token(preset):
        if preset == "garage":
            return no_token(preset)
        return f"token for room {preset}", url if preset == "yard" else f"{url}/x"

    presets = (Preset(name="garage", url=url), Preset(name="yard", url=url))
    room = RoomConfig(url=url, presets=presets)
    assert found(tokens(room, fetch_token)) == [
        ("token source", "token for room None", True),
        ("server", f"{url}/x responds", True),
        ("token source (garage)", "does not work", False),
        ("server (garage)", f"{url} responds", True),
        ("token source (yard)", "token for room yard", True),
    ]


def test_key_files_and_names_of_presets_are_checked(tmp_path, capsys):
    key_file = tmp_path / "key"
    key_file.write_text("swordfish\n")
    yard = Preset(name="yard", encryption_key_file=str(key_file))
    lab = Preset(
        name="lab",
        encryption_key_file=str(tmp_path / "none"),
        token_url=f"https://{'x' * 64}.invalid",
    )
    room = RoomConfig(encryption_key_file=str(key_file), presets=(yard, lab))
    assert doctor(replace(BARE, room=room), CheckInputs(FILE, no_card, token)) == 1
    output = capsys.readouterr().out
    assert output.count(f"ok     encryption key: {key_file}\n") == 1
    assert (
        f"WRONG  encryption key: {tmp_path / 'none'} cannot be used\n"
        "       room.encryption_key_file cannot be read (No such file"
    ) in output
    assert f"WRONG  names: unknown: {'x' * 64}.invalid" in output


def test_a_server_that_does_not_respond_is_reported():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
    finding = checks.server(url)
    assert finding.found == f"{url} cannot be reached: connection refused"
    assert "firewall" in finding.advice


@pytest.mark.parametrize(
    "url", ["wss://nobody.invalid", f"ws://{'x' * 64}.invalid", "wss://127.0.0.1:1"]
)
def test_a_server_that_does_not_exist_is_reported(url):
    assert "cannot be reached" in checks.server(url).found


def test_a_server_that_refuses_is_not_missing_because_of_its_other_address(monkeypatch):
    # The system puts an address to which it has no route at the end.
    addresses = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 1)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: addresses)
    found = checks.server("ws://lk.example.com:1").found
    assert found == "ws://lk.example.com:1 cannot be reached: connection refused"


@pytest.fixture
def tls_port(tls):
    """Port of a server with an untrusted certificate."""

    def shake_hands(listener):
        with suppress(OSError):
            way, _ = listener.accept()
            with way, tls.wrap_socket(way, server_side=True):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        greeter = threading.Thread(target=shake_hands, args=[listener])
        greeter.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        greeter.join()


def test_an_untrusted_certificate_is_reported(tls_port):
    finding = checks.server(f"wss://localhost:{tls_port}")
    assert "has no valid certificate" in finding.found
    assert "an authority that this box trusts" in finding.advice
    assert finding.advice.endswith("Or does this network require a login?")


def test_a_certificate_that_the_system_trusts_is_good(
    tls_port, certificate, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    assert checks.server(f"wss://localhost:{tls_port}").is_good


def test_a_missing_network_is_reported():
    assert checks.network(lambda: "10.0.0.7").is_good
    assert not checks.network(lambda: None).is_good


def test_only_names_that_cannot_be_resolved_are_reported():
    assert checks.names(["https://localhost/token", None]).is_good
    finding = checks.names(["https://127.0.0.1/x", f"wss://{'x' * 64}.invalid"])
    assert finding.found == f"unknown: {'x' * 64}.invalid"
