"""Upgrade of services that run: to the new version, or back to the one before."""

import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
BOX, TOKENS = "ptt-appliance", "ptt-token-server"
# The machine is a folder. A version is a folder named after it; `broken` has a line for
# each service and version that does not start, `started` is written by systemctl.
STAND_INS = """
cd {root}
programs={root}/opt etc={root}/etc state={root}/state before=
unit={root}/units/box.service token_unit={root}/units/tokens.service
launcher={root}/bin/launcher
replaced=("$programs/venv" "$unit" "$launcher" "$token_unit" "$etc/reference.yaml"
  "$etc/token-server.reference.yaml")
need_64_bit() {{ :; }}
need_packages() {{ :; }}
need_lgpio() {{ :; }}
enable_i2c() {{ :; }}
make_user() {{ :; }}
has_systemd() {{ :; }}
version() {{ echo {version}; }}
is_whole() {{ :; }}
make_venv() {{ mkdir -p "$1"; }}
install_locked() {{ :; }}
install_project() {{ :; }}
install() {{
  local last=${{@: -1}}
  if [[ $1 == -d ]]; then mkdir -p "$last"; else echo {version} >"$last"; fi
}}
systemctl() {{
  case $1 in
    is-active) grep -qx "${{@: -1}}" active ;;
    restart)
      echo "$2 $(basename "$(realpath "$programs/venv")")" >>started
      ! grep -qx "$(tail -n 1 started)" broken
      ;;
  esac
}}
"""


@pytest.fixture
def machine(tmp_path):
    """Return a machine that runs version `old` of both services."""
    for folder in ("opt/old", "etc/token-server", "units", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "opt" / "old" / ".complete").touch()
    (tmp_path / "opt" / "venv").symlink_to(tmp_path / "opt" / "old")
    for file in FILES:
        (tmp_path / file).write_text("old\n")
    (tmp_path / "bin" / "launcher").chmod(0o755)
    for file in ("etc/config.yaml", "etc/token-server.yaml"):
        (tmp_path / file).write_text("the owner's\n")
    return Machine(tmp_path)


FILES = (
    "units/box.service",
    "units/tokens.service",
    "bin/launcher",
    "etc/reference.yaml",
    "etc/token-server.reference.yaml",
)


class Machine:
    def __init__(self, root):
        self.root = root
        self.set(active=(BOX, TOKENS), broken=())

    def set(self, **files):
        for name, lines in files.items():
            (self.root / name).write_text("".join(f"{line}\n" for line in lines))

    def upgrade(self, step="install_all"):
        script = (SYSTEMD / "install.sh").read_text().removesuffix('main "$@"\n')
        script = script.replace('$(dirname "${BASH_SOURCE[0]}")', str(SYSTEMD))
        stand_ins = STAND_INS.format(root=self.root, version="new")
        return subprocess.run(
            ["bash"],
            input=f"{script}{stand_ins}{step}\n",
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def started(self):
        return (self.root / "started").read_text().splitlines()

    @property
    def installed(self):
        """Versions of the program in use and of the files beside it."""
        linked = (self.root / "opt" / "venv").resolve().name
        return {linked} | {(self.root / file).read_text().strip() for file in FILES}

    @property
    def kept(self):
        folders = (self.root / "opt").iterdir()
        return {path.name for path in folders if not path.is_symlink()}


@pytest.mark.parametrize("step", ["install_all", "install_token_server"])
def test_everything_is_upgraded_whichever_way_it_is_asked_for(machine, step):
    done = machine.upgrade(step)
    assert done.returncode == 0, done.stderr
    assert machine.installed == {"new"}
    assert machine.kept == {"new"}
    assert sorted(machine.started) == [f"{BOX} new", f"{TOKENS} new"]
    for file in ("etc/config.yaml", "etc/token-server.yaml"):
        assert (machine.root / file).read_text() == "the owner's\n"


@pytest.mark.parametrize("step", ["install_all", "install_token_server"])
@pytest.mark.parametrize("broken", [BOX, TOKENS])
def test_the_version_before_is_put_back_if_the_new_one_does_not_start(
    machine, step, broken
):
    machine.set(broken=[f"{broken} new"])
    done = machine.upgrade(step)
    assert done.returncode == 1
    assert f"{broken} does not run yet" in done.stderr
    assert done.stderr.endswith("Not upgraded. The version before runs again.\n")
    assert machine.installed == {"old"}
    assert machine.kept == {"old", "new"}
    assert machine.started[-2:] == [f"{BOX} old", f"{TOKENS} old"]
    assert (machine.root / "bin" / "launcher").stat().st_mode & 0o777 == 0o755


def test_what_does_not_run_either_way_is_reported(machine):
    machine.set(broken=[f"{BOX} new", f"{BOX} old"])
    done = machine.upgrade()
    assert done.returncode == 1
    assert done.stderr.endswith(
        "Not upgraded. The version before does not run either.\n"
    )
    assert machine.installed == {"old"}


def test_a_service_that_did_not_run_before_is_no_reason_to_go_back(machine):
    machine.set(active=[TOKENS], broken=[f"{BOX} new"])
    done = machine.upgrade()
    assert done.returncode == 0
    assert f"{BOX} does not run yet" in done.stderr
    assert machine.installed == {"new"}
    assert machine.kept == {"old", "new"}


def test_the_token_server_is_upgraded_without_starting_an_appliance_that_is_stopped(
    machine,
):
    machine.set(active=[TOKENS])
    assert machine.upgrade("install_token_server").returncode == 0
    assert machine.installed == {"new"}
    assert machine.started == [f"{TOKENS} new"]
