"""Tests of the PortAudio driver: the sound process on virtual cards."""

import contextlib
import os
import queue
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import _sounddevice
import numpy as np
import pytest

from appliance.audio.driver import IdleWindow, StreamRequest
from appliance.audio.portaudio import (
    RETRY_S,
    START,
    Periods,
    PortAudio,
    SoundProcess,
    reason_in,
    with_host_text,
)
from appliance.audio.sound_process import HEARD, URGENCY
from appliance.audio.streams import Streams
from appliance.errors import SoundError
from appliance.sound_cards.devices import PARTS, listed
from tests.audio.fakes import Sink, counters
from tests.card.asound import Card, plug_in
from tests.card.faults import FAULTS
from tests.card.sounddevice_access import environment

MOVED = "sounddevice has moved its declarations: look at audio/sound_process.py"
PATIENCE_S = 20.0


def test_the_part_of_sounddevice_that_is_used_exists():
    assert version("sounddevice").startswith("0.5."), MOVED
    assert _sounddevice.ffi.new("PaStreamParameters*"), MOVED


class Echo:
    """Callback that plays the captured sound and records each period."""

    def __init__(self, idle_after=0, idle_periods=50):
        self.idle_window = IdleWindow()
        self.calls = []
        self.skipped = 0
        self.nap_s = 0.0
        self._idle_after = idle_after
        self._idle_periods = idle_periods
        self._news = threading.Condition()

    def call(self, heard, played, status, adc_s, skipped):
        self.skipped += skipped
        if len(played) and len(heard):
            played[:] = np.repeat(np.frombuffer(heard, np.int16), 2).tobytes()
        if self.nap_s:
            # The test needs a callback that takes too long.
            time.sleep(self.nap_s)
            self.nap_s = 0.0
        with self._news:
            self.calls.append((len(heard), len(played), adc_s > 0, status))
            self._news.notify_all()
            if len(self.calls) != self._idle_after:
                return 0
        self.idle_window.open()
        return self._idle_periods

    def wait(self, calls):
        """Wait until it was called this number of times."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.calls) >= calls, PATIENCE_S)

    def wait_for_end(self):
        """Wait until it has not been called for a long time."""
        with self._news:
            while self._news.wait(timeout=0.3):
                pass


def opened(driver, asked, callback):
    """Open a stream with this callback."""
    return driver.open(asked, lambda _: callback)


def wanted(driver, card, *, microphone=True, speaker=True):
    found = listed(driver.devices())
    device = next(each for each in found if each.name == card.name)
    return StreamRequest(
        microphone=device if microphone else None,
        speaker=device if speaker else None,
        latency_s=0.01,
    )


@pytest.fixture
def card(tmp_path):
    return Card(tmp_path / "usb")


@pytest.fixture
def driver(tmp_path, card):
    with environment(plug_in(tmp_path / "asound.conf", card)), PortAudio() as driver:
        yield driver


@pytest.mark.parametrize(
    ("microphone", "speaker"), [(True, True), (True, False), (False, True)]
)
def test_the_callback_gets_each_period_in_the_requested_directions(
    driver, card, microphone, speaker
):
    echo = Echo()
    asked = wanted(driver, card, microphone=microphone, speaker=speaker)
    stream = opened(driver, asked, echo)
    echo.wait(20)
    assert 0 < stream.latency_s < 0.1
    assert not stream.failure()
    stream.close()
    stream.close()
    sizes = {call[:3] for call in echo.calls}
    assert sizes == {(960 * microphone, 1920 * speaker, microphone)}


def test_a_process_that_cannot_be_started_is_an_error_of_sound_and_leaks_nothing(
    driver,
):
    free = os.dup(0)
    os.close(free)
    before = len(tuple(Path("/proc/self/fd").iterdir()))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 4, hard))
    try:
        with pytest.raises(SoundError, match="cannot be started: Too many open files"):
            driver.devices()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(tuple(Path("/proc/self/fd").iterdir())) == before
    assert list(driver.devices())


def test_a_process_that_starts_too_slowly_is_no_fault_of_the_card():
    process = SoundProcess()
    try:
        # The kernel names a process a moment after it has begun.
        until_s = time.monotonic() + PATIENCE_S
        while not (started := children()):
            assert time.monotonic() < until_s
        os.kill(started[0], signal.SIGSTOP)
        with pytest.raises(SoundError, match="be started: no answer"):
            process.answer("sound", START, 0.1)
    finally:
        process.close()


def test_a_package_that_is_not_installed_is_named_with_its_remedy(monkeypatch):
    place = str(Path(_sounddevice.__file__).parent)
    monkeypatch.setattr(sys, "path", [x for x in sys.path if x != place])
    with pytest.raises(SoundError, match=r"not installed\. Install the program"):
        PortAudio().devices()
    assert children() == []


def test_closed_streams_and_searches_leave_no_process(driver, card):
    stream = opened(driver, wanted(driver, card), Echo())
    driver.devices()
    assert len(children()) == 2
    stream.close()
    driver.close()
    assert children() == []


def test_two_streams_run_at_the_same_time_and_a_search_interrupts_none(driver, card):
    echoes = Echo(), Echo()
    asked = wanted(driver, card)
    heard = opened(driver, replace(asked, speaker=None), echoes[0])
    played = opened(driver, replace(asked, microphone=None), echoes[1])
    for echo in echoes:
        echo.wait(10)
    heard.close()
    driver.devices()
    before = len(echoes[1].calls)
    echoes[1].wait(before + 10)
    assert not played.failure()
    again = opened(driver, replace(asked, speaker=None), echoes[0])
    echoes[0].wait(len(echoes[0].calls) + 10)
    for stream in (again, played):
        stream.close()


def test_within_an_idle_window_the_speaker_gets_silence_and_no_callback_is_made(
    tmp_path,
):
    card = Card(tmp_path / "usb", is_looped=True)
    card.speak(np.full(48_000, 8000, np.int16), at_s=0.0)
    env = plug_in(tmp_path / "asound.conf", card)
    with environment(env), PortAudio() as driver:
        echo = Echo(idle_after=20)
        stream = opened(driver, wanted(driver, card), echo)
        echo.wait(20)
        since_s = card.now_s()
        echo.wait(30)
        stream.close()
    # On a busy machine an xrun ends the window early.
    lost = sum(bool(call[3]) for call in echo.calls)
    assert echo.skipped >= 50 or lost
    assert not card.heard(since_s + 0.1, since_s + 0.4).any() or lost
    assert card.heard(since_s + 0.55, since_s + 0.65).any() or lost


def test_sound_ends_an_idle_window_at_once(driver, card):
    echo = Echo(idle_after=20, idle_periods=10_000)
    stream = opened(driver, wanted(driver, card), echo)
    echo.wait(20)
    echo.idle_window.end()
    echo.wait(30)
    stream.close()
    assert echo.skipped < 10_000


@pytest.mark.parametrize("has_speaker", [True, False])
def test_a_late_appliance_gets_every_captured_period_and_an_underflow_of_the_speaker(
    driver, card, has_speaker
):
    echo = Echo()
    stream = opened(driver, wanted(driver, card, speaker=has_speaker), echo)
    echo.wait(10)
    echo.nap_s = 0.05
    echo.wait(30)
    stream.close()
    assert any(call[3] & 4 for call in echo.calls) is has_speaker


@pytest.mark.parametrize("rate_hz", [44_100, 16_000])
def test_a_card_is_opened_at_a_rate_that_it_has(tmp_path, rate_hz):
    card = Card(tmp_path / "usb", rates_hz=(rate_hz,))
    env = plug_in(tmp_path / "asound.conf", card)
    rates: list[int] = []

    def made(found_hz):
        rates.append(found_hz)
        return Echo()

    with environment(env), PortAudio() as driver:
        driver.open(wanted(driver, card), made).close()
    assert rates == [rate_hz]


@pytest.mark.parametrize(
    ("microphone_hz", "speaker_hz", "used_hz"),
    [
        ((16_000,), (16_000, 48_000), {"microphone": 16_000, "speaker": 48_000}),
        ((16_000, 44_100), (16_000,), {"microphone": 44_100, "speaker": 16_000}),
        ((44_100,), (44_100, 48_000), {"microphone": 44_100, "speaker": 44_100}),
        ((16_000,), (16_000,), {"microphone": 16_000, "speaker": 16_000}),
    ],
)
def test_a_low_rate_of_one_direction_is_not_that_of_the_other(
    tmp_path, microphone_hz, speaker_hz, used_hz
):
    card = Card(
        tmp_path / "usb",
        microphone_rates_hz=microphone_hz,
        speaker_rates_hz=speaker_hz,
    )
    env = plug_in(tmp_path / "asound.conf", card)
    with environment(env), PortAudio() as driver:
        asked = wanted(driver, card)
        _, totals = counters()
        sender: Any = Sink()
        streams = Streams(driver, sender, totals)
        assert streams.open(dict.fromkeys(PARTS, asked.speaker), 0.01) == {}
        found = streams.counters
        streams.close(tuple(streams.devices))
    assert {way: each.rate_hz for way, each in found.items()} == used_hz
    is_one = found["microphone"] is found["speaker"]
    assert is_one == (len(set(used_hz.values())) == 1)


def test_a_stream_gets_another_buffer_in_the_same_process(driver, card):
    first, second = Echo(), Echo()
    asked = wanted(driver, card)
    stream = opened(driver, asked, first)
    first.wait(10)
    before = children()
    other = replace(asked, latency_s=0.04)
    again = driver.open(other, lambda _: second, stream)
    second.wait(10)
    assert again.latency_s > 0.05
    assert children() == before
    again.close()
    assert children() == []


def test_the_error_of_a_refusing_card_holds_its_name_and_reason(tmp_path):
    card = Card(tmp_path / "usb", rates_hz=(22_050,))
    env = plug_in(tmp_path / "asound.conf", card)
    with (
        environment(env),
        PortAudio() as driver,
        pytest.raises(SoundError, match="cannot be opened at any of") as caught,
    ):
        opened(driver, wanted(driver, card), Echo())
    assert caught.value.part == card.name


BROKEN = "pcm.broken {\n    type hw\n}}\n"
"""ALSA configuration with an error in its third line."""


def test_an_error_in_the_alsa_configuration_is_reported_with_file_and_line(tmp_path):
    path = tmp_path / "asound.conf"
    env = plug_in(path, Card(tmp_path / "usb"))
    with environment(env), PortAudio() as driver:
        whole = path.read_text()
        path.write_text(BROKEN)
        for _ in range(2):
            with pytest.raises(SoundError) as caught:
                driver.devices()
            assert str(caught.value).startswith(f"sound: {path}, line 3: Unexpected }}")
        path.write_text(whole)
        assert driver.devices()


def test_a_name_that_is_not_utf_8_can_be_listed_and_opened(tmp_path):
    path = tmp_path / "asound.conf"
    card = Card(tmp_path / "usb", name="Mikrofon X")
    env = plug_in(path, card)
    path.write_bytes(path.read_bytes().replace(b"Mikrofon X", b"Mikrofon \xd0"))
    with environment(env), PortAudio() as driver:
        found = {device.name: device for device in listed(driver.devices())}
        device = found["Mikrofon \ufffd"]
        echo = Echo()
        stream = opened(driver, StreamRequest(device, device, 0.01), echo)
        echo.wait(5)
        stream.close()


def test_a_call_that_never_returns_is_named_and_ends_only_its_process(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("appliance.audio.portaudio.PATIENCE_S", 2.0)
    card, other = (Card(tmp_path / name, name=name) for name in ("usb", "other"))
    env = plug_in(tmp_path / "asound.conf", card, other)
    with environment(env), PortAudio() as driver:
        asked, echo = wanted(driver, card), Echo()
        works = opened(driver, wanted(driver, other), echo)
        FAULTS["start-hangs"].begin(card)
        with pytest.raises(SoundError, match=r"not answer \(open\)") as caught:
            opened(driver, asked, Echo())
        assert caught.value.part == card.name
        FAULTS["start-hangs"].end(card)
        FAULTS["open-hangs"].begin(card)
        with pytest.raises(SoundError, match=r"not answer \(search\)"):
            driver.devices()
        FAULTS["open-hangs"].end(card)
        again = opened(driver, wanted(driver, card), echo)
        echo.wait(len(echo.calls) + 10)
        assert not works.failure()
        for stream in (works, again):
            stream.close()


def test_a_card_that_works_after_a_hang_has_the_long_time_limit_again(
    tmp_path, monkeypatch
):
    """It may need it, and the hang may have been months ago."""
    limits_s = []
    answer = SoundProcess.answer

    def noted(process, card, task, limit_s):
        limits_s.append(limit_s)
        return answer(process, card, task, limit_s)

    monkeypatch.setattr(SoundProcess, "answer", noted)
    monkeypatch.setattr("appliance.audio.portaudio.PATIENCE_S", 2.0)
    card = Card(tmp_path / "usb")
    with environment(plug_in(tmp_path / "asound.conf", card)), PortAudio() as driver:
        asked = wanted(driver, card)
        FAULTS["start-hangs"].begin(card)
        with pytest.raises(SoundError, match="not answer"):
            opened(driver, asked, Echo())
        FAULTS["start-hangs"].end(card)
        opened(driver, asked, Echo()).close()
        assert limits_s[-1] == RETRY_S
        driver.devices()
        assert limits_s[-1] == 2.0


@pytest.mark.parametrize(
    ("fault", "reason"), [("error-loop", ""), ("crash", "SIGSEGV")]
)
def test_neither_a_flood_of_errors_nor_a_crash_reaches_standard_error(
    driver, card, fault, reason, capfd
):
    echo = Echo()
    stream = opened(driver, wanted(driver, card), echo)
    echo.wait(10)
    FAULTS[fault].begin(card)
    echo.wait_for_end()
    assert reason in stream.failure()
    stream.close()
    assert children() == []
    assert capfd.readouterr() == ("", "")


def test_a_process_whose_real_time_thread_never_sleeps_is_ended(driver, card):
    if not may_be_real_time():
        pytest.skip("NOT TESTED, this user may not have real-time priority")
    echo = Echo()
    stream = opened(driver, wanted(driver, card, speaker=False), echo)
    echo.wait(10)
    # PortAudio's thread spins for seconds when its card is unplugged.
    card.unplug()
    until_s = time.monotonic() + PATIENCE_S
    while not (reason := stream.failure()):
        assert time.monotonic() < until_s
        time.sleep(0.01)
    assert "was it unplugged" in reason


def may_be_real_time():
    """Return whether a thread may have the priority; in a container root may not."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(URGENCY))
    except PermissionError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


def test_a_process_that_ends_with_unread_periods_ends_only_their_thread():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    echo = Echo()
    with ours:
        periods = Periods(ours, echo, 960, 1920)
        theirs.send(HEARD.pack(1, 0, 0, 0.0) + bytes(960))
        assert select.select([theirs], [], [], PATIENCE_S)[0], "it was answered"
        theirs.close()
        periods.end()
    assert len(echo.calls) == 1


def test_an_exception_in_a_callback_reaches_threading_excepthook():
    class Broken(Echo):
        def call(self, *_):
            raise ZeroDivisionError

    seen: queue.Queue[threading.ExceptHookArgs] = queue.Queue()
    before, threading.excepthook = threading.excepthook, seen.put
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        periods = Periods(ours, Broken(), 0, 0)
        try:
            theirs.send(HEARD.pack(1, 0, 0, 0.0))
            assert seen.get(timeout=PATIENCE_S).exc_type is ZeroDivisionError
        finally:
            threading.excepthook = before
            periods.end()


def children():
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    found = []
    for child in map(int, listed.split()):
        # Others end meanwhile.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if b"sound_process" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(child)
    return found


PARENT = """
import os, sys
from appliance.audio.portaudio import PortAudio
driver = PortAudio()
driver.devices()
print(*open(f"/proc/self/task/{os.getpid()}/children").read().split(), flush=True)
sys.stdin.read()
"""


def test_the_sound_process_ends_with_the_appliance(tmp_path, card):
    env = plug_in(tmp_path / "asound.conf", card)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        env=os.environ | env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    ended = select.poll()
    ended.register(child, select.POLLIN)
    assert ended.poll(PATIENCE_S * 1000)
    os.close(child)


def test_the_sound_process_imports_neither_numpy_nor_livekit_nor_sounddevice():
    program = "import sys, appliance.audio.sound_process; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"numpy", "livekit", "sounddevice", "re"} & set(done.stdout.split())


UNEXPECTED = "Unanticipated host error"


def test_the_kernels_words_for_too_little_usb_bandwidth_are_explained():
    said = with_host_text(UNEXPECTED, "No space left on device")
    assert said.startswith(f"{UNEXPECTED} (No space left on device: the USB bandwidth")
    assert "another USB port" in said


@pytest.mark.parametrize(
    ("host_text", "said"),
    [("", UNEXPECTED), ("Input/output error", f"{UNEXPECTED} (Input/output error)")],
)
def test_any_other_text_of_the_host_is_kept(host_text, said):
    assert with_host_text(UNEXPECTED, host_text) == said


def test_output_without_a_cause_is_no_reason():
    assert reason_in("something else") == ""
