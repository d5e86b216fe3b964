"""Installs the box on a fresh Debian with systemd as its first process, and uses it.

    sudo .venv/bin/python -m tests.systemd [bookworm | trixie] [--try] [--test]

Needs root, the Debian package debootstrap, and the network for packages. The first run
for a release takes a minute or two more. Sound card, screen and pins are missing there;
tests/guest has them. `--try` and `--test` run README's other two commands instead, as
an ordinary user who has nothing installed: a few minutes, and a quarter of an hour.
Not part of the test command, because it needs root and three minutes.
"""

import argparse
import asyncio
import os
import re
import shutil
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

import httpx

from appliance.demo.livekit_server import find_or_build
from tests.room.conftest import Server
from tests.systemd.booted import CLONE, USER, Booted

REPOSITORY = Path(__file__).parents[2]
ROOM = """\
room: {{url: "{url}", token: "{token}", allow_insecure: [127.0.0.1]}}
page: {{listen: "127.0.0.1:8095"}}
screen: {{driver: none}}
"""
TOKEN_SERVER = """\
rooms: [kitchen]
listen: 127.0.0.1:8797
allow: [loopback]
allow_insecure: [127.0.0.1]
"""
SECRETS = {"URL": "ws://127.0.0.1:7880", "API_KEY": "key", "API_SECRET": "s" * 40}
BOX, TOKENS = "ptt-appliance", "ptt-token-server"
ETC = "/etc/ptt-appliance"


def until(what, is_it, most_s=30.0):
    """Wait until `is_it()` is true, and return the seconds."""
    start_s = time.monotonic()
    while not is_it():
        assert time.monotonic() - start_s < most_s, f"not within {most_s:.0f} s: {what}"
        time.sleep(0.1)
    return time.monotonic() - start_s


def install(system, arguments=""):
    start_s = time.monotonic()
    system.do(f"cd {CLONE} && sudo bash systemd/install.sh {arguments}", user=USER)
    return f"{time.monotonic() - start_s:.0f} s"


def in_room(system):
    return system.property(BOX, "StatusText").startswith("in kitchen")


def installs(system, _):
    return install(system)


def installs_again(system, _):
    return install(system)


def says_that_no_room_is_configured(system, _):
    until("ended", lambda: system.property(BOX, "ExecMainStatus") == "78")
    journal, _status = system.do(f"journalctl -u {BOX} -o cat")
    assert "room.token_url: expected" in journal, journal
    assert system.property(BOX, "NRestarts") == "0"
    return ""


def joins(system, server):
    token = server.token("box")
    system.write(f"{ETC}/config.yaml", ROOM.format(url=server.url, token=token), 0o640)
    system.do(f"chgrp {BOX} {ETC}/config.yaml")
    system.do(f"systemctl restart {BOX}")
    seconds = until("in the room", lambda: in_room(system))
    return f"{seconds:.1f} s; {system.property(BOX, 'StatusText')}"


def checks_the_configuration_as_its_own_user(system, _):
    file = f"{ETC}/config.yaml"
    system.do(f"chmod 600 {file}")
    words, status = system.do(f"{BOX} config check", check=False)
    system.do(f"chmod 640 {file}")
    assert (status, "permission denied" in words) == (78, True), words
    return system.do(f"{BOX} config check")[0]


def comes_back_after_a_kill(system, _):
    before = system.property(BOX, "MainPID")
    system.do(f"systemctl kill --signal=KILL {BOX}")
    until("restarted", lambda: system.property(BOX, "MainPID") not in {before, "0"})
    return f"{until('in the room', lambda: in_room(system)):.1f} s after the restart"


def is_restarted_when_it_hangs(system, _):
    before = system.property(BOX, "MainPID")
    system.do(f"kill -STOP {before}")
    seconds = until(
        "restarted by the watchdog",
        lambda: system.property(BOX, "MainPID") not in {before, "0"},
        60,
    )
    until("in the room", lambda: in_room(system))
    return f"{seconds:.0f} s"


def writes_a_short_journal(system, _):
    invocation = system.property(BOX, "InvocationID")
    journal, _status = system.do(
        f"journalctl -o cat _SYSTEMD_INVOCATION_ID={invocation}"
    )
    lines = journal.splitlines()
    assert len(lines) <= 40, journal
    assert "Traceback" not in journal, journal
    return f"{len(lines)} lines"


def diagnoses(system, _):
    words, status = system.do("ptt-appliance doctor", check=False)
    assert status == 1, words
    assert "Traceback" not in words, words
    for right in (
        "configuration: no mistakes",
        "running; the box reports: no microphone; no speaker",
        "Plug in a USB sound card",
    ):
        assert right in words, words
    return f"{len(words.splitlines())} lines"


def pairs(system, _):
    words, _status = system.do("ptt-appliance pair")
    assert "PIN" in words, words
    return ""


def is_repaired_by_another_installation(system, _):
    venv = "/opt/ptt-appliance/venv"
    packages = f"{venv}/lib/python3*/site-packages"
    took = []
    page = f"{packages}/appliance/page/application.py"
    for damage in (f"rm -r {packages}/PIL", f"truncate --size 0 {page}"):
        system.do(damage)
        took.append(install(system))
    system.do(f"{venv}/bin/python -c 'import PIL.Image'")
    system.do(f"test -s {page}")
    until("in the room", lambda: in_room(system))
    return ", ".join(took)


def says_that_the_system_has_another_python(system, _):
    lib = "/opt/ptt-appliance/venv/lib"
    name, _status = system.do(f"ls {lib} | grep python3")
    system.do(f"mv {lib}/{name} {lib}/other; systemctl restart --no-block {BOX}")
    said = f"This system has {name} now"
    unit = f"journalctl -u {BOX} -o cat"
    seconds = until("the log says so", lambda: said in system.do(unit)[0])
    assert said in system.do(f"{BOX} doctor", check=False)[0]
    system.do(f"mv {lib}/other {lib}/{name}")
    until("in the room", lambda: in_room(system))
    return f"{seconds:.1f} s"


def keeps_its_state_and_added_groups(system, _):
    system.do(f"usermod --append --groups video {BOX}")
    config = system.do(f"cat {ETC}/config.yaml")
    install(system)
    assert "video" in system.do(f"id --name --groups {BOX}")[0]
    assert system.do(f"cat {ETC}/config.yaml") == config
    until("in the room", lambda: in_room(system))
    return ""


def goes_back_where_a_new_version_does_not_start(system, _):
    return goes_back_from("appliance/app.py", system)


def goes_back_where_a_new_version_ends_soon_after_it_is_ready(system, _):
    # The page is loaded later, in a thread.
    return goes_back_from("appliance/page/application.py", system)


def goes_back_from(broken, system):
    system.do(f"echo 'raise ImportError' >>{CLONE}/{broken}")
    upgrade = f"cd {CLONE} && sudo bash systemd/install.sh"
    words, status = system.do(upgrade, user=USER, check=False)
    system.do(f"cd {CLONE} && git checkout --quiet {broken}", user=USER)
    assert (status, words.splitlines()[-1]) == (
        1,
        "Not upgraded. The version before runs again.",
    ), words
    return f"{until('in the room', lambda: in_room(system)):.1f} s"


def runs_without_a_state_directory_on_a_read_only_disk(system, _):
    system.do(f"systemctl stop {BOX}; mv /var/lib/{BOX} /root/kept")
    system.do("mount --bind /var/lib /var/lib; mount -o remount,bind,ro /var/lib")
    try:
        system.do(f"systemctl start {BOX}")
        until("in the room", lambda: in_room(system))
        assert system.property(BOX, "NRestarts") == "0"
        words, status = system.do("ptt-appliance pair", check=False)
        assert (status, "remount,rw" in words) == (1, True), words
    finally:
        system.do("umount /var/lib")
    system.do(f"systemctl restart {BOX}")
    until("in the room", lambda: in_room(system))
    made = system.do(f"stat --format='%U %a' /var/lib/{BOX}")[0]
    assert made == f"{BOX} 700"
    system.do(f"rm -r /var/lib/{BOX}; mv /root/kept /var/lib/{BOX}")
    return ""


def stops(system, _):
    start_s = time.monotonic()
    system.do(f"systemctl stop {BOX}")
    assert system.property(BOX, "Result") == "success"
    return f"{time.monotonic() - start_s:.1f} s"


def token_answer():
    with suppress(httpx.TransportError):
        return httpx.post("http://127.0.0.1:8797/api/token", trust_env=False).text
    return ""


def issues_tokens(system, _):
    took = install(system, "--token-server")
    system.write(f"{ETC}/token-server.yaml", TOKEN_SERVER)
    for name, secret in SECRETS.items():
        system.write(f"{ETC}/token-server/LIVEKIT_{name}", secret + "\n")
    system.do(f"systemctl restart {TOKENS}")
    until("an answer", lambda: "participant_token" in token_answer())
    journal, _status = system.do(f"journalctl -u {TOKENS} -o cat")
    assert "s" * 40 not in journal
    return f"installed in {took}"


def is_closed_off(system, _):
    found = []
    for unit, most in ((BOX, 2.0), (TOKENS, 2.0)):
        words, _status = system.do(f"systemd-analyze security --no-pager {unit}")
        exposure = float(words.splitlines()[-1].split(":")[1].split()[0])
        assert exposure <= most, words
        found.append(f"{unit} {exposure}")
    return ", ".join(found)


def is_removed(system, _):
    system.do(f"systemctl start {BOX} {TOKENS}")
    # Brackets, so that the search does not find itself. Not by its status, which is 2
    # if a process ends meanwhile.
    find = "grep -lsa '[/]opt/ptt-appliance' /proc/[0-9]*/cmdline"
    assert system.do(find, check=False)[0], "nothing runs before"
    install(system, "--remove")
    assert not system.do(find, check=False)[0]
    assert system.do(f"test -e {ETC}/config.yaml", check=False)[1] == 0
    install(system, "--remove --purge")
    left, _status = system.do(
        "find / -xdev -path /home -prune -o -path /var/log -prune -o "
        "'(' -name '*ptt-*' -o -name '*ptt_*' ')' -print"
    )
    assert not left, left
    return ""


def command_of(title):
    """Return the command in README's section of this title."""
    section = (REPOSITORY / "README.md").read_text().partition(f"\n## {title}\n")[2]
    return section.partition("```")[2].partition("\n")[2].partition("\n```")[0]


def can_be_tried(system, _):
    demo = f"{command_of('Try it')} --seconds 25 --listen 127.0.0.1:8096"
    words, _status = system.do(
        f"cd {CLONE} && script -qefc '{demo}' /dev/null", user=USER
    )
    assert "Traceback" not in words, words
    joined = [x.strip() for x in words.splitlines() if x.startswith("Joined ")]
    assert joined, words
    return joined[0]


def passes_its_tests(system, _):
    words, _status = system.do(f"cd {CLONE} && {command_of('Test it')}", user=USER)
    done = re.findall(r"^=+ (\d+ passed.*) =+$", words, re.MULTILINE)
    assert len(done) == 2, words
    untested = re.findall(r"^SKIPPED .*", words, re.MULTILINE)
    return "\n        ".join((*done, *untested))


CHECKS = (
    installs,
    installs_again,
    says_that_no_room_is_configured,
    joins,
    checks_the_configuration_as_its_own_user,
    comes_back_after_a_kill,
    is_restarted_when_it_hangs,
    writes_a_short_journal,
    diagnoses,
    pairs,
    is_repaired_by_another_installation,
    says_that_the_system_has_another_python,
    keeps_its_state_and_added_groups,
    goes_back_where_a_new_version_does_not_start,
    goes_back_where_a_new_version_ends_soon_after_it_is_ready,
    runs_without_a_state_directory_on_a_read_only_disk,
    stops,
    issues_tokens,
    is_closed_off,
    is_removed,
)


def check(which, system, server):
    """Run one check, print its verdict, and return whether it passed."""
    name = which.__name__.replace("_", " ")
    start_s = time.monotonic()
    try:
        found = which(system, server)
    except AssertionError as exc:
        print(f"FAILED  {name}\n{exc}", flush=True)
        traceback.print_exc()
        return False
    print(f"ok      {name:36} {time.monotonic() - start_s:5.1f} s  {found}", flush=True)
    return True


def run(asked, server):
    """Run the checks in order, and return which passed."""
    with Booted(asked.suite, REPOSITORY) as system:
        chosen = [can_be_tried] if asked.has_demo else []
        chosen += [passes_its_tests] if asked.has_tests else []
        return [check(each, system, server) for each in chosen or CHECKS]


async def main():
    parser = argparse.ArgumentParser(prog="python -m tests.systemd")
    releases = ("bookworm", "trixie")
    parser.add_argument("suite", nargs="?", default="trixie", choices=releases)
    parser.add_argument("--try", dest="has_demo", action="store_true")
    parser.add_argument("--test", dest="has_tests", action="store_true")
    asked = parser.parse_args()
    if os.geteuid() or not shutil.which("debootstrap"):
        sys.exit("This needs root and the Debian package debootstrap.")
    async with Server(find_or_build(print)) as server:
        passed = await asyncio.to_thread(run, asked, server)
    print(f"{sum(passed)} of {len(passed)} passed on {asked.suite}")
    return 0 if all(passed) else 1


sys.exit(asyncio.run(main()))
