"""The demo as a process, with a real server."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
import wave
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest

from appliance.audio.dsp import level_dbfs
from appliance.demo.command import KEY_REPEAT_S, listen_address
from appliance.demo.livekit_server import LocalServer
from appliance.demo.simulated_card import phrase
from appliance.token_server.signing import Signer
from tests.card.faults import table

REPOSITORY = Path(__file__).parents[2]
DEADLINE_S = 90.0
DURATIONS_S = 3, 30
"""Durations of a demo: the second one on a machine on which the first is too short."""
COMMAND = [sys.executable, "-m", "appliance", "demo", "--card", "simulated"]


@dataclass(frozen=True)
class Run:
    status: int
    output: str
    errors: str
    wav: Path

    @property
    def values(self):
        return json.loads(self.output)


def start(folder, *options):
    return subprocess.Popen(
        [*COMMAND, "--json", "--wav", folder / "demo.wav", *options],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, folder, errors=""):
    """Wait for its end; `errors` are those already read."""
    with process:
        try:
            output, more = process.communicate(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return Run(process.returncode, output, errors + more, folder / "demo.wav")


def run(folder, *options):
    return finish(start(folder, *options), folder)


@pytest.fixture(scope="module")
def whole(binary, tmp_path_factory):
    """A run over ssh that ends after the script's first complete exchange."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22")
        process = start(folder, "--seconds", str(DEADLINE_S))
    errors, answers = "", {"Companion speaks\n", "Companion: You wrote: "}
    for line in process.stderr:
        # On a slow machine an exchange may end after the next one has begun.
        if "of the demo" in line and all(words in errors for words in answers):
            process.terminate()
            break
        errors += line
    return finish(process, folder, errors)


def demo_on(card, *options):
    """Run the demo on another card to its end; return status, output and errors."""
    done = subprocess.run(
        [*COMMAND[:-1], card, *options],
        check=False,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_faults_of_the_virtual_card_are_listed():
    status, output, _ = demo_on("list")
    assert status == 0
    assert output.splitlines() == table().splitlines()


def test_an_unknown_fault_is_wrong_usage():
    status, _, errors = demo_on("broken")
    assert status == 2
    assert "found 'broken'" in errors
    assert table() in errors


def test_the_demo_runs_on_a_virtual_card_with_a_fault(binary):
    fault = "microphone: USB PnP Sound Device: cannot be opened at any of"
    for seconds in DURATIONS_S:
        options = "--seconds", f"{seconds}", "--json"
        status, output, errors = demo_on("22050-hz", *options)
        if fault in errors and json.loads(output)["joined_after_s"]:
            break
    assert "Card: 22.05 kHz only." in errors
    assert fault in errors
    assert json.loads(output)["joined_after_s"] > 0, errors
    assert status == 1


def test_the_script_completes_an_exchange(whole):
    values = whole.values
    assert values["not_complete"] == "", whole.errors
    assert values["joined_after_s"] > 0
    assert values["talks_heard_back"] >= 1
    assert values["lines_answered"] >= 1
    assert whole.status == 0


def test_the_recording_contains_speech_as_long_as_the_phrase(whole):
    with wave.open(str(whole.wav)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    said, played = loud_parts(phrase()), loud_parts(pcm)
    stretch = np.ones(len(said) + 10)
    assert np.convolve(played, stretch).max() > 0.7 * said.sum()


def loud_parts(samples):
    """Return for each 50 ms whether it contains speech."""
    parts = samples[: len(samples) // 2400 * 2400].reshape(-1, 2400)
    return np.array([level_dbfs(part) > -45 for part in parts])


def test_without_a_terminal_there_are_plain_lines_and_no_secrets(whole):
    assert "in demo: talking\n" in whole.errors
    assert "Companion: You wrote: hello" in whole.errors
    assert "Page: http://127.0.0.1:" in whole.errors
    assert "\x1b" not in whole.errors
    assert "eyJ" not in whole.errors + whole.output


class Person:
    """User at a terminal, who reads and presses keys."""

    def __init__(self, folder, *options):
        self._ours, theirs = pty.openpty()
        self._theirs = theirs
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 40, 160, 0, 0))
        self._before = termios.tcgetattr(theirs)
        self.seen = ""
        # setsid -c makes it the controlling terminal, as a shell would.
        self.process = subprocess.Popen(
            ["setsid", "-c", *COMMAND, "--wav", str(folder / "demo.wav"), *options],
            cwd=REPOSITORY,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)

    def press(self, keys):
        self.seen = ""
        os.write(self._ours, keys)

    def read_until(self, words):
        ends_s = time.monotonic() + DEADLINE_S
        while words not in self.seen:
            is_over = self.process.poll() is not None
            assert not is_over, self.seen
            assert time.monotonic() < ends_s, f"{words!r} not in {self.seen!r}"
            self._read()

    def status(self):
        ends_s = time.monotonic() + DEADLINE_S
        while self.process.poll() is None:
            assert time.monotonic() < ends_s, self.seen
            self._read()
        self._read()
        return self.process.returncode

    def _read(self):
        if select.select([self._ours], [], [], 0.1)[0]:
            self.seen += os.read(self._ours, 65_536).decode(errors="replace")

    @property
    def has_its_terminal_back(self):
        return termios.tcgetattr(self._theirs) == self._before


def children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def wait_until_gone(pids):
    ends_s = time.monotonic() + DEADLINE_S
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < ends_s, pids
        os.sched_yield()


def is_running(pid):
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # A zombie has ended.
    return status.rpartition(")")[2].split()[0] != "Z"


def test_keys_press_the_buttons(binary, tmp_path):
    with Person(tmp_path) as person:
        person.read_until("Keys: space talk")
        person.read_until("in demo: muted")
        person.press(b"n")
        person.read_until("The buttons are yours now.")
        person.press(b" ")
        person.read_until("talking")
        person.press(b" ")
        person.read_until("muted")
        person.press(b"l")
        person.read_until("left, press leave to rejoin")
        # Earlier it would count as the same key, still held.
        time.sleep(2 * KEY_REPEAT_S)
        person.press(b"l")
        person.read_until("in demo")
        person.press(b"q")
        assert person.status() == 0
        assert "Joined  after" in person.seen
        assert person.has_its_terminal_back


def terminate(person):
    person.process.send_signal(signal.SIGTERM)


def press_control_c(person):
    person.press(b"\x03")


@pytest.mark.parametrize("end", [terminate, press_control_c])
def test_a_signal_ends_everything_with_status_0(binary, tmp_path, end):
    with Person(tmp_path) as person:
        person.read_until("in demo: muted")
        pids = children(person.process.pid)
        assert len(pids) == 1
        end(person)
        assert person.status() == 0, person.seen
        assert "Traceback" not in person.seen
        assert person.has_its_terminal_back
        wait_until_gone(pids)


def test_no_process_survives_a_killed_demo(binary, tmp_path):
    with Person(tmp_path) as person:
        person.read_until("in demo: muted")
        pids = children(person.process.pid)
        person.process.kill()
        person.process.wait()
        wait_until_gone(pids)


async def test_the_users_own_room_is_joined_without_the_script(binary, tmp_path):
    async with LocalServer(binary) as server:
        signer, now_s = Signer(server.api_key, server.api_secret), int(time.time())
        token = signer.token("box", "box", "demo", ttl_s=60, now_s=now_s)
        own = ("--room-url", server.url, "--room-token", token)
        for seconds in DURATIONS_S:
            done = run(tmp_path, "--seconds", f"{seconds}", *own)
            if done.status == 0:
                break
    assert done.status == 0, done.errors
    assert done.values["talks_sent"] == 0
    assert token not in done.errors + done.output


def test_what_others_say_in_the_users_own_room_is_stored_only_if_asked(tmp_path):
    own = ("--room-url", "ws://127.0.0.1:9", "--room-token", "none")
    done = subprocess.run(
        [*COMMAND, "--seconds", "0.1", *own],
        check=False,
        cwd=REPOSITORY,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert "not complete: the room was never joined" in done.stderr.lower()
    assert list(tmp_path.rglob("*.wav")) == []
    assert "recorded only with --wav FILE\n" in done.stderr


def test_an_unreachable_server_is_a_failure(tmp_path):
    own = ("--room-url", "ws://127.0.0.1:9", "--room-token", "none")
    done = run(tmp_path, "--seconds", "1", *own)
    assert done.status == 1
    assert done.values["not_complete"] == "the room was never joined"


def test_invalid_options_are_errors_before_the_server_is_built(tmp_path, monkeypatch):
    # Nothing can be built in a folder that cannot be created.
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wrong = (
            ("--listen", f"127.0.0.1:{taken.getsockname()[1]}"),
            ("--wav", str(tmp_path / "none" / "demo.wav")),
            ("--room-url", "ws://example.com", "--room-token", "none"),
        )
        processes = [start(tmp_path, *options) for options in wrong]
        runs = [finish(process, tmp_path) for process in processes]
    for done, remedy in zip(
        runs, ("--listen", "--wav", "wss://example.com"), strict=True
    ):
        assert done.status == 1
        assert remedy in done.errors
        assert "XDG_CACHE_HOME" not in done.errors
        assert "allow_insecure" not in done.errors, "the demo has no such key"
        assert "Traceback" not in done.errors


def test_opening_the_page_stops_the_script(binary, tmp_path):
    with Person(tmp_path) as person:
        person.read_until("filled in: ")
        person.read_until("\n")
        (url,) = re.findall(r"Page: (http://\S+)", person.seen)
        assert httpx.get(f"{url}/pair", trust_env=False).is_success
        person.read_until("The buttons are yours now.")
        person.press(b"q")
        assert person.status() == 0


def test_over_ssh_the_demo_says_how_to_open_its_page(whole):
    assert "ssh -L " in whole.errors


def test_another_port_is_used_when_the_usual_one_is_taken():
    with socket.socket() as taken:
        with contextlib.suppress(OSError):
            # Another demo may use it already.
            taken.bind(("127.0.0.1", 8080))
            taken.listen()
        assert listen_address(None) == "127.0.0.1:0"
    assert listen_address("127.0.0.1:0") == "127.0.0.1:0"
