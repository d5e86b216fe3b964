"""What `doctor` prints, and its exit status."""

import json
import socket
import threading
from contextlib import suppress

import pytest

from appliance.config import ButtonsConfig, Config, LampsConfig, ScreenConfig
from appliance.core.events import Cause
from appliance.doctor import checks
from appliance.doctor.checks import Probes
from appliance.doctor.command import doctor, room
from appliance.errors import SoundError, TokenUnreachable

NO_BUTTONS = ButtonsConfig(talk=None, leave=None)
NO_LAMPS = LampsConfig(online=None, talking=None)
BARE = Config(buttons=NO_BUTTONS, lamps=NO_LAMPS, screen=ScreenConfig(driver="none"))


def card(direction):
    return f"USB {direction}", ""


def levels(direction):
    return (f"{direction} 90 %", "")


def no_levels(direction):
    raise SoundError(direction, "nothing there")


def quiet(direction):
    return (f"{direction} 10 %", "Run: amixer")


def no_card(direction):
    raise SoundError(direction, "nothing there. Plug in a USB sound card.")


def no_token():
    reason = "the source answered 500"
    raise TokenUnreachable(Cause.TOKEN_SOURCE, reason)


def token():
    return "token for room kitchen until 14:05", "ws://127.0.0.1:9"


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_missing_card_is_reported_with_its_remedy_and_fails_the_command(capsys):
    assert doctor(BARE, Probes(no_card, no_levels, token)) == 1
    output = capsys.readouterr().out
    assert "WRONG  microphone: does not work" in output
    assert "       microphone: nothing there. Plug in a USB sound card." in output
    assert "ok     screen: none configured" in output
    assert "ok     service: " in output
    assert "level" not in output


def second_choice(direction):
    return "vc4-hdmi: Audio", f"not a USB card; write this name into sound.{direction}"


def test_a_second_choice_is_reported_with_its_remedy(capsys):
    assert doctor(BARE, Probes(second_choice, levels, token)) == 1
    output = capsys.readouterr().out
    assert "WRONG  speaker: vc4-hdmi: Audio\n       not a USB card; write" in output


def test_a_level_that_is_too_low_is_reported_with_its_remedy(capsys):
    assert doctor(BARE, Probes(card, quiet, token)) == 1
    output = capsys.readouterr().out
    assert "ok     speaker: USB speaker" in output
    assert "WRONG  speaker level: speaker 10 %\n       Run: amixer" in output


def test_a_script_gets_the_same_as_json(capsys):
    doctor(BARE, Probes(card, levels, no_token), as_json=True)
    parts = {x["part"]: x for x in json.loads(capsys.readouterr().out)}
    assert parts["speaker"] == {"part": "speaker", "found": "USB speaker", "advice": ""}
    assert parts["microphone level"]["found"] == "microphone 90 %"
    assert parts["token source"]["advice"] == "the source answered 500"
    assert parts["server"]["found"] == "not known"


def found(findings):
    return [(finding.part, finding.found, finding.is_good) for finding in findings]


def test_the_server_of_the_token_is_checked(listening):
    url = f"ws://127.0.0.1:{listening}"
    said = "token for room kitchen until 14:05"
    assert found(room("wss://other.invalid", lambda: (said, f"{url}/x?key=1"))) == [
        ("token source", said, True),
        ("server", f"{url}/x responds", True),
    ]


def test_without_a_token_the_configured_server_is_checked(listening):
    url = f"ws://127.0.0.1:{listening}"
    assert found(room(url, no_token)) == [
        ("token source", "does not work", False),
        ("server", f"{url} responds", True),
    ]


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
    assert "clock" in finding.advice


def test_a_certificate_that_the_system_trusts_is_good(
    tls_port, certificate, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    assert checks.server(f"wss://localhost:{tls_port}").is_good


def test_a_missing_package_is_reported_for_the_part_that_needs_it():
    screen = checks.screen(ScreenConfig(), lambda name: name != "PIL")
    assert screen.found == "the Python package PIL is missing"
    assert "install.sh" in screen.advice
    wired = ButtonsConfig(), LampsConfig()
    pins = checks.pins(*wired, lambda name: name != "lgpio")
    assert "apt install python3-lgpio" in pins.advice
    assert checks.is_installed("luma.oled")
    assert not checks.is_installed("no_such_package.part")


def test_pins_and_screen_are_probed_only_if_they_are_configured_and_installed():
    probed = []

    def probe(*configs):
        probed.append(configs)
        return "probed", "remedy"

    def are_installed(_name):
        return True

    none = ScreenConfig(driver="none")
    assert checks.screen(none, are_installed, probe).is_good
    assert checks.pins(NO_BUTTONS, NO_LAMPS, are_installed, probe).is_good
    assert probed == []
    assert checks.screen(ScreenConfig(), are_installed, probe).advice == "remedy"
    assert checks.pins(NO_BUTTONS, LampsConfig(), are_installed, probe).found == (
        "probed"
    )
    assert probed == [(ScreenConfig(),), (NO_BUTTONS, LampsConfig())]


def test_a_missing_network_is_reported():
    assert checks.network(lambda: "10.0.0.7").is_good
    assert not checks.network(lambda: None).is_good


def test_only_names_that_cannot_be_resolved_are_reported():
    assert checks.names(["https://localhost/token", None]).is_good
    finding = checks.names(["https://127.0.0.1/x", f"wss://{'x' * 64}.invalid"])
    assert finding.found == f"unknown: {'x' * 64}.invalid"
