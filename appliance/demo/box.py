"""The demo's box: the real one's configuration, ports and card."""

from typing import Final

from appliance.audio.devices import chosen, listed
from appliance.audio.driver import Driver
from appliance.audio.portaudio import PortAudio
from appliance.audio.streams import LADDER, RATES_HZ, at_rate
from appliance.config import (
    ButtonsConfig,
    Config,
    LampsConfig,
    LogConfig,
    PageConfig,
    RoomConfig,
    ScreenConfig,
    SoundConfig,
)
from appliance.demo.issuer import ROOM
from appliance.errors import DemoError, SoundError
from appliance.net.listen import listener, parsed
from appliance.net.url import address_fault

LOOPBACK: Final = "127.0.0.1"
FIRST_PORT: Final = 8080
PORTS: Final = 20
"""Tried one after the other; then any free one."""

# Every button and every lamp is wired, so that each can be seen.
_BUTTONS: Final = ButtonsConfig(volume_up=5, volume_down=6, next_page=13)
_LAMPS: Final = LampsConfig(receiving=24, fault=25)


def config(room: RoomConfig, listen: str, sound: SoundConfig) -> Config:
    """Return what would stand in the box's `config.yaml`."""
    return Config(
        name="demo",
        room=room,
        sound=sound,
        buttons=_BUTTONS,
        lamps=_LAMPS,
        # A picture in a browser does not wear out.
        screen=ScreenConfig(driver="ssd1306", dim_after_s=0, sleep_after_s=0),
        page=PageConfig(listen=listen),
        log=LogConfig(level="warn"),
    )


def issued_room(token_url: str) -> RoomConfig:
    """Return the demo's own room, with a token by HTTP like any other box's."""
    return RoomConfig(token_url=token_url, token_body={"room_name": ROOM})


def given_room(url: str, token: str) -> RoomConfig:
    """Return the room of somebody's own server.

    Raises:
        DemoError: the address cannot be used.
    """
    if fault := address_fault(url, "wss"):
        sentence = f"--room-url: {fault}"
        raise DemoError(sentence)
    return RoomConfig(url=url, token=token)


def listen_address(wished: str | None) -> str:
    """Return where the page will listen.

    Args:
        wished: HOST:PORT; None: on this computer only, at 8080 or the next free port.

    Raises:
        DemoError: the wished address cannot be had.
    """
    if wished is not None:
        host, port = parsed(wished)
        if trouble := _trouble(host, port):
            sentence = f"{wished} cannot be listened on: {trouble}. Use --listen."
            raise DemoError(sentence)
        return wished
    ports = range(FIRST_PORT, FIRST_PORT + PORTS)
    free = (port for port in ports if not _trouble(LOOPBACK, port))
    return f"{LOOPBACK}:{next(free, 0)}"


def real_card() -> PortAudio | None:
    """Return PortAudio, if there are a microphone and a speaker that open."""
    try:
        library = PortAudio()
    except OSError:
        # PortAudio's library is not installed.
        return None
    return library if _is_usable(library) else None


def named(library: Driver) -> SoundConfig:
    """Return this computer's devices by name: here they are no second choice.

    Raises:
        SoundError: there is none, or nobody can say.
    """
    devices = listed(library.devices())
    return SoundConfig(
        microphone=(chosen((), devices, "microphone").stable_name,),
        speaker=(chosen((), devices, "speaker").stable_name,),
    )


def _is_usable(library: Driver) -> bool:
    """Return whether the box could hear and be heard."""
    try:
        devices = listed(library.devices())
        microphone = chosen((), devices, "microphone")
        speaker = chosen((), devices, "speaker")
    except SoundError:
        return False
    return any(
        library.can(at_rate(rate_hz, microphone, None, LADDER[0]))
        and library.can(at_rate(rate_hz, None, speaker, LADDER[0]))
        for rate_hz in RATES_HZ
    )


def _trouble(host: str, port: int) -> str:
    """Return why the page could not listen there; empty: it could."""
    try:
        listener(host, port).close()
    except OSError as exc:
        return (exc.strerror or str(exc)).lower()
    return ""
