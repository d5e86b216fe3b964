"""Configuration: one frozen dataclass for each section of `config.yaml`.

Names, types, ranges and defaults of the keys stand here and nowhere else; `config.yaml`
explains each key. `load` reads the file (`yaml`), the environment and `--set`; `merge`
merges them and has the sentences about mistakes. `checks` has the rules that a type
cannot express, and `schema` writes the JSON Schema for editors. `repr=False` marks a
secret, whose value is neither shown nor part of an error. Start with `load`.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta

Percent = Annotated[int, Meta(ge=0, le=100)]
GpioNumber = Annotated[int, Meta(ge=2, le=27, title="a GPIO number 2-27")]
"""BCM number of a GPIO on the 40-pin header; 0 and 1 are the HAT's EEPROM."""
Text = Annotated[str, Meta(min_length=1, max_length=200)]
HostPort = Annotated[str, Meta(pattern=r"^\S+:\d{1,5}$", title="HOST:PORT")]
"""The pattern is for the JSON schema; `net.url.host_and_port` is the parser."""
Milliseconds = Annotated[int, Meta(ge=0, le=2000)]
IdleSeconds = Annotated[int, Meta(ge=0, le=86_400)]
"""Time without use; 0: never."""
ColumnOffset = Literal["auto"] | Annotated[int, Meta(ge=0, le=8)]
I2cAddress = (
    Literal["auto"]
    | Annotated[int, Meta(ge=0x08, le=0x77, title="an I²C address 0x08-0x77")]
)

CardName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=r"[^\d\s]",
        title="a name or id as `ptt-appliance devices` prints it",
        examples=["Jabra"],
    ),
]
"""Not a number: card numbers may change at the next boot."""
Cards = Literal["none"] | tuple[CardName, ...]
"""Sound cards in order of preference; "none": the box uses no card here."""


class RoomKind(StrEnum):
    """Kind of server that has the room."""

    AUTO = "auto"
    """By the token's signature: HS256 is LiveKit, EdDSA is dTelecom."""
    LIVEKIT = "livekit"
    DTELECOM = "dtelecom"


class TalkMode(StrEnum):
    """Meaning of a press of the talk button."""

    HOLD = "hold"
    """Talk while held."""
    TOGGLE = "toggle"
    """Each press starts or ends."""
    HYBRID = "hybrid"
    """A tap starts or ends a talk; a longer press talks while it is held."""
    OPEN = "open"
    """Always talking; a press mutes or unmutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomSettings:
    """Keys that `room` and each of its presets have."""

    token_url: str | None = None
    token_method: Literal["POST", "GET"] = "POST"
    token_headers: dict[str, str] = field(default_factory=dict, repr=False)
    token_query: dict[str, str] = field(default_factory=dict, repr=False)
    token_body: dict[str, object] = field(default_factory=dict, repr=False)
    url: str | None = None
    """Address of the server; that in the token's answer wins."""
    token: str | None = field(default=None, repr=False)
    """A fixed token, for tests; wins over `token_url`."""
    identity: Text | None = None
    """None: derived from the board's serial number."""
    display_name: Text | None = None
    """None: the name of the box."""
    kind: RoomKind = RoomKind.AUTO
    encryption_key_file: Text | None = None
    allow_insecure: tuple[Text, ...] = ()
    """Hosts that are allowed without TLS; loopback always is."""
    expect_agent: bool = False
    """A voice agent comes, although the token does not say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset(RoomSettings):
    """Another room, chosen with one press; keys not given are those of `room`.

    With a `token_url` on another host, the `token_…` keys start empty.
    """

    name: Annotated[Text, Meta(examples=["garage"])]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomConfig(RoomSettings):
    """Room to join, and the source of the tokens for it."""

    name: Annotated[Text, Meta(examples=["kitchen"])] | None = None
    """Value of `{room}` in the token request; in a preset it is the preset's name."""
    presets: tuple[Preset, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MixerConfig:
    """Volumes that are set in the card's own mixer."""

    microphone: Percent | None = None
    speaker: Percent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundConfig:
    """Sound card and audio processing."""

    microphone: Cards = ()
    speaker: Cards = ()
    mixer: MixerConfig | None = None
    echo_cancellation: bool = True
    noise_suppression: bool = True
    high_pass_filter: bool = True
    automatic_gain: bool = True
    half_duplex: bool = False
    """Mute the speaker while talking."""
    volume: Percent = 80
    """Until buttons or the page change it, as the next."""
    microphone_gain_db: Annotated[float, Meta(ge=-30, le=30)] = 0
    earcons: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TalkConfig:
    """Push to talk."""

    mode: TalkMode = TalkMode.HYBRID
    pre_roll_ms: Milliseconds = 0
    """Audio from before the press that is sent too."""
    tail_ms: Milliseconds = 250
    """Audio after the release that is sent too; silence cuts it short."""
    limit_s: Annotated[int, Meta(ge=0, le=3600)] = 120
    """Longest talk; 0: no limit. Not used in `open` mode."""
    warning_s: Annotated[int, Meta(ge=0, le=600)] = 10
    """Time from the warning to the limit."""
    leave_hold_ms: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """Time for which the leave button has to be held."""

    @property
    def used_pre_roll_ms(self) -> int:
        """Pre-roll in this mode; none in `open` mode, where it would only delay."""
        return 0 if self.mode is TalkMode.OPEN else self.pre_roll_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """Wiring of a button or lamp."""

    pin: GpioNumber
    pull: Literal["up", "down", "none"] = "up"
    """Buttons only: the Pi's own resistor."""
    active: Literal["low", "high"] | None = None
    """Level that means pressed or lit; None: low for buttons, high for lamps."""


PinConfig = GpioNumber | Pin | None
"""None: not wired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ButtonsConfig:
    """GPIO of each button."""

    talk: PinConfig = 17
    leave: PinConfig = 27
    volume_up: PinConfig = None
    volume_down: PinConfig = None
    next_room: PinConfig = None
    next_page: PinConfig = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LampsConfig:
    """GPIO of each lamp."""

    online: PinConfig = 22
    talking: PinConfig = 23
    receiving: PinConfig = None
    fault: PinConfig = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenConfig:
    """OLED screen."""

    driver: Literal["auto", "ssd1306", "sh1106", "none"] = "auto"
    size: Literal["128x64", "128x32"] = "128x64"
    bus: Annotated[int, Meta(ge=0, le=20)] = 1
    address: I2cAddress = "auto"
    rotate: Literal[0, 180] = 0
    column_offset: ColumnOffset = "auto"
    """First visible column of the chip's memory; auto: SSD1306 0, SH1106 2."""
    dim_after_s: IdleSeconds = 60
    sleep_after_s: IdleSeconds = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatConfig:
    """Format of chat messages to the room."""

    format: Literal["auto", "plain"] = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class PageConfig:
    """Web page for phones in the local network."""

    listen: HostPort = "0.0.0.0:8080"
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsConfig:
    """Reports of join and leave counts; the page serves `GET /metrics` in any case."""

    post_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """Lowest level that is logged."""

    level: Literal["debug", "info", "warn", "error"] = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Whole configuration."""

    name: Text | None = None
    """None: the host name, which `load` fills in."""
    room: RoomConfig = field(default_factory=RoomConfig)
    sound: SoundConfig = field(default_factory=SoundConfig)
    talk: TalkConfig = field(default_factory=TalkConfig)
    buttons: ButtonsConfig = field(default_factory=ButtonsConfig)
    lamps: LampsConfig = field(default_factory=LampsConfig)
    screen: ScreenConfig = field(default_factory=ScreenConfig)
    chat: ChatConfig = field(default_factory=ChatConfig)
    page: PageConfig = field(default_factory=PageConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    log: LogConfig = field(default_factory=LogConfig)
