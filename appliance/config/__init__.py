"""What can be configured: one frozen dataclass per section of `config.yaml`.

Names, types, ranges and defaults live here and nowhere else; `configfile` reads and
checks files against them, `configschema` makes the JSON Schema from them, and a test
holds the commented `config.yaml` against them. `repr=False` marks a secret, whose value
is neither shown nor part of an error.
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
Milliseconds = Annotated[int, Meta(ge=0, le=2000)]
Seconds = Annotated[int, Meta(ge=0, le=86_400)]
I2cAddress = (
    Literal["auto"]
    | Annotated[int, Meta(ge=0x08, le=0x77, title="an I²C address 0x08-0x77")]
)


class RoomKind(StrEnum):
    """Which sort of server the room lives on."""

    AUTO = "auto"
    """Told from the token: HS256 is LiveKit, EdDSA is dTelecom."""
    LIVEKIT = "livekit"
    DTELECOM = "dtelecom"


class TalkMode(StrEnum):
    """What a press of the talk button means."""

    HOLD = "hold"
    """Talk while held."""
    TOGGLE = "toggle"
    """Each press starts or ends."""
    HYBRID = "hybrid"
    """A tap latches, a hold is momentary."""
    OPEN = "open"
    """Always talking; a press mutes or unmutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomSettings:
    """Keys that `room` and each of its presets have."""

    token_url: str | None = None
    """Address of the token source."""
    token_method: Literal["POST", "GET"] = "POST"
    """How the token source is asked."""
    token_headers: dict[str, str] = field(default_factory=dict, repr=False)
    """Headers of the token request; `{identity}` and `{name}` are filled in."""
    token_query: dict[str, str] = field(default_factory=dict, repr=False)
    """Added to the address of the token request; filled in like the headers."""
    token_body: dict[str, object] = field(default_factory=dict, repr=False)
    """Added to the JSON body of a POST, for example `{room_name: kitchen}`."""
    url: str | None = None
    """Server URL, used when the token's answer carries none."""
    token: str | None = field(default=None, repr=False)
    """A fixed token, for tests; wins over `token_url`."""
    identity: Text | None = None
    """None: made once and kept in the state directory."""
    display_name: Text | None = None
    """None: `name`."""
    kind: RoomKind = RoomKind.AUTO
    """Sort of server; auto: told from the token."""
    encryption_key_file: Text | None = None
    """File with the key for end-to-end encryption; None: not encrypted."""
    allow_insecure: tuple[Text, ...] = ()
    """Hosts that may be spoken to without TLS; loopback always may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset(RoomSettings):
    """Another room, chosen with one press; keys not given are those of `room`.

    With a `token_url` on another host, the `token_…` keys start empty.
    """

    name: Annotated[Text, Meta(examples=["garage"])]
    """Name of the preset on the page and on the screen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomConfig(RoomSettings):
    """Room to join, and the source of the tokens for it."""

    presets: tuple[Preset, ...] = ()
    """Other rooms, each a `name` and the keys in which it differs from `room`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundConfig:
    """Which card, and what is done to the sound."""

    microphone: tuple[Text, ...] = ()
    """Wishes in order: part of a name, ALSA card id or USB vendor:product."""
    speaker: tuple[Text, ...] = ()
    """As for the microphone."""
    echo_cancellation: bool = True
    noise_suppression: bool = True
    high_pass_filter: bool = True
    automatic_gain: bool = True
    half_duplex: bool = False
    """Mute the speaker while talking."""
    volume: Percent = 80
    """Percent, until a button or the page changes it."""
    microphone_gain_db: Annotated[float, Meta(ge=-30, le=30)] = 0
    earcons: bool = True
    """Short sounds for the user: talk, end, refused, warning, joined, lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TalkConfig:
    """How the talk button works."""

    mode: TalkMode = TalkMode.HYBRID
    """What a press means."""
    pre_roll_ms: Milliseconds = 0
    """Sound from before the press that is sent too."""
    tail_ms: Milliseconds = 250
    """Sound after the release that is sent too; silence cuts it short."""
    limit_s: Annotated[int, Meta(ge=0, le=3600)] = 120
    """Longest talk; 0: no limit. Not used in `open` mode."""
    warning_s: Annotated[int, Meta(ge=0, le=600)] = 10
    """How long before the limit the warning comes."""
    leave_hold_ms: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """How long the leave button has to be held; 0: a short press is enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """How a button or lamp is wired."""

    pin: GpioNumber
    pull: Literal["up", "down", "none"] = "up"
    """Buttons only: the Pi's own resistor."""
    active: Literal["low", "high"] | None = None
    """Level that means pressed or lit; default: low for buttons, high for lamps."""


PinConfig = GpioNumber | Pin | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ButtonsConfig:
    """GPIO of each button; null: not wired."""

    talk: PinConfig = 17
    leave: PinConfig = 27
    volume_up: PinConfig = None
    volume_down: PinConfig = None
    next_room: PinConfig = None
    next_page: PinConfig = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LampsConfig:
    """GPIO of each lamp; null: not wired."""

    online: PinConfig = 22
    talking: PinConfig = 23
    receiving: PinConfig = None
    fault: PinConfig = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenConfig:
    """The small OLED."""

    driver: Literal["auto", "ssd1306", "sh1106", "none"] = "auto"
    """none: no screen is looked for."""
    size: Literal["128x64", "128x32"] = "128x64"
    bus: Annotated[int, Meta(ge=0, le=20)] = 1
    """I²C bus number."""
    address: I2cAddress = "auto"
    """auto: 0x3C, then 0x3D."""
    rotate: Literal[0, 180] = 0
    """Degrees; 180: mounted upside down."""
    dim_after_s: Seconds = 60
    """Idle time; 0: never."""
    sleep_after_s: Seconds = 600
    """Idle time; 0: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatConfig:
    """How chat is written to the room."""

    format: Literal["auto", "plain"] = "auto"
    """auto: as LiveKit's own clients; plain: the schema `{id, senderId, text, ts}`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageConfig:
    """The page for phones on the LAN."""

    listen: HostPort = "0.0.0.0:8080"
    """HOST:PORT; 0.0.0.0 is every network of this box, port 0 any free one."""
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsConfig:
    """Where counts are sent; reading them is `GET /metrics`."""

    post_url: str | None = None
    """Where join and leave counts are sent; None: nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """How much the journal is told."""

    level: Literal["debug", "info", "warn", "error"] = "info"
    """Least important line that is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything, as `config.yaml` says it."""

    name: Text | None = None
    """Name of the box on the network and in the room; None: the host name."""
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
