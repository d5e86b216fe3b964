"""Files in the state directory, volume and gain, and identity of the machine."""

import asyncio
import errno
import os
import re
import resource
import stat
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.commands import StoreVolumeAndGain
from appliance.core.events import Event, Part, PartFound, PartLost
from appliance.process.state_files import (
    RETRY_S,
    SETTLE_S,
    SettingsStore,
    VolumeAndGain,
    machine_identity,
    state_folder,
    store_reason,
    write_whole,
)


@contextmanager
def full_disk():
    """Let no file of this process grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def unreadable(path):
    """Let the file not be read, unless it is replaced."""
    aside = path.rename(path.with_name("aside"))
    path.symlink_to(path)
    yield
    if path.is_symlink():
        aside.replace(path)


def nobody(_event):
    pass


def stored(folder):
    return SettingsStore(folder, nobody).read()


def test_a_file_is_readable_by_its_owner_only(tmp_path):
    write_whole(tmp_path / "state" / "levels.json", b"{}")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")]
    assert modes == [0o700, 0o600]


async def test_levels_survive_a_restart(tmp_path):
    async with SettingsStore(tmp_path, nobody) as store:
        store.do(StoreVolumeAndGain(35, -6.5))
    assert stored(tmp_path) == VolumeAndGain(35, -6.5)


async def test_only_what_was_changed_is_stored_and_the_rest_stays_as_it_was(tmp_path):
    for command, expected in (
        (StoreVolumeAndGain(percent=35), VolumeAndGain(volume=35)),
        (StoreVolumeAndGain(db=-6.5), VolumeAndGain(35, -6.5)),
        (StoreVolumeAndGain(percent=40), VolumeAndGain(40, -6.5)),
        (StoreVolumeAndGain(db=0.0), VolumeAndGain(40, 0.0)),
    ):
        store = SettingsStore(tmp_path, nobody)
        store.read()
        async with store:
            store.do(command)
        assert stored(tmp_path) == expected


async def test_a_file_that_cannot_be_read_is_replaced_by_a_change(tmp_path):
    write_whole(tmp_path / "levels.json", b'{"volume":35,"microphone_gain_db":-6.5}')
    events: list[object] = []
    store = SettingsStore(tmp_path, events.append)
    with unreadable(tmp_path / "levels.json"):
        store.read()
        async with store:
            store.do(StoreVolumeAndGain(percent=40))
            store.do(StoreVolumeAndGain(db=-3.0))
    assert stored(tmp_path) == VolumeAndGain(40, -3.0)
    assert [type(event) for event in events] == [PartLost, PartFound]


async def test_levels_are_written_once_when_they_no_longer_change(tmp_path):
    store = SettingsStore(tmp_path, nobody, settle_s=0.001)
    async with store:
        for percent in range(50):
            store.do(StoreVolumeAndGain(percent, 0))
        assert not list(tmp_path.iterdir())
        while not list(tmp_path.glob("levels.json")):
            await asyncio.sleep(0)
        assert stored(tmp_path) == VolumeAndGain(49, 0)


async def test_nothing_is_written_when_nothing_changed(tmp_path):
    write_whole(tmp_path / "levels.json", b'{"volume":5,"microphone_gain_db":0}')
    before = (tmp_path / "levels.json").stat().st_ino
    store = SettingsStore(tmp_path, nobody)
    store.read()
    async with store:
        store.do(StoreVolumeAndGain(5, 0))
    assert (tmp_path / "levels.json").stat().st_ino == before


async def test_a_folder_that_cannot_be_written_is_reported_once(tmp_path, caplog):
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "state"
    events: list[object] = []
    store = SettingsStore(folder, events.append)
    store.read()
    async with store:
        store.do(StoreVolumeAndGain(5, 0))
    assert events == [PartLost(Part.STORE, str(folder), "Not a directory")]
    assert len([x for x in caplog.records if x.levelname == "WARNING"]) == 1


async def test_a_full_disk_keeps_the_old_levels_and_is_reported_once_until_recovery(
    tmp_path,
):
    events = asyncio.Queue[Event]()
    lost = PartLost(Part.STORE, str(tmp_path), "File too large")
    async with SettingsStore(tmp_path, nobody) as store:
        store.do(StoreVolumeAndGain(5, 0))
    store = SettingsStore(tmp_path, events.put_nowait, settle_s=0.001, retry_s=0.01)
    async with store:
        with full_disk():
            store.do(StoreVolumeAndGain(6, 0))
            assert await events.get() == lost
        assert stored(tmp_path) == VolumeAndGain(5, 0)
        assert [path.name for path in tmp_path.glob("levels*")] == ["levels.json"]
        store.do(StoreVolumeAndGain(7, 0))
        assert await events.get() == PartFound(Part.STORE, str(tmp_path))
    assert stored(tmp_path) == VolumeAndGain(7, 0)
    assert events.empty()


async def test_what_could_not_be_stored_is_stored_as_soon_as_the_disk_has_room(
    tmp_path,
):
    events = asyncio.Queue[Event]()
    store = SettingsStore(tmp_path, events.put_nowait, settle_s=0.001, retry_s=0.01)
    async with store:
        with full_disk():
            store.do(StoreVolumeAndGain(6, 0))
            assert isinstance(await events.get(), PartLost)
        async with asyncio.timeout(30):
            assert await events.get() == PartFound(Part.STORE, str(tmp_path))
        assert stored(tmp_path) == VolumeAndGain(6, 0)
    assert events.empty()


async def test_a_full_disk_is_no_fault_any_more_once_it_has_room_also_without_changes(
    tmp_path,
):
    events = asyncio.Queue[Event]()
    store = SettingsStore(tmp_path, events.put_nowait, settle_s=0.001, retry_s=0.01)
    async with store:
        store.do(StoreVolumeAndGain(5, 0))
        with full_disk():
            await asyncio.sleep(0.1)
            store.do(StoreVolumeAndGain(6, 0))
            assert isinstance(await events.get(), PartLost)
            store.do(StoreVolumeAndGain(5, 0))
            await asyncio.sleep(0.1)
        async with asyncio.timeout(30):
            assert await events.get() == PartFound(Part.STORE, str(tmp_path))
        assert stored(tmp_path) == VolumeAndGain(5, 0)


def test_a_disk_that_cannot_be_written_is_named_in_time_and_not_written_all_the_time():
    assert SETTLE_S <= 4
    assert 10 <= RETRY_S <= 15


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"volume":101}'),
        b'{"volume":"\xff"}',
    ],
)
def test_a_damaged_file_is_set_aside_and_defaults_take_its_place(
    tmp_path, content, caplog
):
    (tmp_path / "levels.json").write_bytes(content)
    assert stored(tmp_path) == VolumeAndGain()
    assert (tmp_path / "levels.json.bad").read_bytes() == content
    assert "levels.json" in caplog.text


def test_a_file_that_cannot_be_set_aside_is_named(tmp_path, caplog):
    path = tmp_path / "levels.json"
    path.write_bytes(b"{")
    (tmp_path / "levels.json.bad").mkdir()
    assert stored(tmp_path) == VolumeAndGain()
    (line,) = caplog.messages
    assert line.startswith(f"unusable file not set aside  file={path} ")


@given(st.binary(max_size=60))
def test_any_content_of_the_file_is_survived(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("state")
    (folder / "levels.json").write_bytes(content)
    stored(folder)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "No space left on device. Free disk space: sudo journalctl"),
        (errno.EROFS, "Read-only file system. What is set now is forgotten"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_full_and_a_read_only_file_system_are_explained(number, said):
    assert store_reason(OSError(number, os.strerror(number))).startswith(said)


@pytest.fixture
def serial(tmp_path):
    """Serial number of a board, as the kernel gives it."""
    path = tmp_path / "serial-number"
    path.write_bytes(b"100000003d1d3f5a\0")
    return path


def test_the_identity_of_a_board_is_the_same_after_each_start(tmp_path, serial):
    first = machine_identity(tmp_path, (serial,))
    assert machine_identity(tmp_path, (serial,)) == first
    assert re.fullmatch("box-[a-z2-9]{8}", first)
    assert "3d1d3f5a" not in first


def test_another_board_and_another_box_on_the_same_board_have_other_identities(
    tmp_path, serial
):
    first = machine_identity(tmp_path, (serial,))
    second = machine_identity(tmp_path / "other", (serial,))
    serial.write_bytes(b"100000003d1d3f5b\0")
    assert len({first, second, machine_identity(tmp_path, (serial,))}) == 3


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"0000000000000000\0", b"uninitialized\n", b"\xff\xfe"]
)
def test_a_placeholder_is_no_number_and_the_next_file_is_read(
    tmp_path, serial, content
):
    other = tmp_path / "first"
    other.write_bytes(content)
    expected = machine_identity(tmp_path, (serial,))
    assert machine_identity(tmp_path, (other, serial)) == expected


def test_without_a_number_of_the_machine_an_identity_is_made_once_and_kept(tmp_path):
    first = machine_identity(tmp_path / "state", ())
    assert re.fullmatch("box-[a-z2-9]{8}", first)
    assert machine_identity(tmp_path / "state", ()) == first
    assert machine_identity(tmp_path / "other", ()) != first


@pytest.mark.parametrize("content", [b"", b"\xff", b"box-abc", b"box-abcdefgh2"])
def test_a_damaged_identity_is_made_again(tmp_path, content):
    (tmp_path / "identity").write_bytes(content)
    first = machine_identity(tmp_path, ())
    assert machine_identity(tmp_path, ()) == first


def test_without_a_place_to_keep_it_an_identity_is_made_all_the_same(tmp_path, caplog):
    (tmp_path / "file").touch()
    assert machine_identity(tmp_path / "file" / "state", ()).startswith("box-")
    assert "identity is not kept" in caplog.text


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, "/var/lib/a"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/home/me"}, "/x/ptt-appliance"),
        ({"HOME": "/home/me"}, "/home/me/.local/state/ptt-appliance"),
        (
            {"XDG_STATE_HOME": "relative", "STATE_DIRECTORY": "", "HOME": "/home/me"},
            "/home/me/.local/state/ptt-appliance",
        ),
    ],
)
def test_the_state_folder_follows_systemd_and_xdg(environ, expected):
    assert state_folder(environ) == Path(expected)
