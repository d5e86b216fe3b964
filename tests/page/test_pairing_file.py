"""The pairing file, and the command `pair`."""

import errno
import json
import os
import resource
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.events import PageServed, Part, PartFound, PartLost
from appliance.page.pair_command import PairOptions, pair
from appliance.page.pairing import (
    WRITE_AGAIN,
    Pairing,
    PairingFile,
    digest,
    new_credentials,
    new_secret,
)
from tests.page.fake_app import serving


def test_pins_have_six_digits_and_differ():
    pins = {new_credentials().pin for _ in range(50)}
    assert all(len(pin) == 6 and pin.isdecimal() for pin in pins)
    assert len(pins) > 40


def test_the_file_is_private_and_read_back(tmp_path):
    file = PairingFile(tmp_path / "state")
    keys = file.change(lambda keys: keys.with_cookie(digest("a")), new_credentials())
    assert file.read() == keys
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in (tmp_path / "state").iterdir()] == ["pairing.json"]


@contextmanager
def full_disk():
    """Let no file of this process have more than a few bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_fails_keeps_the_old_file_and_leaves_no_other(tmp_path):
    file = PairingFile(tmp_path)
    keys = file.change(lambda keys: keys, new_credentials())
    with full_disk(), pytest.raises(OSError, match="File too large"):
        file.change(lambda keys: keys.with_cookie(digest("a")), keys)
    assert file.read() == keys
    assert [entry.name for entry in tmp_path.iterdir()] == ["pairing.json"]


SYNCED = """
import sys
from pathlib import Path
from appliance.page.pairing import PairingFile, new_credentials

def audit(event, args):
    if event == "os.rename" or (event == "open" and str(args[0]) == sys.argv[1]):
        print(event)

file = PairingFile(Path(sys.argv[1]))
sys.addaudithook(audit)
file.change(lambda keys: keys, new_credentials())
"""
"""Prints when the file is renamed and when its directory is opened."""


def test_the_directory_is_synced_after_the_file_is_replaced(tmp_path):
    command = [sys.executable, "-c", SYNCED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # The directory is opened for the lock, and again for `fsync`.
    assert done.stdout.split() == ["open", "os.rename", "open"]


def test_concurrent_changes_are_all_kept(tmp_path):
    file = PairingFile(tmp_path)
    first = new_credentials()
    digests = [digest(new_secret()) for _ in range(24)]

    def add(each):
        PairingFile(tmp_path).change(lambda keys: keys.with_cookie(each), first)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, digests))
    keys = file.read()
    assert keys is not None
    assert set(keys.cookies) == set(digests)


@given(content=st.binary(max_size=200) | st.text().map(str.encode))
def test_a_damaged_file_is_treated_as_missing(tmp_path_factory, content):
    file = PairingFile(tmp_path_factory.mktemp("state"))
    file.path.write_bytes(content)
    assert file.read() is None
    # Without the lock another process may have replaced it meanwhile.
    assert file.path.read_bytes() == content


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"pin": "12"}', b'{"pin": "123456", "sessions": [1]}']
)
async def test_a_damaged_file_is_set_aside_and_replaced(
    tmp_path, clock, content, caplog
):
    (tmp_path / "pairing.json").write_bytes(content)
    async with serving(tmp_path, clock) as served:
        assert (tmp_path / "pairing.json.bad").read_bytes() == content
        (line,) = [x for x in caplog.messages if "set aside" in x]
        assert str(tmp_path / "pairing.json") in line
        assert json.loads((tmp_path / "pairing.json").read_text())["pin"] == served.pin


def test_a_damaged_file_is_named_once_where_nothing_can_be_written(tmp_path, caplog):
    file = PairingFile(tmp_path)
    file.path.write_bytes(b"{")
    (tmp_path / "pairing.json.bad").mkdir()
    for _ in range(2):
        with full_disk(), pytest.raises(OSError, match="File too large"):
            file.change(lambda keys: keys, new_credentials())
    (line,) = caplog.messages
    assert line.startswith(f"unusable file not set aside  file={file.path} ")


async def test_a_directory_that_cannot_be_written_is_reported_and_pairing_works(
    tmp_path, clock
):
    in_the_way = tmp_path / "state"
    in_the_way.write_text("a file where the directory should be")
    async with serving(in_the_way, clock) as served:
        (lost,) = served.inbox.of(PartLost)
        assert (lost.part, lost.name) == (Part.STORE, "pairing.json")
        (event,) = served.inbox.of(PageServed)
        async with served.client() as client:
            await client.post("/pair", json={"pin": event.pin})
            assert (await client.get("/api/view")).is_success


@pytest.mark.parametrize("is_json", [False, True])
def test_pair_prints_address_and_pin(tmp_path, capsys, is_json):
    assert pair(tmp_path, "10.0.0.7:8080", PairOptions(is_json=is_json)) == 0
    out = capsys.readouterr().out
    keys = PairingFile(tmp_path).read()
    assert keys is not None
    assert "http://10.0.0.7:8080" in out
    if is_json:
        shown = json.loads(out)
        assert shown["pin"] == keys.pin
        assert shown["pairing_url"] == f"http://10.0.0.7:8080/pair#{keys.pin}"
    else:
        assert f"{keys.pin[:3]} {keys.pin[3:]}" in out
        assert "▄" in out


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, "as root"),
        (errno.ENOSPC, "Free disk space"),
        (errno.EROFS, "remount,rw"),
        (errno.EIO, "dmesg"),
    ],
)
def test_pair_says_what_to_do_if_the_file_cannot_be_written(
    tmp_path, capsys, monkeypatch, number, remedy
):
    def failing(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(PairingFile, "change", failing)
    assert pair(tmp_path, "10.0.0.7:8080", PairOptions()) == 1
    assert remedy in capsys.readouterr().err


def test_pair_prints_only_addresses_of_the_page(tmp_path, capsys):
    pair(tmp_path, "0.0.0.0:80", PairOptions(is_json=True))
    hostname = socket.gethostname().lower().partition(".")[0]
    urls = json.loads(capsys.readouterr().out)["urls"]
    assert urls[-1] == f"http://{hostname}.local:80"
    pair(tmp_path, "127.0.0.1:80", PairOptions(is_json=True))
    assert json.loads(capsys.readouterr().out)["urls"] == ["http://127.0.0.1:80"]


@pytest.mark.parametrize(
    ("listen", "begin"),
    [
        ("0.0.0.0:80", "Scan this with a phone on the same network:"),
        ("127.0.0.1:80", "Only this machine can open the page, because of page.listen"),
    ],
)
def test_a_phone_is_sent_to_no_page_that_it_cannot_open(
    tmp_path, capsys, listen, begin
):
    pair(tmp_path, listen, PairOptions())
    assert capsys.readouterr().out.startswith(begin)


def test_pair_twice_is_the_same_pin_until_it_is_reset(tmp_path, capsys):
    pins = []
    for is_reset in (False, False, True):
        pair(tmp_path, "0.0.0.0:80", PairOptions(is_reset=is_reset, is_json=True))
        pins.append(json.loads(capsys.readouterr().out)["pin"])
    assert pins[0] == pins[1] != pins[2]


def test_a_token_is_printed_alone_and_kept_as_a_digest(tmp_path, capsys):
    options = PairOptions(is_token=True)
    assert pair(tmp_path, "0.0.0.0:8080", options, service=tmp_path) == 0
    out, err = capsys.readouterr()
    keys = PairingFile(tmp_path).read()
    assert keys is not None
    assert (len(out.split()), err) == (1, "")
    assert keys.tokens == (digest(out.strip()),)


@pytest.mark.parametrize(("used", "is_said"), [("mine", True), ("service", False)])
def test_pair_warns_when_the_service_uses_another_directory(
    tmp_path, capsys, used, is_said
):
    (tmp_path / "private").mkdir()
    (tmp_path / "service").symlink_to(tmp_path / "private")
    service = tmp_path / "service"
    pair(tmp_path / used, "0.0.0.0:80", PairOptions(is_json=True), service=service)
    err = capsys.readouterr().err
    assert (f"STATE_DIRECTORY={service}" in err) is is_said


def test_pair_does_not_warn_without_an_installed_service(tmp_path, capsys):
    nowhere = tmp_path / "nowhere"
    pair(tmp_path, "0.0.0.0:80", PairOptions(is_json=True), service=nowhere)
    assert capsys.readouterr().err == ""


def test_pair_says_what_to_do_when_it_cannot_write(tmp_path, capsys):
    in_the_way = tmp_path / "state"
    in_the_way.write_text("")
    assert pair(in_the_way, "0.0.0.0:8080", PairOptions(is_token=True)) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "pairing.json" in err


async def test_phones_paired_with_a_full_disk_stay_paired_once_it_is_writable(
    tmp_path, clock
):
    PairingFile(tmp_path).change(lambda keys: keys, new_credentials())
    async with serving(tmp_path, clock) as served:
        first_pin = served.pin
        with full_disk():
            cookies = [await paired_with(served), await paired_with(served)]
        cookies.append(await paired_with(served))
        assert await statuses(served, cookies) == [200, 200, 200]
        async with served.client() as client:
            answer = await client.post("/pair", json={"pin": first_pin})
        assert answer.status_code == 403
        assert served.pin == served.inbox.of(PageServed)[-1].pin
    async with serving(tmp_path, clock) as again:
        assert await statuses(again, cookies) == [200, 200, 200]


async def test_a_reset_with_phones_that_could_not_be_stored_is_not_undone_by_a_pairing(
    tmp_path, clock
):
    PairingFile(tmp_path).change(lambda keys: keys, new_credentials())
    async with serving(tmp_path, clock) as served:
        with full_disk():
            cookies = [await paired_with(served)]
        before = len(served.inbox.of(PageServed))
        pair(tmp_path, "0.0.0.0:80", PairOptions(is_reset=True), service=tmp_path)
        await served.inbox.until(lambda: len(served.inbox.of(PageServed)) > before)
        cookies.append(await paired_with(served))
        assert await statuses(served, cookies) == [401, 200]


async def test_a_phone_paired_with_a_full_disk_is_stored_once_there_is_space(
    tmp_path, clock
):
    PairingFile(tmp_path).change(lambda keys: keys, new_credentials())
    async with serving(tmp_path, clock) as served:
        with full_disk():
            cookies = [await paired_with(served)]
        clock.now_s += 1 / WRITE_AGAIN.per_s
        await served.inbox.has(PartFound(Part.STORE, "pairing.json"))
        assert served.pin == served.inbox.of(PageServed)[-1].pin
    async with serving(tmp_path, clock) as again:
        assert await statuses(again, cookies) == [200]


async def test_the_fault_of_a_read_that_failed_ends_without_a_change(tmp_path, clock):
    async with serving(tmp_path, clock) as served:
        file, aside = tmp_path / "pairing.json", tmp_path / "aside"
        file.rename(aside)
        file.mkdir()
        await served.inbox.until(lambda: served.inbox.of(PartLost))
        file.rmdir()
        aside.rename(file)
        clock.now_s += 1 / WRITE_AGAIN.per_s
        await served.inbox.has(PartFound(Part.STORE, "pairing.json"))
        assert served.pin == served.inbox.of(PageServed)[-1].pin


class ResetBeforeWrite(PairingFile):
    """File that the command line resets just before the service writes it."""

    is_due = False

    def change(self, changed, otherwise, known=None):
        if self.is_due:
            super().change(lambda _: new_credentials(), otherwise)
        return super().change(changed, otherwise, known)


async def test_a_reset_during_a_pairing_is_not_undone_by_logins_in_memory(tmp_path):
    file = ResetBeforeWrite(tmp_path)
    pairing = Pairing(file, lambda _: None)
    await pairing.open()
    with full_disk():
        await pairing.pair(pairing.pin, "127.0.0.2")
    file.is_due = True
    second = await pairing.pair(pairing.pin, "127.0.0.3")
    kept = file.read()
    assert kept is not None
    assert kept.cookies == (digest(second),)


async def paired_with(served):
    """Pair with the PIN that the box shows, and return the cookie header."""
    shown = served.inbox.of(PageServed)
    async with served.client() as client:
        answer = await client.post("/pair", json={"pin": shown[-1].pin})
    assert answer.is_success, answer.text
    await served.inbox.until(lambda: len(served.inbox.of(PageServed)) > len(shown))
    ((name, value),) = answer.cookies.items()
    return f"{name}={value}"


async def statuses(served, cookies):
    found = []
    for cookie in cookies:
        async with served.client(headers={"cookie": cookie}) as client:
            found.append((await client.get("/api/view")).status_code)
    return found


@pytest.mark.parametrize(
    "options", [PairOptions(), PairOptions(is_reset=True), PairOptions(is_token=True)]
)
def test_with_a_full_disk_nothing_new_is_promised(tmp_path, capsys, options):
    if options != PairOptions():
        PairingFile(tmp_path).change(lambda keys: keys, new_credentials())
    before = [path.read_bytes() for path in tmp_path.iterdir()]
    with full_disk():
        assert pair(tmp_path, "0.0.0.0:80", options) == 1
    assert capsys.readouterr().out == ""
    assert [path.read_bytes() for path in tmp_path.iterdir()] == before


def test_what_root_writes_belongs_to_the_service(tmp_path, capsys):
    # Only root can change the owner of a file.
    owner = (12345, 12345) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(tmp_path, *owner)
    pair(tmp_path, "0.0.0.0:8080", PairOptions(is_reset=True))
    found = (tmp_path / "pairing.json").stat()
    assert (found.st_uid, found.st_gid) == owner
    assert found.st_mode & 0o777 == 0o600
