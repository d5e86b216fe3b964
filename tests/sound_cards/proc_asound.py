"""Fake /proc/asound and /proc, with the files that the appliance reads."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.sound_cards.devices import AlsaCards

CLOSED = "closed\n"
JABRA = "Jabra SPEAK 410 USB"
OUR_COMMAND = ("/opt/venv/bin/python", "/opt/venv/bin/ptt-appliance", "run")


@dataclass(frozen=True, slots=True)
class Kernel:
    """The two fake folders."""

    cards: Path
    processes: Path

    @property
    def alsa(self) -> AlsaCards:
        """Cards of this kernel, looked at for the first time."""
        return AlsaCards(self.cards, self.processes)

    def add(self, number: int, short: str, card_id: str, *pcms: str, usb_id: str = ""):
        """Add a card; a PCM is named as the kernel does, for example `pcm0p`."""
        card = self.cards / f"card{number}"
        card.mkdir(parents=True)
        (card / "id").write_text(f"{card_id}\n")
        if usb_id:
            (card / "usbid").write_text(f"{usb_id}\n")
        with (self.cards / "cards").open("a") as file:
            file.write(f" {number} [{card_id:<15}]: Driver - {short}\n")
            port = f"usb-0000:01:00.0-1.{number}, full speed" if usb_id else "x"
            file.write(f"                      {short} at {port}\n")
        for pcm in pcms:
            (card / pcm / "sub0").mkdir(parents=True)
            (card / pcm / "info").write_text("stream: X\nid: Audio\nname: Audio\n")
            self.free(number, pcm)

    def remove(self, number: int):
        """Unplug the card."""
        shutil.rmtree(self.cards / f"card{number}")
        cards = (self.cards / "cards").read_text()
        rest = re.sub(rf"^ {number} \[.*\n.*\n", "", cards, flags=re.MULTILINE)
        (self.cards / "cards").write_text(rest)

    def free(self, number: int, pcm: str) -> None:
        """Mark the PCM as free."""
        self._status(number, pcm).write_text(CLOSED)

    def use(self, number: int, pcm: str, thread_id: int) -> None:
        """Mark the PCM as open in a thread."""
        state = f"state: RUNNING\nowner_pid   : {thread_id}\ntrigger_time: 1.0\n"
        self._status(number, pcm).write_text(state)

    @contextmanager
    def stuck(self, number: int, pcm: str) -> Iterator[None]:
        """Let reading the state of the PCM block until the end of the context."""
        status = self._status(number, pcm)
        status.unlink()
        os.mkfifo(status)
        # Opening to read and write does not block; closing ends the blocked reads.
        writer = os.open(status, os.O_RDWR)
        try:
            yield
        finally:
            self._release(status, writer)

    def _release(self, status: Path, writer: int) -> None:
        fresh = status.with_name("fresh")
        fresh.write_text(CLOSED)
        fresh.replace(status)
        os.close(writer)

    def run(self, process_id: int, command: tuple[str, ...], *thread_ids: int) -> None:
        """Add a process with further threads."""
        for number in (process_id, *thread_ids):
            folder = self.processes / str(number)
            folder.mkdir(parents=True)
            (folder / "status").write_text(f"Name:\tx\nTgid:\t{process_id}\n")
            (folder / "comm").write_text(f"{Path(command[0]).name}\n")
            (folder / "cmdline").write_text("\0".join((*command, "")))

    def _status(self, number: int, pcm: str) -> Path:
        return self.cards / f"card{number}" / pcm / "sub0" / "status"


def kernel(folder: Path) -> Kernel:
    """Return a fake without cards and processes."""
    made = Kernel(folder / "asound", folder / "proc")
    made.cards.mkdir()
    made.processes.mkdir()
    (made.cards / "cards").touch()
    return made


def speakerphone(folder: Path) -> Kernel:
    """Return a Raspberry Pi with HDMI and a speakerphone opened by the service."""
    made = kernel(folder)
    made.add(0, "vc4-hdmi", "vc4hdmi", "pcm0p")
    made.add(1, JABRA, "USB", "pcm0p", "pcm0c", usb_id="0B0E:0412")
    made.run(812, OUR_COMMAND, 815)
    made.run(99, ("/usr/bin/pulseaudio", "--daemonize"))
    made.use(1, "pcm0p", 815)
    made.use(1, "pcm0c", 815)
    return made
