"""Debian with systemd as its first process, in namespaces of this machine.

The kernel, its devices and the network are this machine's; the rest is a fresh Debian
from `debootstrap`, kept in the user's cache. What a run changes is thrown away.
"""

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cache import cache_folder

PACKAGES = "systemd systemd-sysv dbus sudo git ca-certificates iproute2 bsdutils"
USER = "pi"
CLONE = f"/home/{USER}/ptt"
BOOT_S = 60.0
# Settings of this machine that the other system needs to fetch packages.
OWN_FILES = ("/etc/resolv.conf", "/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")
OWN_HOME_FILES = (".npmrc", ".config/go/env")

# Without a pivot systemd could make no user namespaces; without shared mounts it could
# not hand credentials to a service. On Debian everybody may use TUN devices.
BOOT = """\
set -e
mount --make-rprivate /
mount -t overlay overlay -o lowerdir={root},upperdir={top}/upper,workdir={top}/work \
  {top}/root
cd {top}/root
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mount --rbind /dev dev
if [ -e dev/net/tun ]; then
  mknod -m 666 run/tun c 10 200
  mount --bind run/tun dev/net/tun
fi
mkdir -p old
pivot_root . old
umount -l /old
mount --make-rshared /
exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
"""


def root_of(suite):
    """Return the folder of a fresh system of this release, made once and kept."""
    root = cache_folder() / f"debian-{suite}"
    if root.exists():
        return root
    print(f"making {root}: a minute or two", flush=True)
    made = Path(tempfile.mkdtemp(prefix=f"debian-{suite}-", dir=cache_folder()))
    run(["debootstrap", "--variant=minbase", suite, str(made)])
    install = f"apt-get install --yes --no-install-recommends {PACKAGES}"
    run(["chroot", str(made), "sh", "-c", f"DEBIAN_FRONTEND=noninteractive {install}"])
    run(["chroot", str(made), "useradd", "--create-home", "--shell=/bin/bash", USER])
    for name in OWN_FILES:
        if Path(name).exists():
            shutil.copy(name, made / name.removeprefix("/"))
    sudoers = made / "etc/sudoers.d" / USER
    sudoers.write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")
    made.chmod(0o755)
    return made.rename(root)


def run(command):
    """Run a command whose output matters only if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"


class Booted:
    """A running system with a clone of the repository in `CLONE`.

    suite: "bookworm" or "trixie". clone: the folder that is cloned.
    """

    def __init__(self, suite, clone):
        self._suite = suite
        self._clone = clone
        self._folder = Path()
        self._process: Any = None
        self._init = 0

    def __enter__(self):
        self._folder = Path(tempfile.mkdtemp(prefix="booted-"))
        for name in ("upper", "work", "root"):
            (self._folder / name).mkdir()
        clone = str(self._folder / "upper") + CLONE
        run(["git", "clone", "--quiet", str(self._clone), clone])
        for name in OWN_HOME_FILES:
            if (Path.home() / name).exists():
                copy = Path(clone).parent / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(Path.home() / name, copy)
        script = BOOT.format(root=root_of(self._suite), top=self._folder)
        apart = ("--mount", "--pid", "--fork", "--uts", "--ipc", "--cgroup")
        with (self._folder / "console").open("wb") as console:
            self._process = subprocess.Popen(
                ["unshare", *apart, "--kill-child", "sh", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        try:
            self._wait_for_boot()
            self.do(f"chown -R {USER}: /home/{USER}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        process = self._process
        process.send_signal(signal.SIGKILL)
        process.wait()
        # Its processes die with the first one, and with them the mounts.
        shutil.rmtree(self._folder, ignore_errors=True)

    def do(self, command, user="root", check=True):
        """Run a shell command in the system, and return its output and status."""
        inside = f"--target={self._init} --mount --pid --uts --ipc --cgroup".split()
        there = ["runuser", "-u", user, "--", "bash", "-c", command]
        settings = {k: v for k, v in os.environ.items() if k.startswith("PIP_")}
        home = "/root" if user == "root" else f"/home/{user}"
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        done = subprocess.run(
            ["nsenter", *inside, "--root", f"--wdns={home}", *there],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
            env=settings | {"PATH": path, "HOME": home, "TERM": "dumb"},
        )
        assert not check or done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout.strip(), done.returncode

    def write(self, path, text, mode=0o600):
        """Write a file of root's."""
        quoted = shlex.quote(text)
        self.do(f"install -D -m {mode:o} /dev/null {path}; printf %s {quoted} >{path}")

    def property(self, unit, name):
        """Return a property of a unit, as `systemctl show` names it."""
        return self.do(f"systemctl show --property={name} --value {unit}")[0]

    def _wait_for_boot(self):
        until_s = time.monotonic() + BOOT_S
        while time.monotonic() < until_s:
            self._init = self._first_process()
            if self._init and self._process.poll() is None:
                state, _ = self.do("systemctl is-system-running", check=False)
                if state in {"running", "degraded"}:
                    return
            time.sleep(0.2)
        console = (self._folder / "console").read_text(errors="replace")
        pytest.fail(f"the system does not boot:\n{console}")

    def _first_process(self):
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else 0
