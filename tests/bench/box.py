"""Start of the clients under test."""

import json
import secrets
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx
from prometheus_client.parser import text_string_to_metric_families

from appliance.page.pairing_file import PairingFile, digest, fresh_keys
from tests.bench.client import Client
from tests.card.asound import Card, plug_in


@dataclass(frozen=True, slots=True)
class Seat:
    """A place in a room."""

    name: str
    folder: Path
    """Folder for the client's files."""
    card: Card
    url: str
    token: str = field(repr=False)


class Kind(Protocol):
    """Kind of client."""

    async def start(self, seat: Seat) -> Client:
        """Start it on this seat."""


@dataclass(frozen=True, slots=True)
class Ours:
    """The appliance; other settings are those of `config.yaml`."""

    has_processing: bool = True
    has_page: bool = True
    """Whether it has a screen."""
    mode: str = "open"
    is_pressed: bool = False
    """Whether its talk button can be pressed; see `pressed`."""
    options: tuple[str, ...] = ()
    """Options of the Python interpreter."""
    token_url: str | None = None

    async def start(self, seat: Seat) -> Client:
        """Start it on this seat."""
        file = seat.folder / "config.yaml"
        # JSON is YAML.
        file.write_text(json.dumps(self._config(seat)), encoding="utf-8")
        state = {"STATE_DIRECTORY": str(seat.folder / "state")}
        env = plug_in(seat.folder / "asound.conf", seat.card) | state
        return await Client.start(seat.name, seat.card, self._command(file), env)

    def _command(self, file: Path) -> list[str]:
        if self.is_pressed:
            return [sys.executable, "-m", "tests.bench.pressed", str(file)]
        run = ["-m", "appliance", "run", "--config", str(file)]
        return [sys.executable, *self.options, *run]

    def _config(self, seat: Seat) -> dict[str, object]:
        fixed = {"url": seat.url, "token": seat.token}
        switches = (
            "echo_cancellation",
            "noise_suppression",
            "high_pass_filter",
            "automatic_gain",
        )
        off: dict[str, object] = {} if self.has_page else {"screen": {"driver": "none"}}
        return off | {
            "name": seat.name,
            "room": {"token_url": self.token_url} if self.token_url else fixed,
            "sound": dict.fromkeys(switches, self.has_processing),
            "talk": {"mode": self.mode},
            "page": {"enabled": self.has_page, "listen": f"127.0.0.1:{_free_port()}"},
        }


@dataclass(frozen=True, slots=True)
class MediaDevices:
    """The SDK's own client."""

    has_processing: bool = False

    async def start(self, seat: Seat) -> Client:
        """Start it on this seat."""
        env = plug_in(seat.folder / "asound.conf", seat.card)
        options = ["--url", seat.url, "--card", seat.card.name]
        options += ["--processing"] if self.has_processing else []
        command = [sys.executable, "-m", "tests.bench.mediadevices", *options]
        secret = {"ROOM_TOKEN": seat.token}
        return await Client.start(seat.name, seat.card, command, env | secret)


class Page:
    """HTTP client for the page of an appliance."""

    def __init__(self, folder: Path) -> None:
        """Prepare, before the box is started in this folder."""
        self._folder = folder
        self._token = secrets.token_urlsafe(32)
        kept = PairingFile(folder / "state")
        kept.change(lambda keys: keys.with_token(digest(self._token)), fresh_keys())

    async def metrics(self) -> str:
        """Return `/metrics`."""
        async with self._client() as client:
            return (await client.get("/metrics")).raise_for_status().text

    def _client(self) -> httpx.AsyncClient:
        config = json.loads((self._folder / "config.yaml").read_text(encoding="utf-8"))
        return httpx.AsyncClient(
            base_url=f"http://{config['page']['listen']}",
            headers={"authorization": f"Bearer {self._token}"},
            trust_env=False,
        )


def histogram(metrics: str, name: str) -> list[tuple[float, int]]:
    """Return upper bounds and counts of a histogram in Prometheus' format."""
    return [
        (float(sample.labels["le"]), int(sample.value))
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == f"{name}_bucket"
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
