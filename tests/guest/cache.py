"""Kernel and disk images of the guest, made once for each version of their inputs.

They are in `~/.cache/ptt-appliance` (or below `XDG_CACHE_HOME`): `guest-kernel-…`,
`guest-image-…` (Debian) and `guest-root-…` (with the project installed). Those of
older versions are removed.
"""

import asyncio
import fcntl
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cache import cache_folder
from tests.guest import package_proxy
from tests.guest.machine import Built
from tests.guest.taps import namespaced

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
KERNEL_INPUTS = (HERE / "kernel.sh", HERE / "kernel.config", HERE / "debian.sh")
IMAGE_INPUTS = (HERE / "image.sh", HERE / "debian.sh", HERE / "inside")
INSTALLED = tuple(
    REPOSITORY / name
    for name in (
        *("appliance", "systemd", "LICENSE", "README.md"),
        *("config.yaml", "pyproject.toml", "requirements.lock"),
    )
)
"""What the installation needs of the clone."""
NICE = 10
"""Priority of what is built: it is not measured."""
KEY_CHARACTERS = 12


def key(inputs: Iterable[Path], *words: str) -> str:
    """Return a hash of files, of all files in folders, and of words."""
    digest = hashlib.sha256("\0".join(words).encode())
    for top in inputs:
        files = sorted(top.rglob("*")) if top.is_dir() else [top]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                name = file.relative_to(top.parent)
                digest.update(f"\0{name}\0{file.stat().st_size}\0".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()[:KEY_CHARACTERS]


@contextmanager
def locked() -> Iterator[Path]:
    """Return the cache's folder; only one run at a time may use it."""
    folder = cache_folder()
    with (folder / "guest.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another run uses the guest; waiting", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def built(cache: Path) -> Built:
    """Return kernel and root file system; make what the cache does not have.

    Raises:
        subprocess.CalledProcessError: it cannot be made; the reason is on stderr.
    """

    def kernel(folder: Path) -> None:
        _script("kernel.sh", str(folder))

    def image(folder: Path) -> None:
        _script("image.sh", str(kernel_folder), str(folder))

    def root(folder: Path) -> None:
        base, copy = image_folder / "base.ext4", folder / "root.ext4"
        subprocess.run(["cp", "--sparse=always", str(base), str(copy)], check=True)
        asyncio.run(_install(kernel_folder / "linux", copy))

    kernel_key = key(KERNEL_INPUTS)
    kernel_folder = _made(cache, "kernel", kernel_key, kernel)
    image_key = key(IMAGE_INPUTS, kernel_key)
    image_folder = _made(cache, "image", image_key, image)
    root_folder = _made(cache, "root", key(INSTALLED, image_key), root)
    return Built(kernel_folder / "linux", root_folder / "root.ext4")


def _made(cache: Path, what: str, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder of the cache; the unfinished one is kept for the next attempt."""
    folder = cache / f"guest-{what}-{name}"
    if folder.exists():
        return folder
    unfinished = cache / f"guest-{what}-{name}.unfinished"
    unfinished.mkdir(exist_ok=True)
    start_s = time.monotonic()
    print(f"making the guest's {what}: {unfinished}", flush=True)
    make(unfinished)
    for old in cache.glob(f"guest-{what}-*"):
        if old != unfinished:
            shutil.rmtree(old)
    unfinished.rename(folder)
    print(f"made in {time.monotonic() - start_s:.0f} s", flush=True)
    return folder


def _script(name: str, *words: str) -> None:
    command = ["nice", "-n", str(NICE), "bash", str(HERE / name), *words]
    subprocess.run(command, check=True, env=os.environ | {"PYTHON": sys.executable})


async def _install(kernel: Path, root: Path) -> None:
    """Install the project in a guest of its own; the proxy runs here, outside."""
    way_in, way_out = socket.socketpair()
    number = way_out.fileno()
    command = [sys.executable, "-m", "tests.guest.install"]
    command += [str(kernel), str(root), str(number)]
    process = await asyncio.create_subprocess_exec(
        *namespaced(*command), cwd=REPOSITORY, pass_fds=[number]
    )
    way_out.close()
    with way_in:
        serving = asyncio.create_task(package_proxy.serve(way_in))
        status = await process.wait()
        serving.cancel()
    if status:
        raise subprocess.CalledProcessError(status, command)
