"""Upgrade of services that run: to the new version, or back to the one before."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
BOX, TOKENS = "ptt-appliance", "ptt-token-server"
UNITS = "etc/systemd/system"
WANTS = f"{UNITS}/multi-user.target.wants"
# The machine is a folder. A version is a folder named after it. `broken` and `hanging`
# have a line for each service and version that does not start, `full` for each file
# that cannot be written, `active` for each service that runs, `restarting` for each
# that waits for a restart, `failed` for each that has ended by itself, and `stuck` for
# each that does not stop. Soon after they are ready, the services and versions in
# `ending` end and those in `looping` are restarted, which is counted in `restarts`.
# `started` is written by systemctl, `pip` and `no_cache` by the installation of
# packages, `synced` and `sync_of` by sync.
STAND_INS = """
cd {root}
need_64_bit() {{ :; }}
need_packages() {{ :; }}
need_lgpio() {{ :; }}
enable_i2c() {{ :; }}
make_user() {{ :; }}
chgrp() {{ echo "$*" >group; }}
has_systemd() {{ :; }}
version() {{ echo new; }}
is_whole() {{ [[ ! -e $1/damaged ]]; }}
make_venv() {{ mkdir -p "$1"; }}
install_locked() {{
  echo "${{PIP_IGNORE_INSTALLED-}}" >>pip
  printenv PIP_NO_CACHE_DIR >>no_cache || true
  [[ ! -e offline ]] || fail "no network"
  rm -f "$1/damaged"
}}
install_project() {{ :; }}
install() {{
  local last=${{@: -1}}
  if [[ $1 == -d ]]; then
    mkdir -p "$last"
  elif grep -qx "${{last#{root}/}}" full; then
    : >"$last"
    return 1
  else
    echo new >"$last"
  fi
}}
used() {{ basename "$(realpath "$programs/venv")"; }}
sync() {{
  echo "$*" >sync_of
  echo "$(used):" $(ls "$programs") >>synced
}}
sleep() {{
  local name now
  [[ $1 == "$trial_s" ]] || {{ command sleep "$1"; return; }}
  for name in "$service" "$token_service"; do
    now="$name $(used)"
    ! grep -qx "$now" ending || systemctl stop "$name"
    ! grep -qx "$now" looping || echo "$name" >>restarts
  done
}}
systemctl() {{
  local name=${{@: -1}}
  case $1 in
    show) grep -cx "$name" restarts || true ;;
    is-active)
      if grep -qx "$name" active; then
        echo active
      else
        grep -qx "$name" restarting && echo activating && return 3
        grep -qx "$name" failed && echo failed || echo inactive
        return 3
      fi
      ;;
    enable)
      mkdir -p {wants}
      ln -sfn "../$name.service" "{wants}/$name.service"
      ;;
    stop) grep -qsx "$name" stuck || sed -i "/^$name$/d" active ;;
    restart)
      systemctl stop "$name"
      echo "$name $(used)" >>started
      for _ in {{1..200}}; do
        grep -qx "$(tail -n 1 started)" hanging && sleep 0.1 || break
      done
      ! grep -qx "$(tail -n 1 started)" broken || return 1
      echo "$name" >>active
      ;;
  esac
}}
"""


@pytest.fixture
def machine(tmp_path):
    """Return a machine that runs version `old` of both services."""
    for file in FILES:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("old\n")
    (tmp_path / "usr" / "local" / "bin" / BOX).chmod(0o755)
    for file in ("config.yaml", "token-server.yaml"):
        (tmp_path / "etc" / BOX / file).write_text("the owner's\n")
    made = Machine(tmp_path)
    made.make_version("old")
    made.use_version("old")
    (tmp_path / WANTS).mkdir()
    for name in (BOX, TOKENS):
        (tmp_path / WANTS / f"{name}.service").symlink_to(f"../{name}.service")
    return made


ENV = ("env", "--default-signal=HUP,INT", "--unset=PIP_NO_CACHE_DIR")
FILES = (
    f"{UNITS}/{BOX}.service",
    f"{UNITS}/{TOKENS}.service",
    f"usr/local/bin/{BOX}",
    f"etc/{BOX}/reference.yaml",
    f"etc/{BOX}/token-server.reference.yaml",
)


class Machine:
    def __init__(self, root):
        self.root = root
        self.programs = root / "opt" / BOX
        self.set(active=(BOX, TOKENS), restarting=(), broken=(), hanging=(), full=())
        self.set(ending=(), looping=(), restarts=(), failed=())

    def set(self, **files):
        for name, lines in files.items():
            (self.root / name).write_text("".join(f"{line}\n" for line in lines))

    def make_version(self, name):
        (self.programs / name).mkdir(parents=True)
        (self.programs / name / ".complete").touch()

    def use_version(self, name):
        (self.programs / "venv").unlink(missing_ok=True)
        (self.programs / "venv").symlink_to(self.programs / name)

    def remove_service(self, name):
        for folder in (UNITS, WANTS):
            (self.root / folder / f"{name}.service").unlink()

    def begin_upgrade(self, step="install_all"):
        script = (SYSTEMD / "install.sh").read_text().removesuffix('main "$@"\n')
        script = script.replace('$(dirname "${BASH_SOURCE[0]}")', str(SYSTEMD))
        script = script.replace("$EUID", "0")
        script = re.sub(r"^(\w+)=/", rf"\1={self.root}/", script, flags=re.MULTILINE)
        stand_ins = STAND_INS.format(root=self.root, wants=self.root / WANTS)
        return subprocess.Popen(
            # Started with a signal ignored, as under `nohup`, bash cannot react to it.
            (*ENV, "bash", "-c", script + stand_ins + step),
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def upgrade(self, step="install_all"):
        """Upgrade, and return the exit status and what is printed."""
        with self.begin_upgrade(step) as script:
            _, words = script.communicate()
        return script.returncode, words

    @property
    def active(self):
        return set((self.root / "active").read_text().split())

    @property
    def started(self):
        return (self.root / "started").read_text().splitlines()

    @property
    def enabled(self):
        return {path.stem for path in (self.root / WANTS).iterdir()}

    @property
    def installed(self):
        """Versions of the program in use and of the files beside it."""
        files = [self.root / file for file in FILES]
        linked = (self.programs / "venv").resolve().name
        return {linked} | {file.read_text().strip() for file in files if file.exists()}

    @property
    def kept(self):
        return {path.name for path in self.programs.iterdir() if not path.is_symlink()}


@pytest.mark.parametrize("step", ["install_all", "install_token_server"])
def test_everything_is_upgraded_whichever_way_it_is_asked_for(machine, step):
    machine.make_version("older")
    status, words = machine.upgrade(step)
    assert status == 0, words
    assert machine.installed == {"new"}
    assert machine.kept == {"new"}
    assert sorted(machine.started) == [f"{BOX} new", f"{TOKENS} new"]
    for file in ("config.yaml", "token-server.yaml"):
        assert (machine.root / "etc" / BOX / file).read_text() == "the owner's\n"


@pytest.mark.parametrize("step", ["install_all", "install_token_server"])
@pytest.mark.parametrize("broken", [BOX, TOKENS])
def test_the_version_before_is_put_back_if_the_new_one_does_not_start(
    machine, step, broken
):
    machine.make_version("older")
    machine.set(broken=[f"{broken} new"])
    status, words = machine.upgrade(step)
    assert status == 1
    assert f"{broken} does not run yet" in words
    assert words.endswith("Not upgraded. The version before runs again.\n")
    assert machine.installed == {"old"}
    assert machine.kept == {"old", "new"}
    assert machine.started[-2:] == [f"{BOX} old", f"{TOKENS} old"]
    assert (machine.root / FILES[2]).stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("step", ["install_all", "install_token_server"])
@pytest.mark.parametrize("fault", ["ending", "looping"])
@pytest.mark.parametrize("name", [BOX, TOKENS])
def test_the_version_before_is_put_back_if_the_new_one_ends_soon_after_it_was_ready(
    machine, step, fault, name
):
    machine.set(**{fault: [f"{name} new"]})
    status, words = machine.upgrade(step)
    assert status == 1
    assert f"{name} does not run yet" in words
    assert words.endswith("Not upgraded. The version before runs again.\n")
    assert machine.installed == {"old"}
    assert machine.kept == {"old", "new"}
    assert machine.active == {BOX, TOKENS}


def test_earlier_restarts_of_a_service_are_no_reason_to_go_back(machine):
    machine.set(restarts=[BOX, BOX])
    status, words = machine.upgrade()
    assert status == 0, words
    assert machine.installed == {"new"}


def test_the_new_version_is_on_the_disk_before_the_one_before_is_removed(machine):
    status, words = machine.upgrade()
    assert status == 0, words
    assert set((machine.root / "synced").read_text().splitlines()) == {
        "new: new old venv"
    }
    assert machine.kept == {"new"}


def test_an_upgrade_waits_for_no_other_file_system_than_its_own(machine):
    status, words = machine.upgrade()
    assert status == 0, words
    option, *paths = (machine.root / "sync_of").read_text().split()
    assert option == "--file-system"
    own = (f"opt/{BOX}", f"etc/{BOX}", UNITS, "usr/local/bin")
    assert {Path(path) for path in paths} == {machine.root / name for name in own}
    assert all(Path(path).is_dir() for path in paths)


def test_what_does_not_run_either_way_is_reported(machine):
    machine.set(broken=[f"{BOX} new", f"{BOX} old"])
    status, words = machine.upgrade()
    assert status == 1
    assert words.endswith("Not upgraded. The version before does not run either.\n")
    assert machine.installed == {"old"}


@pytest.mark.parametrize("runs", [True, False])
def test_the_page_is_recommended_only_while_the_service_runs(machine, runs):
    machine.set(active=[TOKENS], broken=[] if runs else [f"{BOX} new"])
    status, words = machine.upgrade()
    assert status == 0
    assert (f"sudo {BOX} pair" in words) is runs
    assert f"sudo {BOX} doctor" in words


def test_a_service_that_did_not_run_before_is_no_reason_to_go_back(machine):
    machine.make_version("older")
    machine.set(active=[TOKENS], broken=[f"{BOX} new"])
    status, words = machine.upgrade()
    assert status == 0
    assert f"{BOX} does not run yet" in words
    assert machine.installed == {"new"}
    assert machine.kept == {"old", "new"}


EACH_AND_THE_OTHER = pytest.mark.parametrize(
    ("step", "asked", "other"),
    [("install_all", BOX, TOKENS), ("install_token_server", TOKENS, BOX)],
)


@EACH_AND_THE_OTHER
def test_one_service_is_upgraded_without_starting_the_other_if_it_is_stopped(
    machine, step, asked, other
):
    machine.set(active=[asked])
    assert machine.upgrade(step)[0] == 0
    assert machine.installed == {"new"}
    assert machine.started == [f"{asked} new"]


@EACH_AND_THE_OTHER
@pytest.mark.parametrize("state", ["restarting", "failed"])
def test_the_other_service_is_started_too_if_it_was_not_stopped_by_its_owner(
    machine, state, step, asked, other
):
    machine.set(**{"active": [asked], state: [other]})
    status, words = machine.upgrade(step)
    assert (status, "does not run" in words) == (0, False), words
    assert machine.started == [f"{asked} new", f"{other} new"]


@EACH_AND_THE_OTHER
def test_another_service_that_fails_in_the_new_version_as_before_is_named(
    machine, step, asked, other
):
    machine.set(active=[asked], failed=[other], broken=[f"{other} new"])
    status, words = machine.upgrade(step)
    assert (status, f"{other} does not run yet" in words) == (0, True), words
    assert machine.installed == {"new"}
    assert machine.active == {asked}


NO_SYSTEMD = "has_systemd() { return 1; }; "


@EACH_AND_THE_OTHER
def test_without_systemd_all_that_starts_at_the_next_boot_is_named(
    machine, step, asked, other
):
    status, words = machine.upgrade(f"{NO_SYSTEMD}{step}")
    assert status == 0, words
    assert f"Starting at the next boot: {asked} {other}\n" in words
    assert not (machine.root / "started").exists()


def test_without_systemd_nothing_is_started_on_the_way_back(machine):
    machine.set(full=[FILES[0]])
    status, words = machine.upgrade(f"{NO_SYSTEMD}install_all")
    assert (status, words.endswith("\nNot upgraded.\n")) == (1, True), words
    assert machine.installed == {"old"}
    assert not (machine.root / "started").exists()


@pytest.mark.parametrize(
    "signal_number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM]
)
def test_the_version_before_is_put_back_if_the_upgrade_is_interrupted(
    machine, signal_number
):
    machine.set(hanging=[f"{BOX} new"])
    with machine.begin_upgrade() as script:
        wait_for_line(machine.root / "started")
        # As a terminal that is closed: nobody reads what is printed.
        script.stderr.close()
        # A closed terminal sends several, through the shell and through sudo.
        for _ in range(100):
            os.killpg(script.pid, signal_number)
        assert script.wait(20) != 0
    assert machine.installed == {"old"}
    assert machine.kept == {"old", "new"}
    assert machine.started[-2:] == [f"{BOX} old", f"{TOKENS} old"]


def test_a_second_control_c_does_not_end_the_way_back(machine):
    machine.set(hanging=[f"{BOX} new", f"{BOX} old"])
    with machine.begin_upgrade() as script:
        wait_for_line(machine.root / "started", f"{BOX} new")
        os.killpg(script.pid, signal.SIGINT)
        wait_for_line(machine.root / "started", f"{BOX} old")
        os.killpg(script.pid, signal.SIGINT)
        machine.set(hanging=())
    assert machine.installed == {"old"}
    assert machine.started[-1] == f"{TOKENS} old"


def wait_for_line(path, line=""):
    """Wait until the file has this line, or any."""
    until_s = time.monotonic() + 20
    while not path.exists() or line not in path.read_text():
        assert time.monotonic() < until_s
        time.sleep(0.02)


@pytest.mark.parametrize("file", [FILES[3], FILES[0]])
def test_the_version_before_is_put_back_if_a_file_cannot_be_written(machine, file):
    machine.set(full=[file])
    status, words = machine.upgrade()
    assert status == 1
    assert words.endswith("Not upgraded. The version before runs again.\n")
    assert machine.installed == {"old"}
    assert machine.active == {BOX, TOKENS}


def test_an_interrupted_first_installation_leaves_what_is_installed(machine):
    """There is no version before; another run finishes it."""
    (machine.programs / "venv").unlink()
    machine.set(active=(), hanging=[f"{BOX} new"])
    with machine.begin_upgrade() as script:
        wait_for_line(machine.root / "started")
        os.killpg(script.pid, signal.SIGINT)
    assert machine.installed == {"new"}


def test_a_service_that_is_new_is_removed_on_the_way_back(machine):
    machine.remove_service(TOKENS)
    (machine.root / FILES[4]).unlink()
    machine.set(active=[BOX], broken=[f"{BOX} new"])
    status, words = machine.upgrade("install_token_server")
    assert (status, machine.started[0]) == (1, f"{TOKENS} new"), words
    assert machine.installed == {"old"}
    assert (machine.active, machine.enabled) == ({BOX}, {BOX})
    for file in (FILES[1], FILES[4]):
        assert not (machine.root / file).exists()


def test_an_appliance_that_was_stopped_and_disabled_is_so_after_the_way_back(machine):
    (machine.root / WANTS / f"{BOX}.service").unlink()
    machine.set(active=[TOKENS], broken=[f"{TOKENS} new"])
    status, words = machine.upgrade()
    assert (status, machine.started[0]) == (1, f"{BOX} new"), words
    assert (machine.active, machine.enabled) == ({TOKENS}, {TOKENS})


def test_a_service_that_systemd_kept_restarting_is_started_on_the_way_back(machine):
    machine.set(active=[TOKENS], restarting=[BOX], broken=[f"{TOKENS} new"])
    assert machine.upgrade()[0] == 1
    assert machine.started[-2:] == [f"{BOX} old", f"{TOKENS} old"]
    assert machine.active == {BOX, TOKENS}


def test_a_service_that_had_failed_is_tried_again_on_the_way_back(machine):
    machine.set(active=[BOX], failed=[TOKENS], broken=[f"{BOX} new", f"{TOKENS} old"])
    status, words = machine.upgrade()
    assert status == 1
    assert words.endswith("Not upgraded. The version before runs again.\n")
    assert machine.started[-2:] == [f"{BOX} old", f"{TOKENS} old"]
    assert machine.active == {BOX}


def test_a_version_that_could_not_be_downloaded_leaves_nothing_on_the_card(machine):
    machine.set(offline=())
    status, words = machine.upgrade()
    assert status == 1
    assert words.endswith("is removed; its space is free again.\n")
    assert (machine.root / "no_cache").read_text() == "1\n"
    assert machine.kept == {"old"}
    assert machine.installed == {"old"}


def test_an_upgrade_lets_the_service_read_its_configuration(machine):
    file = machine.root / "etc" / BOX / "config.yaml"
    file.chmod(0o600)
    status, words = machine.upgrade()
    assert status == 0, words
    assert file.stat().st_mode & 0o777 == 0o640
    assert (machine.root / "group").read_text() == f"{BOX} {file}\n"


def test_removing_ends_services_that_are_not_enabled(machine):
    for name in (BOX, TOKENS):
        (machine.root / WANTS / f"{name}.service").unlink()
    status, words = machine.upgrade("remove")
    assert status == 0, words
    assert machine.active == set()


@pytest.mark.parametrize("words", ["--remove", "--remove --purge"])
def test_settings_by_systemctl_edit_are_removed_with_the_configuration(machine, words):
    folders = [machine.root / UNITS / f"{name}.service.d" for name in (BOX, TOKENS)]
    for folder in folders:
        folder.mkdir()
        (folder / "override.conf").write_text("[Service]\n")
    status, said = machine.upgrade(f"id() {{ return 1; }}; main {words}")
    assert status == 0, said
    is_kept = words == "--remove"
    assert [folder.exists() for folder in folders] == [is_kept] * 2
    assert (machine.root / "etc" / BOX).exists() == is_kept


@pytest.mark.parametrize("words", ["--remove", "--remove --purge"])
def test_what_cannot_be_removed_is_not_said_to_be(machine, words):
    status, said = machine.upgrade(f"rm() {{ return 1; }}; main {words}")
    assert (status, said) == (1, "")


def test_nothing_is_removed_while_systemd_does_not_answer(machine):
    status, words = machine.upgrade("systemctl() { return 1; }; remove")
    assert status == 1
    assert f"{BOX} does not stop" in words
    assert machine.kept == {"old"}


def test_a_service_that_does_not_end_is_not_removed(machine):
    machine.set(active=(BOX, TOKENS), stuck=[BOX])
    status, words = machine.upgrade("remove")
    assert status == 1
    assert words == f"{BOX} does not stop. See: systemctl status {BOX}\n"
    assert (machine.programs / "old" / ".complete").exists()


def test_a_repair_in_place_that_failed_is_done_by_the_next_run(machine):
    """pip ignores what is installed both times: it takes the damaged for installed."""
    machine.make_version("new")
    machine.use_version("new")
    (machine.programs / "new" / "damaged").touch()
    machine.set(offline=())
    assert machine.upgrade()[0] == 1
    (machine.root / "offline").unlink()
    status, words = machine.upgrade()
    assert status == 0, words
    assert (machine.root / "pip").read_text().split() == ["1", "1"]
    assert (machine.programs / "new" / ".complete").exists()


@pytest.mark.parametrize("file", ["damaged", "left"])
def test_a_damaged_or_unfinished_version_that_is_not_in_use_is_made_anew(machine, file):
    machine.make_version("new")
    (machine.programs / "new" / file).touch()
    if file == "left":
        (machine.programs / "new" / ".complete").unlink()
    status, words = machine.upgrade()
    assert status == 0, words
    assert (machine.root / "pip").read_text() == "\n"
    assert [path.name for path in (machine.programs / "new").iterdir()] == [".complete"]
