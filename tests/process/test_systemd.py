"""Readiness, status and watchdog signals to systemd."""

import asyncio
import socket
import sys
from dataclasses import replace

import pytest

from appliance.config import Config
from appliance.core.state import State
from appliance.core.view import view
from appliance.process.systemd import (
    SystemdNotifier,
    status_of,
    systemd_notify,
    watchdog_s,
)

VIEW = replace(view(State(Config()), 0.0), banner="in kitchen")


class Systemd:
    """Fake systemd that keeps the notifications."""

    def __init__(self):
        self.notifications: list[str] = []
        self.arrived = asyncio.Queue[str]()

    def __call__(self, lines: str):
        self.notifications.append(lines)
        self.arrived.put_nowait(lines)


class BusySystemd(Systemd):
    """Fake systemd that loses some notifications."""

    losses = 1

    def __call__(self, lines: str):
        if self.losses:
            self.losses -= 1
            raise OSError(105, "No buffer space available")
        super().__call__(lines)


async def test_the_first_view_sends_ready_and_each_new_banner_is_sent_once():
    systemd = Systemd()
    async with SystemdNotifier(lambda: True, notify=systemd) as service:
        assert systemd.notifications == []
        service.show(VIEW)
        service.show(replace(VIEW, is_muted=False))
        service.show(replace(VIEW, banner="reconnecting"))
    assert systemd.notifications == [
        "READY=1\nSTATUS=in kitchen",
        "STATUS=reconnecting",
        "STOPPING=1",
    ]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"has_microphone": False, "faults": ("microphone: lost",)}, "no microphone"),
        ({"has_speaker": False, "faults": ("speaker: lost",)}, "no speaker"),
    ],
)
async def test_the_status_of_a_box_without_half_of_its_sound_says_so(changes, status):
    systemd = Systemd()
    async with SystemdNotifier(lambda: True, notify=systemd) as service:
        service.show(VIEW)
        service.show(replace(VIEW, **changes))
        service.show(VIEW)
    assert systemd.notifications[1:-1] == [
        f"STATUS=in kitchen, {status} (1 fault)",
        "STATUS=in kitchen",
    ]


def test_the_status_counts_faults_and_names_no_person():
    view = replace(VIEW, faults=("Anna: no audio arrives", "leave button is held down"))
    assert status_of(view) == "in kitchen (2 faults)"


async def test_a_banner_cannot_set_another_variable():
    systemd = Systemd()
    async with SystemdNotifier(lambda: True, notify=systemd) as service:
        service.show(replace(VIEW, banner="in a\nMAINPID=1"))
    assert systemd.notifications[0] == "READY=1\nSTATUS=in a MAINPID=1"


async def test_any_name_of_a_room_can_be_sent_to_the_real_systemd(
    tmp_path, monkeypatch
):
    address = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        async with SystemdNotifier(lambda: True) as service:
            service.show(replace(VIEW, banner="in a\0b\x1b\ud800 – 部屋"))
            assert systemd.recv(100).decode() == "READY=1\nSTATUS=in ab – 部屋"


async def test_watchdog_signals_continue_while_the_audio_runs():
    systemd = Systemd()
    async with SystemdNotifier(lambda: True, notify=systemd, limit_s=0.002):
        signs = [await systemd.arrived.get() for _ in range(3)]
    assert signs == ["WATCHDOG=1"] * 3


async def test_without_audio_no_watchdog_signal_is_sent_until_it_runs_again(caplog):
    answers = iter([True, False, False, True])
    asked = asyncio.Event()

    def is_alive():
        answer = next(answers, None)
        if answer is None:
            asked.set()
        return bool(answer)

    systemd = Systemd()
    caplog.set_level("INFO")
    async with SystemdNotifier(is_alive, notify=systemd, limit_s=0.002):
        await asked.wait()
    assert systemd.notifications == ["WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]
    assert caplog.messages[:2] == [
        "audio does not run  reason=an audio thread does not respond",
        "audio running again",
    ]


async def test_an_error_while_sending_a_watchdog_signal_ends_the_process():
    def is_alive():
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as caught:
        async with SystemdNotifier(is_alive, notify=Systemd(), limit_s=60):
            await asyncio.Event().wait()
    assert caught.group_contains(ZeroDivisionError)


async def test_an_unreachable_systemd_is_logged_once_and_has_no_other_effect(caplog):
    def nobody_there(_lines: str):
        raise OSError(111, "Connection refused")

    caplog.set_level("WARNING")
    async with SystemdNotifier(lambda: True, notify=nobody_there) as service:
        service.show(VIEW)
        service.show(replace(VIEW, banner="reconnecting"))
    assert caplog.messages == ["systemd cannot be reached  reason=Connection refused"]


async def test_what_got_lost_is_sent_with_the_next_view():
    systemd = BusySystemd()
    async with SystemdNotifier(lambda: True, notify=systemd) as service:
        service.show(VIEW)
        service.show(replace(VIEW, microphone_dbfs=-50))
        systemd.losses = 1
        service.show(replace(VIEW, banner="reconnecting"))
        service.show(replace(VIEW, banner="reconnecting"))
    assert systemd.notifications == [
        "READY=1\nSTATUS=in kitchen",
        "STATUS=reconnecting",
        "STOPPING=1",
    ]


async def test_closing_twice_is_allowed():
    systemd = Systemd()
    service = SystemdNotifier(lambda: True, notify=systemd, limit_s=60)
    async with service:
        pass
    await service.__aexit__(None, None, None)
    assert systemd.notifications.count("STOPPING=1") == 1


def test_the_real_python3_systemd_reaches_a_real_socket(tmp_path, monkeypatch):
    address = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd_notify({"NOTIFY_SOCKET": address})("STATUS=in kitchen")
        assert systemd.recv(100) == b"STATUS=in kitchen"


@pytest.mark.parametrize("name", ["{}/a@b", "@{}/a@b"])
def test_a_missing_python3_systemd_does_not_keep_the_box_from_being_ready(
    name, tmp_path, monkeypatch
):
    address = name.format(tmp_path)
    monkeypatch.setitem(sys.modules, "systemd.daemon", None)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0{address[1:]}" if address[0] == "@" else address)
        systemd_notify({"NOTIFY_SOCKET": address})("READY=1")
        assert systemd.recv(100) == b"READY=1"


def test_without_systemd_notifications_do_nothing():
    systemd_notify({})("READY=1")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
    ],
)
def test_the_watchdog_is_used_only_if_it_is_meant_for_this_process(environ, expected):
    assert watchdog_s(environ, pid=7) == expected
