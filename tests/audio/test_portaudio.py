"""Tests of the PortAudio driver: the sound process on virtual cards."""

import contextlib
import os
import queue
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path

import _sounddevice
import numpy as np
import pytest

from appliance.audio.driver import IdleWindow, StreamRequest
from appliance.audio.portaudio import PortAudio
from appliance.audio.realtime import URGENCY
from appliance.audio.sound_process_client import (
    PeriodThread,
    ProcessGoneError,
    SoundProcess,
)
from appliance.audio.sound_process_main import HEARD, LAST_PERIOD, PLAYED, Exchange
from appliance.errors import SoundError
from appliance.sound_cards.devices import Device, listed
from tests.card.asound import Card, plug_in
from tests.card.faults import FAULTS
from tests.card.sounddevice_access import environment

MOVED = "sounddevice has moved its declarations: look at audio/sound_process_main.py"
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

    def call(self, heard, played, status, adc_s):
        self.skipped += self.idle_window.taken()
        if len(played) and len(heard):
            played[:] = np.repeat(np.frombuffer(heard, np.int16), 2).tobytes()
        if self.nap_s:
            # The test needs a callback that takes too long.
            time.sleep(self.nap_s)
            self.nap_s = 0.0
        with self._news:
            self.calls.append((len(heard), len(played), adc_s > 0, status))
            if len(self.calls) == self._idle_after:
                self.idle_window.open()
                self.idle_window.begin(self._idle_periods)
            self._news.notify_all()

    def wait(self, calls):
        """Wait until it was called this number of times."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.calls) >= calls, PATIENCE_S)

    def wait_for_end(self):
        """Wait until it has not been called for a long time."""
        with self._news:
            while self._news.wait(timeout=0.3):
                pass


def wanted(driver, card, *, microphone=True, speaker=True, rate_hz=48_000):
    found = listed(driver.devices())
    device = next(each for each in found if each.name == card.name)
    return StreamRequest(
        microphone=device if microphone else None,
        speaker=device if speaker else None,
        rate_hz=rate_hz,
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
    stream = driver.open(asked, echo)
    stream.start()
    echo.wait(20)
    assert 0 < stream.latency_s < 0.1
    stream.close()
    stream.close()
    sizes = {call[:3] for call in echo.calls}
    assert sizes == {(960 * microphone, 1920 * speaker, microphone)}


def test_each_answer_of_the_library_is_a_sign_of_life(driver, card):
    asked = wanted(driver, card)
    before_s = driver.answered_at_s
    assert driver.can(asked)
    assert driver.answered_at_s > before_s > 0


def test_a_process_that_cannot_be_started_is_an_error_of_sound_and_leaks_nothing(
    driver,
):
    driver.close()
    free = os.dup(0)
    os.close(free)
    before = len(tuple(Path("/proc/self/fd").iterdir()))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 4, hard))
    try:
        with pytest.raises(SoundError, match="cannot be started: Too many open files"):
            driver.renew()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(tuple(Path("/proc/self/fd").iterdir())) == before
    driver.renew()
    assert list(driver.devices())


def test_a_process_that_starts_too_slowly_is_no_fault_of_the_card():
    process = SoundProcess()
    try:
        # The kernel names a process a moment after it has begun.
        until_s = time.monotonic() + PATIENCE_S
        while not (started := children()):
            assert time.monotonic() < until_s
        os.kill(started[0], signal.SIGSTOP)
        with pytest.raises(ProcessGoneError, match="be started: no answer"):
            process.call("load", limit_s=0.1)
    finally:
        process.kill()


def test_a_process_that_has_searched_often_is_replaced(tmp_path, card, monkeypatch):
    """PortAudio and alsa-lib keep some memory at each search."""
    monkeypatch.setattr("appliance.audio.portaudio.MAX_SEARCHES", 3)
    env = plug_in(tmp_path / "asound.conf", card)
    with environment(env), PortAudio() as driver:
        first = children()
        for _ in range(2):
            driver.renew()
            assert children() == first
        driver.renew()
        assert len(children()) == len(first)
        assert children() != first
        echo = Echo()
        stream = driver.open(wanted(driver, card), echo)
        stream.start()
        echo.wait(5)
        stream.close()


def test_two_streams_run_at_the_same_time(driver, card):
    echoes = Echo(), Echo()
    heard = driver.open(wanted(driver, card, speaker=False), echoes[0])
    played = driver.open(wanted(driver, card, microphone=False), echoes[1])
    for stream in (heard, played):
        stream.start()
    for echo in echoes:
        echo.wait(10)
    heard.close()
    before = len(echoes[1].calls)
    echoes[1].wait(before + 10)
    again = driver.open(wanted(driver, card, speaker=False), echoes[0])
    before = len(echoes[0].calls)
    again.start()
    echoes[0].wait(before + 10)


def test_within_an_idle_window_the_speaker_gets_silence_and_no_callback_is_made(
    tmp_path,
):
    card = Card(tmp_path / "usb", is_looped=True)
    card.speak(np.full(48_000, 8000, np.int16), at_s=0.0)
    env = plug_in(tmp_path / "asound.conf", card)
    with environment(env), PortAudio() as driver:
        echo = Echo(idle_after=20)
        stream = driver.open(wanted(driver, card), echo)
        stream.start()
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
    stream = driver.open(wanted(driver, card), echo)
    stream.start()
    echo.wait(20)
    echo.idle_window.end()
    echo.wait(30)
    assert echo.skipped < 10_000


@pytest.mark.parametrize("has_speaker", [True, False])
def test_a_late_appliance_gets_every_captured_period_and_an_underflow_of_the_speaker(
    driver, card, has_speaker
):
    echo = Echo()
    stream = driver.open(wanted(driver, card, speaker=has_speaker), echo)
    stream.start()
    echo.wait(10)
    echo.nap_s = 0.05
    echo.wait(30)
    stream.close()
    assert any(call[3] & 4 for call in echo.calls) is has_speaker


def test_the_error_of_a_refusing_card_holds_its_name_and_reason(tmp_path):
    card = Card(tmp_path / "usb", rates_hz=(44_100,))
    env = plug_in(tmp_path / "asound.conf", card)
    with environment(env), PortAudio() as driver:
        asked = wanted(driver, card)
        assert not driver.can(asked)
        assert driver.can(wanted(driver, card, rate_hz=44_100))
        with pytest.raises(SoundError, match="sample rate") as caught:
            driver.open(asked, Echo())
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
                driver.renew()
            assert str(caught.value).startswith(f"sound: {path}, line 3: Unexpected }}")
        with pytest.raises(SoundError):
            driver.devices()
        with pytest.raises(SoundError, match="line 3"), PortAudio():
            pass
        path.write_text(whole)
        driver.renew()
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
        asked = StreamRequest(device, device, 48_000, 0.01)
        assert driver.can(asked)
        stream = driver.open(asked, echo)
        stream.start()
        echo.wait(5)
        stream.close()


def test_a_call_that_never_returns_is_named_and_a_new_process_is_started(
    tmp_path, card, monkeypatch
):
    monkeypatch.setattr("appliance.audio.portaudio.PATIENCE_S", 2.0)
    env = plug_in(tmp_path / "asound.conf", card)
    with environment(env), PortAudio() as driver:
        asked = wanted(driver, card)
        FAULTS["start-hangs"].begin(card)
        stream = driver.open(asked, Echo())
        with pytest.raises(
            SoundError, match=r"not answer \(Pa_StartStream\)"
        ) as caught:
            stream.start()
        assert caught.value.part == card.name
        assert driver.failure() == caught.value.reason
        stream.close()
        with pytest.raises(SoundError, match="Pa_StartStream"):
            driver.can(asked)
        FAULTS["start-hangs"].end(card)
        FAULTS["open-hangs"].begin(card)
        with pytest.raises(SoundError, match="Pa_Initialize"):
            driver.renew()
        FAULTS["open-hangs"].end(card)
        driver.renew()
        assert driver.failure() == ""
        echo = Echo()
        stream = driver.open(wanted(driver, card), echo)
        stream.start()
        echo.wait(10)


@pytest.mark.parametrize("fault", ["error-loop", "crash"])
def test_neither_a_flood_of_errors_nor_a_crash_reaches_standard_error(
    driver, card, fault, capfd
):
    echo = Echo()
    stream = driver.open(wanted(driver, card), echo)
    stream.start()
    echo.wait(10)
    FAULTS[fault].begin(card)
    echo.wait_for_end()
    until_s = time.monotonic() + PATIENCE_S
    # A crash comes with the next period, the other fault shows when it is closed.
    while fault == "crash" and not driver.failure():
        assert time.monotonic() < until_s
        time.sleep(0.01)
    stream.close()
    expected = {"error-loop": "Pa_CloseStream", "crash": "SIGSEGV"}
    assert expected[fault] in driver.failure()
    assert capfd.readouterr() == ("", "")


def test_only_threads_that_never_sleep_lose_their_real_time_priority(tmp_path):
    if not may_be_real_time():
        pytest.skip("NOT TESTED, this user may not have real-time priority")
    cards = [Card(tmp_path / x, name=x) for x in ("one", "two", "three")]
    with environment(plug_in(tmp_path / "asound.conf", *cards)), PortAudio() as driver:
        (child,) = children()
        # PortAudio's thread spins for seconds when its card is unplugged.
        for unplugged in cards[:2]:
            echoes, streams = (Echo(), Echo()), []
            for card, echo in zip((unplugged, cards[2]), echoes, strict=True):
                stream = driver.open(wanted(driver, card, speaker=False), echo)
                stream.start()
                echo.wait(10)
                streams.append(stream)
            until_s = time.monotonic() + PATIENCE_S
            unplugged.unplug()
            while not lowered(child):
                assert time.monotonic() < until_s
                time.sleep(0.01)
            assert len(lowered(child)) == 1
            echoes[1].wait(len(echoes[1].calls) + 10)
            while real_time_limit(child) != "200000":
                assert time.monotonic() < until_s, "the kernel has raised it"
                time.sleep(0.01)
            for stream in streams:
                stream.close()


def may_be_real_time():
    """Return whether a thread may have the priority; in a container root may not."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(URGENCY))
    except PermissionError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


def lowered(child):
    """Return the threads with the lowest ordinary priority."""
    found = []
    for thread in (int(x.name) for x in Path(f"/proc/{child}/task").iterdir()):
        # Others end meanwhile.
        with contextlib.suppress(ProcessLookupError):
            if os.getpriority(os.PRIO_PROCESS, thread) == 19:
                found.append(thread)
    return found


def real_time_limit(child):
    limits = Path(f"/proc/{child}/limits").read_text()
    return re.findall(r"^Max realtime timeout +(\d+) ", limits, re.MULTILINE)[0]


def test_a_process_that_ends_with_unread_periods_ends_only_their_thread():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    thread = PeriodThread(ours, memoryview(bytearray(1)))
    echo = Echo()
    device = Device(0, "USB", 1, 2, 48_000)
    thread.begin(7, StreamRequest(device, device, 48_000, 0.01), echo)
    theirs.send(HEARD.pack(7, 1, 0, 0, 0.0) + bytes(960))
    assert select.select([theirs], [], [], PATIENCE_S)[0], "it was answered"
    theirs.close()
    thread.end()
    assert len(echo.calls) == 1


def test_the_numbers_of_periods_begin_again_before_they_become_too_long(monkeypatch):
    """Each has 32 bits; here they have two."""
    assert HEARD.unpack(HEARD.pack(7, LAST_PERIOD, 0, 0, 0.0))[1] == LAST_PERIOD
    with pytest.raises(struct.error):
        HEARD.pack(7, LAST_PERIOD + 1, 0, 0, 0.0)
    raised: list[None] = []
    monkeypatch.setattr(f"{Exchange.__module__}.LAST_PERIOD", 3)
    monkeypatch.setattr(
        f"{Exchange.__module__}.raise_priority", lambda: raised.append(None)
    )
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        exchange = Exchange(theirs.fileno(), 7, PATIENCE_S)
        for period in (1, 2, 3, 0, 1):
            ours.send(PLAYED.pack(7, period, 4))
            assert exchange.run([], [], 0, (0, 0.0)) == (4, 0)
            assert HEARD.unpack(ours.recv(100))[:2] == (7, period)
    assert len(raised) == 1, "the priority is taken from a thread that spins for good"


def test_an_exception_in_a_callback_reaches_threading_excepthook():
    class Broken(Echo):
        def call(self, *_):
            raise ZeroDivisionError

    seen: queue.Queue[threading.ExceptHookArgs] = queue.Queue()
    before, threading.excepthook = threading.excepthook, seen.put
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    thread = PeriodThread(ours, memoryview(bytearray(1)))
    try:
        thread.begin(7, StreamRequest(None, None, 48_000, 0.01), Broken())
        theirs.send(HEARD.pack(7, 1, 0, 0, 0.0))
        assert seen.get(timeout=PATIENCE_S).exc_type is ZeroDivisionError
    finally:
        threading.excepthook = before
        thread.end()
        theirs.close()


def children():
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    found = []
    for child in map(int, listed.split()):
        # Others end meanwhile.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if b"sound_process_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(child)
    return found


PARENT = """
import os, sys
from appliance.audio.sound_process_client import PeriodThread
from appliance.audio.portaudio import PortAudio
from appliance.audio.realtime import URGENCY
from appliance.audio.sound_process_main import HEARD
driver = PortAudio()
driver.renew()
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
    program = (
        "import sys, appliance.audio.sound_process_main; print(*sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"numpy", "livekit", "sounddevice", "re"} & set(done.stdout.split())
