"""Persistent settings on a real file system."""

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
from appliance.process.settings_store import (
    RETRY_S,
    SETTLE_S,
    SettingsStore,
    VolumeAndGain,
    store_reason,
)
from appliance.process.state_files import state_folder, write_whole


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


def stored(folder, *machine_files):
    """Return what is read on a machine with these files; none: it has no number."""
    return SettingsStore(folder, nobody, machine_files=machine_files).read()


def test_without_a_number_of_the_machine_an_identity_is_made_once_and_stored(tmp_path):
    first = stored(tmp_path / "state")
    assert len(first.identity) == len("box-abcdefgh")
    assert first.volume_and_gain == VolumeAndGain()
    assert stored(tmp_path / "state") == first
    assert stored(tmp_path / "other").identity != first.identity


@pytest.fixture
def serial(tmp_path):
    """Serial number of a board, as the kernel gives it."""
    path = tmp_path / "serial-number"
    path.write_bytes(b"100000003d1d3f5a\0")
    return path


def test_the_identity_of_a_board_is_the_same_after_each_start_and_not_stored(
    tmp_path, serial
):
    folder = tmp_path / "state"
    events: list[object] = []
    first = (
        SettingsStore(folder, events.append, machine_files=(serial,)).read().identity
    )
    assert stored(folder, serial).identity == first
    assert not folder.exists()
    assert events == []
    assert re.fullmatch("box-[a-z2-9]{8}", first)
    assert "3d1d3f5a" not in first


def test_another_board_and_another_box_on_the_same_board_have_other_identities(
    tmp_path, serial
):
    first = stored(tmp_path / "state", serial).identity
    second = stored(tmp_path / "other", serial).identity
    serial.write_bytes(b"100000003d1d3f5b\0")
    assert len({first, second, stored(tmp_path / "state", serial).identity}) == 3


def test_an_identity_that_an_earlier_version_stored_stays_valid(tmp_path, serial):
    write_whole(tmp_path / "identity.json", b'{"identity":"box-a2b3c4d5"}')
    assert stored(tmp_path, serial).identity == "box-a2b3c4d5"


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"0000000000000000\0", b"uninitialized\n", b"\xff\xfe"]
)
def test_a_placeholder_is_no_number_and_the_next_file_is_read(
    tmp_path, serial, content
):
    other = tmp_path / "first"
    other.write_bytes(content)
    expected = stored(tmp_path / "state", serial)
    assert stored(tmp_path / "state", other, serial) == expected


def test_without_a_place_to_store_it_the_identity_of_a_board_is_the_same(
    tmp_path, serial
):
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "state"
    assert stored(folder, serial) == stored(folder, serial)


def test_stored_files_are_readable_by_their_owner_only(tmp_path):
    stored(tmp_path / "state")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")]
    assert modes == [0o700, 0o600]


async def test_levels_survive_a_restart(tmp_path):
    async with SettingsStore(tmp_path, nobody) as store:
        store.do(StoreVolumeAndGain(35, -6.5))
    assert stored(tmp_path).volume_and_gain == VolumeAndGain(35, -6.5)


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
        assert stored(tmp_path).volume_and_gain == expected


async def test_a_file_that_could_not_be_read_at_first_keeps_what_is_not_changed(
    tmp_path,
):
    write_whole(tmp_path / "levels.json", b'{"volume":35,"microphone_gain_db":-6.5}')
    events: list[object] = []
    store = SettingsStore(tmp_path, events.append)
    with unreadable(tmp_path / "levels.json"):
        assert store.read().volume_and_gain == VolumeAndGain()
    async with store:
        store.do(StoreVolumeAndGain(percent=40))
        store.do(StoreVolumeAndGain(percent=35))
    assert stored(tmp_path).volume_and_gain == VolumeAndGain(35, -6.5)
    assert [type(event) for event in events] == [PartLost, PartFound]


async def test_a_change_is_merged_with_what_can_be_read_when_it_is_written(tmp_path):
    write_whole(tmp_path / "levels.json", b'{"volume":35,"microphone_gain_db":-6.5}')
    events = asyncio.Queue[Event]()
    store = SettingsStore(tmp_path, events.put_nowait, settle_s=0.001)
    with unreadable(tmp_path / "levels.json"):
        store.read()
        async with store:
            # The disk is not read on the event loop, which it could block.
            store.do(StoreVolumeAndGain(percent=40))
            (tmp_path / "aside").replace(tmp_path / "levels.json")
            assert isinstance(await events.get(), PartLost)
            assert isinstance(await events.get(), PartFound)
            assert stored(tmp_path).volume_and_gain == VolumeAndGain(40, -6.5)
            store.do(StoreVolumeAndGain(percent=41))
    assert stored(tmp_path).volume_and_gain == VolumeAndGain(41, -6.5)


async def test_a_file_that_stays_unreadable_is_replaced_by_a_change(tmp_path):
    write_whole(tmp_path / "levels.json", b'{"volume":35,"microphone_gain_db":-6.5}')
    events: list[object] = []
    store = SettingsStore(tmp_path, events.append)
    with unreadable(tmp_path / "levels.json"):
        store.read()
        async with store:
            store.do(StoreVolumeAndGain(percent=40))
            store.do(StoreVolumeAndGain(db=-3.0))
    assert stored(tmp_path).volume_and_gain == VolumeAndGain(40, -3.0)
    assert [type(event) for event in events] == [PartLost, PartFound]


def test_an_identity_that_cannot_be_read_is_set_aside_and_made_once(tmp_path, caplog):
    write_whole(tmp_path / "identity.json", b'{"identity":"box-a2b3c4d5"}')
    with unreadable(tmp_path / "identity.json"):
        first = stored(tmp_path)
        assert stored(tmp_path) == first
    assert (tmp_path / "identity.json.bad").is_symlink()
    (line,) = caplog.messages
    assert "set aside" in line
    assert "identity.json" in line
    assert "Too many levels" in line
    assert "damaged" not in caplog.text


def test_an_identity_that_cannot_be_read_stays_if_the_machine_has_a_number(
    tmp_path, serial
):
    write_whole(tmp_path / "identity.json", b'{"identity":"box-a2b3c4d5"}')
    with unreadable(tmp_path / "identity.json"):
        assert stored(tmp_path, serial) == stored(tmp_path, serial)
    assert stored(tmp_path, serial).identity == "box-a2b3c4d5"


async def test_levels_are_written_once_when_they_no_longer_change(tmp_path):
    store = SettingsStore(tmp_path, nobody, settle_s=0.001)
    async with store:
        for percent in range(50):
            store.do(StoreVolumeAndGain(percent, 0))
        assert not list(tmp_path.iterdir())
        while not list(tmp_path.glob("levels.json")):
            await asyncio.sleep(0)
        assert stored(tmp_path).volume_and_gain == VolumeAndGain(49, 0)


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
    assert store.read().identity.startswith("box-")
    assert events == []
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
    async with SettingsStore(tmp_path, events.put_nowait, settle_s=0.001) as store:
        with full_disk():
            store.do(StoreVolumeAndGain(6, 0))
            assert await events.get() == lost
        assert stored(tmp_path).volume_and_gain == VolumeAndGain(5, 0)
        assert [path.name for path in tmp_path.glob("levels*")] == ["levels.json"]
        store.do(StoreVolumeAndGain(7, 0))
        assert await events.get() == PartFound(Part.STORE, str(tmp_path))
    assert stored(tmp_path).volume_and_gain == VolumeAndGain(7, 0)
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
        async with asyncio.timeout(5):
            assert await events.get() == PartFound(Part.STORE, str(tmp_path))
        assert stored(tmp_path).volume_and_gain == VolumeAndGain(6, 0)
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
        async with asyncio.timeout(5):
            assert await events.get() == PartFound(Part.STORE, str(tmp_path))
        assert stored(tmp_path).volume_and_gain == VolumeAndGain(5, 0)


def test_a_disk_that_cannot_be_written_is_named_in_time_and_not_written_all_the_time():
    assert SETTLE_S <= 4
    assert 10 <= RETRY_S <= 15


@pytest.mark.parametrize("name", ["levels.json", "identity.json"])
@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"null", b"\xff\xfe", b"x" * 9999, b'{"volume":101}'),
        b'{"identity":"box-\xff","volume":"\xff"}',
    ],
)
def test_a_damaged_file_is_set_aside_and_defaults_take_its_place(
    tmp_path, name, content, caplog
):
    (tmp_path / name).write_bytes(content)
    found = stored(tmp_path)
    assert found.volume_and_gain == VolumeAndGain()
    assert found.identity.startswith("box-")
    assert (tmp_path / f"{name}.bad").read_bytes() == content
    assert name in caplog.text
    assert stored(tmp_path).identity == found.identity


@pytest.mark.parametrize("name", ["levels.json", "identity.json"])
def test_a_file_that_cannot_be_set_aside_is_named_once(tmp_path, name, caplog, serial):
    (tmp_path / name).write_bytes(b"{")
    (tmp_path / f"{name}.bad").mkdir()
    for _ in range(2):
        assert stored(tmp_path, serial).volume_and_gain == VolumeAndGain()
    (line,) = caplog.messages
    assert line.startswith(f"unusable file not set aside  file={tmp_path / name} ")


@given(st.binary(max_size=60))
def test_any_content_of_the_files_is_survived(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("state")
    (folder / "levels.json").write_bytes(content)
    (folder / "identity.json").write_bytes(content)
    assert stored(folder).identity


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
