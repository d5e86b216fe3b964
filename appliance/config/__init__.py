"""Configuration: one frozen dataclass for each section of `config.yaml`.

Names, types, ranges, defaults and descriptions of the keys stand here and nowhere else.
`load` reads the file (`yaml`), the environment and `--set` and merges them (`merge`)
into these classes. `checks` has the rules that a type cannot express, `messages` the
sentences about mistakes, and `schema` writes the JSON Schema for editors. `repr=False`
marks a secret, whose value is neither shown nor part of an error. Start with `load`.
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
    """Address of the token source; `{identity}`, `{display_name}`, `{room}` work."""
    token_method: Literal["POST", "GET"] = "POST"
    """HTTP method of the token request."""
    token_headers: dict[str, str] = field(default_factory=dict, repr=False)
    """Headers of the token request; placeholders are filled in, as in the address."""
    token_query: dict[str, str] = field(default_factory=dict, repr=False)
    """Added to the address of the token request; placeholders are filled in."""
    token_body: dict[str, object] = field(default_factory=dict, repr=False)
    """Added to the JSON body of a POST, for example `{room_name: "{room}"}`."""
    url: str | None = None
    """Server URL, used when the token's answer carries none."""
    token: str | None = field(default=None, repr=False)
    """A fixed token, for tests; wins over `token_url`."""
    identity: Text | None = None
    """Identity in the room; null: derived from the board's serial number."""
    display_name: Text | None = None
    """Name in the room; null: `name`."""
    kind: RoomKind = RoomKind.AUTO
    """Kind of server; auto: from the token's signature."""
    encryption_key_file: Text | None = None
    """File with the key for end-to-end encryption; null: not encrypted."""
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
    """Name of the preset on the page and on the screen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomConfig(RoomSettings):
    """Room to join, and the source of the tokens for it."""

    name: Annotated[Text, Meta(examples=["kitchen"])] | None = None
    """Value of `{room}` in the token request; in a preset it is the preset's name."""
    presets: tuple[Preset, ...] = ()
    """Other rooms, each a `name` and the keys in which it differs from `room`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MixerConfig:
    """The card's own volumes, set and switched on at a join and when it comes."""

    microphone: Percent | None = None
    """Percent of the range; null: left as it is."""
    speaker: Percent | None = None
    """As for the microphone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundConfig:
    """Sound card and audio processing."""

    microphone: Cards = ()
    """Cards by preference: part of a name, ALSA card id, USB vendor:product or USB
    port; none: the box only plays."""
    speaker: Cards = ()
    """As for the microphone; none: the box only sends, and does not see who speaks."""
    mixer: MixerConfig | None = None
    """The card's own volumes; null: left as they are."""
    echo_cancellation: bool = True
    """Remove the speaker's sound from the microphone's."""
    noise_suppression: bool = True
    """Remove steady noise from the microphone's sound."""
    high_pass_filter: bool = True
    """Remove hum and rumble from the microphone's sound."""
    automatic_gain: bool = True
    """Bring speech to an even level."""
    half_duplex: bool = False
    """Mute the speaker while talking."""
    volume: Percent = 80
    """Percent, until a button or the page changes it."""
    microphone_gain_db: Annotated[float, Meta(ge=-30, le=30)] = 0
    """Decibels, until the page changes it."""
    earcons: bool = True
    """Short sounds: talk, end, refused, warning, joined, lost, agent thinking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TalkConfig:
    """Push to talk."""

    mode: TalkMode = TalkMode.HYBRID
    """Meaning of a press."""
    pre_roll_ms: Milliseconds = 0
    """Audio from before the press that is sent too. Not used in `open` mode."""
    tail_ms: Milliseconds = 250
    """Audio after the release that is sent too; silence cuts it short."""
    limit_s: Annotated[int, Meta(ge=0, le=3600)] = 120
    """Longest talk; 0: no limit. Not used in `open` mode."""
    warning_s: Annotated[int, Meta(ge=0, le=600)] = 10
    """Time of the warning before the limit."""
    leave_hold_ms: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """Time for which the leave button has to be held; 0: a short press is enough."""

    @property
    def used_pre_roll_ms(self) -> int:
        """Pre-roll in this mode; none in `open` mode, where it would only delay."""
        return 0 if self.mode is TalkMode.OPEN else self.pre_roll_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """Wiring of a button or lamp."""

    pin: GpioNumber
    """BCM number of the GPIO."""
    pull: Literal["up", "down", "none"] = "up"
    """Buttons only: the Pi's own resistor."""
    active: Literal["low", "high"] | None = None
    """Level that means pressed or lit; default: low for buttons, high for lamps."""


PinConfig = GpioNumber | Pin | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ButtonsConfig:
    """GPIO of each button; null: not wired."""

    talk: PinConfig = 17
    """Push to talk; `talk.mode` says what a press means."""
    leave: PinConfig = 27
    """Leaves the room, or joins it again."""
    volume_up: PinConfig = None
    """Speaker louder."""
    volume_down: PinConfig = None
    """Speaker quieter."""
    next_room: PinConfig = None
    """Joins the next of `room.presets`."""
    next_page: PinConfig = None
    """Turns to the screen's next page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LampsConfig:
    """GPIO of each lamp; null: not wired."""

    online: PinConfig = 22
    """Lit while the box is in the room."""
    talking: PinConfig = 23
    """Lit while speech is sent."""
    receiving: PinConfig = None
    """Lit while somebody else speaks."""
    fault: PinConfig = None
    """Lit while something is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenConfig:
    """OLED screen."""

    driver: Literal["auto", "ssd1306", "sh1106", "none"] = "auto"
    """none: no screen is looked for."""
    size: Literal["128x64", "128x32"] = "128x64"
    """Width and height in pixels."""
    bus: Annotated[int, Meta(ge=0, le=20)] = 1
    """I²C bus number."""
    address: I2cAddress = "auto"
    """auto: 0x3C, then 0x3D."""
    rotate: Literal[0, 180] = 0
    """Degrees; 180: mounted upside down."""
    column_offset: ColumnOffset = "auto"
    """First visible column of the chip's memory; auto: SSD1306 0, SH1106 2."""
    dim_after_s: IdleSeconds = 60
    """Idle time; 0: never."""
    sleep_after_s: IdleSeconds = 600
    """Idle time; 0: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatConfig:
    """Format of chat messages to the room."""

    format: Literal["auto", "plain"] = "auto"
    """auto: as LiveKit's own clients; plain: `{id, senderId, senderName, text, ts}`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageConfig:
    """Web page for phones in the local network."""

    listen: HostPort = "0.0.0.0:8080"
    """HOST:PORT; 0.0.0.0 is every IPv4 network of this box, [::] every network, port 0
    any free one."""
    enabled: bool = True
    """false: no page, no API and no metrics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsConfig:
    """Reports of join and leave counts; the page serves `GET /metrics` in any case."""

    post_url: str | None = None
    """Address that takes a POST after each join and leave; null: no reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """Detail of the log."""

    level: Literal["debug", "info", "warn", "error"] = "info"
    """Lowest level that is logged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Whole configuration."""

    name: Text | None = None
    """Name of the appliance, on the page and in the room; null: the host name."""
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
