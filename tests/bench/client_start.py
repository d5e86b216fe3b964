"""Start of the clients under test."""

import json
import secrets
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import httpx
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import ClientConnection, connect

from appliance.page.pairing import PairingFile, digest, new_credentials
from tests.bench.client import Client
from tests.card.asound import Card, plug_in

PLUG = "browser"
"""Name of the ALSA device through which Chromium uses the card."""


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
    """Whether its talk button can be pressed; see `simulated_pins`."""
    has_screen: bool = False
    """Whether such a box has a simulated screen, too."""
    has_earcons: bool = True
    options: tuple[str, ...] = ()
    """Options of the Python interpreter."""
    token_url: str | None = None
    presets: tuple[tuple[str, str], ...] = ()
    """Name and token source of each."""
    protection: tuple[str, int] | None = None
    """`on` or `off` for RED, and kbit/s; None: the box's own choice."""

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
            screen = ["--screen"] if self.has_screen else []
            return [
                sys.executable,
                "-m",
                "tests.bench.simulated_pins",
                str(file),
                *screen,
            ]
        run = ["-m", "appliance", "run", "--config", str(file)]
        if self.protection is not None:
            choice = [str(x) for x in self.protection]
            run = ["-m", "tests.bench.other_protection", *choice, str(file)]
        return [sys.executable, *self.options, *run]

    def _config(self, seat: Seat) -> dict[str, object]:
        insecure = [urlsplit(seat.url).hostname]
        fixed = {"url": seat.url, "token": seat.token, "allow_insecure": insecure}
        switches = (
            "echo_cancellation",
            "noise_suppression",
            "high_pass_filter",
            "automatic_gain",
        )
        off: dict[str, object] = {} if self.has_page else {"screen": {"driver": "none"}}
        presets = [{"name": name, "token_url": url} for name, url in self.presets]
        source = {"token_url": self.token_url, "presets": presets}
        return off | {
            "name": seat.name,
            "room": source if self.token_url else fixed,
            "sound": {
                **dict.fromkeys(switches, self.has_processing),
                "earcons": self.has_earcons,
            },
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


@dataclass(frozen=True, slots=True)
class Chromium:
    """LiveKit's own client in headless Chromium."""

    has_processing: bool = False

    async def start(self, seat: Seat) -> Client:
        """Start it on this seat."""
        file = seat.folder / "asound.conf"
        env = plug_in(file, seat.card)
        # It asks for more formats than a card has.
        plug = f'pcm.{PLUG} {{ type plug slave.pcm "{seat.card.name}" }}\n'
        file.write_text(file.read_text(encoding="utf-8") + plug, encoding="utf-8")
        options = ["--url", seat.url, "--card", PLUG]
        options += ["--processing"] if self.has_processing else []
        command = [sys.executable, "-m", "tests.bench.browser", *options]
        secret = {"ROOM_TOKEN": seat.token}
        return await Client.start(seat.name, seat.card, command, env | secret)


class Page:
    """HTTP client for the page of an appliance."""

    def __init__(self, folder: Path) -> None:
        """Prepare, before the box is started in this folder."""
        self._folder = folder
        self._token = secrets.token_urlsafe(32)
        kept = PairingFile(folder / "state")
        kept.change(
            lambda keys: keys.with_token(digest(self._token)), new_credentials()
        )

    @asynccontextmanager
    async def live(self) -> AsyncIterator[ClientConnection]:
        """Open the WebSocket of the views."""
        url = f"ws://{self._listen()}/api/live"
        headers = {"authorization": f"Bearer {self._token}"}
        async with connect(url, additional_headers=headers, proxy=None) as socket:
            yield socket

    async def metrics(self) -> str:
        """Return `/metrics`."""
        async with self._client() as client:
            return (await client.get("/metrics")).raise_for_status().text

    async def chat(self, text: str) -> None:
        """Send a line of chat."""
        async with self._client() as client:
            (await client.post("/api/chat", json={"text": text})).raise_for_status()

    async def set_volume(self, percent: int) -> None:
        """Set the volume of the speaker, which the box stores."""
        async with self._client() as client:
            answer = await client.post("/api/volume", json={"percent": percent})
            answer.raise_for_status()

    async def join(self, preset: str | None) -> None:
        """Ask for another room; None is that of the section `room`."""
        async with self._client() as client:
            answer = await client.post("/api/join", json={"preset": preset})
            answer.raise_for_status()

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=f"http://{self._listen()}",
            headers={"authorization": f"Bearer {self._token}"},
            trust_env=False,
        )

    def _listen(self) -> str:
        config = json.loads((self._folder / "config.yaml").read_text(encoding="utf-8"))
        return str(config["page"]["listen"])


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
