"""The shell scripts and CI's command."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
FOLDERS = (".ci", "appliance", "systemd", "tests")


def is_script(path):
    return path.is_file() and (path.suffix == ".sh" or path == REPOSITORY / ".ci/run")


SCRIPTS = sorted(
    path
    for folder in FOLDERS
    for path in (REPOSITORY / folder).rglob("*")
    if is_script(path)
)


def run(*command, **options):
    return subprocess.run(
        command, capture_output=True, text=True, check=False, **options
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script):
    if shutil.which("shellcheck") is None:
        pytest.fail("shellcheck is missing: install the Debian package shellcheck")
    done = run("shellcheck", "--external-sources", script, cwd=REPOSITORY)
    assert done.stdout == ""


@pytest.fixture
def clone(tmp_path):
    """Run `.ci/run` in a folder with the files that it reads."""
    shutil.copytree(REPOSITORY / ".ci", tmp_path / ".ci")

    def ci_run(readme):
        (tmp_path / "README.md").write_text(readme)
        return run("bash", tmp_path / ".ci" / "run", cwd="/")

    return ci_run


def test_ci_runs_the_command_of_the_readme_at_the_top_of_the_clone(clone, tmp_path):
    before = "## Try it\n```sh\nfalse\n```\n"
    after = "And more:\n```sh\nls\n```\n"
    done = clone(f"{before}## Test it\nAll:\n```sh\npwd; exit 3\n```\n{after}")
    assert (done.returncode, done.stdout) == (3, f"{tmp_path}\n")


@pytest.mark.parametrize(
    "readme",
    [
        "",
        "## Test it\nnothing\n## Other\n```\ntrue\n```\n",
        "## Test it\n```\ntrue\ntrue\n```\n",
    ],
)
def test_ci_fails_where_the_readme_has_not_exactly_one_command(clone, readme):
    done = clone(readme)
    assert done.returncode == 1
    assert "Test it" in done.stderr


def test_without_root_or_sudo_the_command_for_root_is_printed():
    setup = (REPOSITORY / "systemd" / "setup.sh").read_text()
    code = f"{setup}\nsudo() {{ return 1; }}\nneed_packages no-such-package\n"
    done = run(*as_nobody(), "bash", input=code, cwd="/")
    assert done.returncode == 1
    assert (
        "apt-get install --yes --no-install-recommends no-such-package" in done.stderr
    )


@pytest.mark.parametrize("status", [0, 1])
def test_the_output_of_apt_is_shown_only_if_it_fails(status):
    setup = (REPOSITORY / "systemd" / "setup.sh").read_text()
    as_root = (
        "as_root() {\n"
        "  echo noise >&2\n"
        "  if [[ $2 == update ]]; then touch lists; return; fi\n"
        '  [[ -e lists ]] && return "$status"\n'
        "}\n"
    )
    code = (
        f'{setup}\ncd "$(mktemp -d)"\nstatus={status}\nmay_be_root() {{ :; }}\n'
        f"{as_root}need_packages no-such-package\n"
    )
    done = run("bash", input=code, cwd="/")
    assert done.returncode == status
    assert ("noise" in done.stderr) == bool(status)


def as_nobody():
    if os.geteuid() != 0:
        return ()
    setpriv = shutil.which("setpriv")
    assert setpriv
    return (setpriv, "--reuid=65534", "--regid=65534", "--clear-groups")


def test_the_venv_holds_locked_packages_that_debian_has_in_the_same_version(tmp_path):
    """New, and repaired in place.

    python3-systemd is always there: a wheel of its name and version is locked.
    """
    name = "systemd-python"
    told = run("/usr/bin/python3", "-c", f"{VERSION}print(version({name!r}))")
    version = told.stdout.strip()
    wheel = write_wheel(tmp_path / "wheels", name, version)
    lock = tmp_path / "requirements.lock"
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock.write_text(f"{name}=={version} --hash=sha256:{digest}\n")
    venv = tmp_path / "venv"
    modules = ("venv", "pip", "sitecustomize")
    elsewhere = folder_with_modules(tmp_path / "elsewhere", *modules)
    setup = REPOSITORY / "systemd" / "setup.sh"
    code = f"""source {setup}
        make_venv {venv}
        for ignored in "" 1; do
            [[ -z $ignored ]] || export PIP_IGNORE_INSTALLED=$ignored
            install_locked {venv} {lock}
            {venv}/bin/python -I -c 'import systemd.journal; print("visible")'
            rm -r {venv}/.[0-9a-f]* {venv}/lib/*/site-packages/systemd_python-*
        done"""
    here = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheel.parent)}
    here["PYTHONPATH"] = str(elsewhere)
    done = run("bash", "-euc", code, env=os.environ | here, cwd=elsewhere)
    assert (done.returncode, done.stdout) == (0, "visible\n" * 2), done.stderr


def folder_with_modules(folder, *names):
    """Make a folder with modules that end the program which imports them."""
    folder.mkdir()
    for name in names:
        (folder / f"{name}.py").write_text("raise SystemExit('not installed')\n")
    return folder


def is_whole(venv, here):
    setup = REPOSITORY / "systemd" / "setup.sh"
    return run("bash", "-euc", f"source {setup}\nis_whole {venv}", cwd=here)


def test_the_packages_that_are_checked_are_those_of_the_virtual_environment(tmp_path):
    here = folder_with_modules(tmp_path / "here", "appliance", "yaml")
    assert is_whole(REPOSITORY / ".venv", here).returncode == 0


def test_a_file_of_the_installed_appliance_that_became_empty_is_found(tmp_path):
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    (packages,) = venv.glob("lib/*/site-packages")
    (locked,) = (REPOSITORY / ".venv").glob("lib/*/site-packages")
    (packages / "locked.pth").write_text(f"{locked}\n")
    shutil.copytree(REPOSITORY / "appliance", packages / "appliance")
    assert is_whole(venv, REPOSITORY).returncode == 0
    for name in ("cli", "page/application", "panel/screen", "token_server/signing"):
        file = packages / "appliance" / f"{name}.py"
        content = file.read_text()
        file.write_text("")
        assert is_whole(venv, REPOSITORY).returncode == 1, name
        file.write_text(content)


@pytest.fixture
def venv_with_pip(tmp_path):
    """A virtual environment whose Python runs this shell code instead of pip."""

    def make(code):
        folder = tmp_path / "venv"
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "python").write_text(
            f'#!/bin/sh\ncase $* in *"-m pip"*) ;; *) exit ;; esac\n{code}\n'
        )
        (folder / "bin" / "python").chmod(0o755)
        (folder / "pyvenv.cfg").write_text("include-system-site-packages = true\n")
        return folder

    return make


def install_into(folder, env=None, cwd=None):
    setup = REPOSITORY / "systemd" / "setup.sh"
    code = f"source {setup}\ninstall_locked {folder} /dev/null\n"
    return subprocess.Popen(
        ["bash", "-euc", code],
        env=os.environ | (env or {}),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


SHOWN = "include-system-site-packages = true\n"
HIDDEN = "include-system-site-packages = false\n"


def test_debians_packages_are_hidden_only_while_pip_runs(venv_with_pip):
    folder = venv_with_pip('cat "${0%/bin/python}/pyvenv.cfg"; exit 1')
    with install_into(folder) as done:
        output, _ = done.communicate()
    assert (done.returncode, output) == (1, HIDDEN)
    assert (folder / "pyvenv.cfg").read_text() == SHOWN


def test_debians_packages_are_shown_again_after_control_c(venv_with_pip):
    folder = venv_with_pip("echo started; exec sleep 60")
    with install_into(folder) as done:
        assert done.stdout is not None
        assert done.stdout.readline() == "started\n"
        assert (folder / "pyvenv.cfg").read_text() == HIDDEN
        # As a terminal does: to the script and to pip.
        os.killpg(done.pid, signal.SIGINT)
        assert done.wait() != 0
    assert (folder / "pyvenv.cfg").read_text() == SHOWN


@pytest.mark.parametrize("wanted", ["false", "true"])
def test_packages_that_cannot_be_hidden_and_shown_again_are_not_installed(
    venv_with_pip, tmp_path, wanted
):
    path = stand_in(
        tmp_path / "bin",
        "sed",
        f'case $2 in *{wanted}*) exit 1 ;; esac\nexec /bin/sed "$@"',
    )
    folder = venv_with_pip("echo started")
    with install_into(folder, {"PATH": path}) as done:
        output, _ = done.communicate()
    assert (done.returncode, "started" in output) == (1, wanted == "true")


def test_what_is_installed_is_on_the_disk_before_it_is_marked_as_done(
    venv_with_pip, tmp_path
):
    folder = venv_with_pip("echo pip >>log")
    code = 'echo sync "$@" >>log; ls -A >>log'
    path = stand_in(tmp_path / "bin", "sync", code)
    with install_into(folder, {"PATH": path}, cwd=folder) as done:
        done.communicate()
    assert done.returncode == 0
    before = ["bin", "log", "pyvenv.cfg"]
    sync = ["sync", "--file-system", str(folder)]
    assert (folder / "log").read_text().split() == ["pip", *sync, *before]
    assert len(list(folder.iterdir())) == len(before) + 1


def stand_in(folder, name, code):
    """Make a program of this name, and return the PATH that has it first."""
    folder.mkdir()
    (folder / name).write_text(f"#!/bin/sh\n{code}\n")
    (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_an_appliance_that_is_repaired_in_place_always_sees_debians_packages(
    venv_with_pip,
):
    folder = venv_with_pip('cat "${0%/bin/python}/pyvenv.cfg"; exit 1')
    with install_into(folder, {"PIP_IGNORE_INSTALLED": "1"}) as done:
        output, _ = done.communicate()
    assert (done.returncode, output) == (1, SHOWN)


VERSION = "from importlib.metadata import version; "


def write_wheel(folder, name, version):
    """Return a wheel that contains only its metadata."""
    folder.mkdir()
    stem = f"{name.replace('-', '_')}-{version}"
    files = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for file, content in files.items():
            archive.writestr(f"{stem}.dist-info/{file}", content)
    return wheel
