"""State directory and identity of the machine."""

import re
from pathlib import Path

import pytest

from appliance.process.state_files import machine_identity, state_folder


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
