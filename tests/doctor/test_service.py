"""State of the installed service, and what the running box says of itself."""

import asyncio
from functools import partial

import pytest

from appliance.doctor.checks import Health, health
from appliance.doctor.command import service
from tests.clock import Clock
from tests.page.fake_app import serving
from tests.tokens import fake_server


@pytest.fixture
def systemctl(tmp_path):
    """Return the path of a systemctl with this output and exit status."""

    def make(output: str, status: int = 0) -> str:
        script = tmp_path / "systemctl"
        script.write_text(f"#!/bin/sh\necho '{output}'\nexit {status}\n")
        script.chmod(0o755)
        return str(script)

    return make


@pytest.mark.parametrize(
    ("state", "found", "advice"),
    [
        ("active", "running", ""),
        ("inactive", "inactive", "systemctl restart"),
        ("failed", "failed", "journalctl"),
        ("activating", "activating", "journalctl"),
    ],
)
def test_a_service_that_does_not_run_has_a_remedy(systemctl, state, found, advice):
    finding = service(systemctl(f"LoadState=loaded\nActiveState={state}"))
    assert finding.found.partition(";")[0] == found
    assert finding.is_good == (state == "active")
    assert advice in finding.advice


def test_a_box_on_which_nothing_is_installed_has_nothing_to_repair(systemctl):
    finding = service(systemctl("LoadState=not-found\nActiveState=inactive"))
    assert (finding.found, finding.is_good) == ("not installed", True)


def test_without_systemd_the_state_is_unknown(systemctl):
    missing = service("/nowhere/systemctl")
    assert "unknown" in missing.found
    assert missing.is_good
    assert service(systemctl("Failed to connect to bus", 1)) == missing


RUNS = "LoadState=loaded\nActiveState=active"
WELL = Health("ok", (), ())


def test_the_faults_of_the_running_box_are_reported(systemctl):
    program = systemctl(RUNS)
    sick = service(program, lambda: Health("sick", ("no microphone",), ()))
    assert sick.found == "running; the box reports: no microphone"
    assert "sudo journalctl -u ptt-appliance" in sick.advice
    well = service(program, lambda: WELL)
    assert (well.found, well.is_good) == ("running; the box reports no faults", True)


def test_a_page_that_does_not_answer_is_a_fault_and_one_that_is_off_is_none(systemctl):
    program = systemctl(RUNS)
    words = "running; its faults are not known, because its page"
    off = service(program)
    assert (off.found, off.is_good) == (f"{words} is off", True)
    silent = service(program, lambda: None)
    assert silent.found == f"{words} does not answer"
    assert "page.listen" in silent.advice
    assert "sudo journalctl -u ptt-appliance" in silent.advice
    absent = service(systemctl("LoadState=not-found"), lambda: None)
    assert (absent.found, absent.is_good) == ("not installed", True)


def test_hardware_faults_of_the_running_box_are_reported_in_words(systemctl):
    ids = ("button-floats", "screen-stopped", "pin-failed", "of-a-later-version")
    finding = service(systemctl(RUNS), lambda: Health("ok", (), ids))
    assert not finding.is_good
    assert finding.found == (
        "running; the box reports: its wire floats, with edges all the time; "
        "no response any more on I²C bus …; pin-failed; of-a-later-version"
    )


def test_a_box_that_runs_without_systemd_is_asked_too():
    sick = Health("sick", ("no speaker",), ())
    finding = service("/nowhere/systemctl", lambda: sick)
    assert not finding.is_good
    assert "no speaker" in finding.found


async def test_the_page_of_the_running_box_answers_on_loopback(tmp_path):
    async with serving(tmp_path, Clock(), "0.0.0.0:0") as page:
        port = page.url.rpartition(":")[2]
        answered = await asyncio.to_thread(health, f"0.0.0.0:{port}")
        assert answered == WELL
        page.inbox.show(has_microphone=False)
        answered = await asyncio.to_thread(health, f"127.0.0.1:{port}")
        assert answered == Health("sick", ("no microphone",), ())
        page.inbox.show(has_microphone=True, fault_ids=("button-floats",))
        answered = await asyncio.to_thread(health, f"127.0.0.1:{port}")
    assert answered == Health("ok", (), ("button-floats",))


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"<html>", b"[]", b'{"faults": 1}', b"\xff", b'{"status": "\xff"}'),
        *(b'{"status": "ok"}', b'{"status": "UP", "faults": []}'),
    ],
)
async def test_another_program_on_the_port_of_the_page_is_not_believed(body):
    answer = fake_server.says(fake_server.http("200 OK", body))
    async with fake_server.serving(answer, []) as url:
        ask = partial(health, url.removeprefix("http://"))
        assert await asyncio.to_thread(ask) is None


def test_a_page_that_is_not_there_is_no_answer():
    assert health("127.0.0.1:1") is None
