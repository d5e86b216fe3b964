"""The demo's box: the real one's configuration, ports and card."""

from types import ModuleType
from typing import Final

from appliance.config import (
    ButtonsConfig,
    Config,
    LampsConfig,
    LogConfig,
    PageConfig,
    RoomConfig,
    ScreenConfig,
)
from appliance.core.address import address_fault
from appliance.demo.issuer import ROOM
from appliance.errors import DemoError, SoundError
from appliance.page.address import listener, parsed
from appliance.sound.devices import chosen, listed
from appliance.sound.stream import RATES_HZ

LOOPBACK: Final = "127.0.0.1"
FIRST_PORT: Final = 8080
PORTS: Final = 20
"""Tried one after the other; then any free one."""

# Every button and every lamp is wired, so that each can be seen.
_BUTTONS: Final = ButtonsConfig(volume_up=5, volume_down=6, next_page=13)
_LAMPS: Final = LampsConfig(receiving=24, fault=25)


def config(room: RoomConfig, listen: str) -> Config:
    """Return what would stand in the box's `config.yaml`."""
    return Config(
        name="demo",
        room=room,
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


def real_card() -> ModuleType | None:
    """Return `sounddevice`, if there are a microphone and a speaker that open."""
    try:
        import sounddevice
    except OSError:
        # PortAudio's library is not installed.
        return None
    library: ModuleType = sounddevice
    return library if _is_usable(library) else None


def _is_usable(library: ModuleType) -> bool:
    try:
        devices = listed(library.query_devices())
        microphone = chosen((), devices, "microphone").index
        speaker = chosen((), devices, "speaker").index
    except (SoundError, library.PortAudioError):
        return False
    return any(_opens(library, microphone, speaker, rate_hz) for rate_hz in RATES_HZ)


def _opens(library: ModuleType, microphone: int, speaker: int, rate_hz: int) -> bool:
    try:
        library.check_input_settings(microphone, 1, "int16", None, rate_hz)
        library.check_output_settings(speaker, 1, "int16", None, rate_hz)
    except library.PortAudioError:
        return False
    return True


def _trouble(host: str, port: int) -> str:
    """Return why the page could not listen there; empty: it could."""
    try:
        listener(host, port).close()
    except OSError as exc:
        return (exc.strerror or str(exc)).lower()
    return ""
