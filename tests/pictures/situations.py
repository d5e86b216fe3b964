"""What the box may look like: one view for each reference picture."""

from dataclasses import replace

from appliance.core.chat import ChatLine, Delivery
from appliance.core.events import Person
from appliance.core.state import ScreenPage
from appliance.core.view import Connection, Lamps, TalkState, View


def line(name: str, text: str, state: Delivery = Delivery.RECEIVED) -> ChatLine:
    """Return a chat line; without a name it is our own."""
    return ChatLine(
        id=text, sender_id=name, sender_name=name, text=text, ts_ms=0, state=state
    )


ANNA = Person(id="anna", name="Anna")
BEN = Person(id="ben", name="Ben")
CHLOE = Person(id="chloe", name="Chloé")

SILENT = View(
    name="kitchen box",
    connection=Connection.CONNECTED,
    banner="in kitchen",
    room="kitchen",
    preset=None,
    presets=(),
    people=(ANNA, BEN),
    speakers=(),
    talk=TalkState.MUTED,
    talk_text="muted",
    talk_left_s=None,
    is_muted=True,
    is_muted_at_box=False,
    microphone_dbfs=-60,
    speaker_dbfs=-60,
    is_voice=False,
    volume_percent=80,
    microphone_gain_db=0.0,
    chat=(line("Anna", "Hello?"), line("", "on my way")),
    chat_refusal="",
    lamps=Lamps(online=True),
    faults=(),
    has_microphone=True,
    has_speaker=True,
    rtt_ms=23,
    screen_page=ScreenPage.TALK,
    address="192.168.1.23",
    page_url="http://192.168.1.23:8080",
    pin="481 516",
)

OUT = replace(
    SILENT,
    people=(),
    talk=TalkState.UNAVAILABLE,
    talk_text="cannot talk: not connected",
    lamps=Lamps(),
    rtt_ms=None,
)

LONG_CHAT = (
    line("Anna", "Is anybody at the door? I think I heard the bell."),
    line("Ben", "Grüße aus Łódź, привет и καλημέρα!"),
    line("", "I will look", Delivery.QUEUED),
    line(
        "Chloé",
        "👍👍 The postman: two parcels, one letter and a very long story to tell.",
    ),
)

SITUATIONS = {
    "connecting": replace(
        OUT, connection=Connection.CONNECTING, banner="connecting", chat=()
    ),
    "silent": SILENT,
    "alone": replace(
        SILENT,
        people=(),
        talk=TalkState.UNAVAILABLE,
        talk_text="cannot talk: nobody here",
    ),
    "talking": replace(
        SILENT, talk=TalkState.TALKING, talk_text="talking", is_muted=False
    ),
    "warning": replace(
        SILENT,
        talk=TalkState.WARNING,
        talk_text="talking, time is nearly up",
        talk_left_s=9,
        is_muted=False,
    ),
    "locked": replace(
        SILENT, talk=TalkState.LOCKED, talk_text="time is up: release the button"
    ),
    "listening": replace(SILENT, speakers=("Anna",)),
    "three_talkers": replace(
        SILENT, people=(ANNA, BEN, CHLOE), speakers=("Anna", "Ben", "Chloé")
    ),
    "long_chat": replace(SILENT, chat=LONG_CHAT),
    "chat_page": replace(SILENT, chat=LONG_CHAT, screen_page=ScreenPage.CHAT),
    "no_microphone": replace(
        SILENT,
        talk=TalkState.UNAVAILABLE,
        talk_text="cannot talk: no microphone",
        has_microphone=False,
        faults=("microphone: USB Audio: unplugged",),
    ),
    "no_speaker": replace(
        SILENT, has_speaker=False, faults=("speaker: USB Audio: unplugged",)
    ),
    "reconnecting": replace(
        OUT, connection=Connection.RECONNECTING, banner="connecting: server lost"
    ),
    "disconnected": replace(
        OUT,
        connection=Connection.DISCONNECTED,
        banner="disconnected: no internet, retry in 12 s",
    ),
    "refused": replace(
        OUT,
        connection=Connection.REFUSED,
        banner="refused: wrong configuration",
        chat=(),
    ),
    "left": replace(
        OUT, connection=Connection.LEFT, banner="left, press leave to rejoin"
    ),
    "pairing": replace(SILENT, screen_page=ScreenPage.PAIRING),
    "health": replace(SILENT, screen_page=ScreenPage.HEALTH),
    "faults": replace(
        SILENT,
        screen_page=ScreenPage.HEALTH,
        faults=(
            "microphone: USB Audio: no sound card answers to this name",
            "button: leave GPIO27: busy, another program holds it",
        ),
    ),
}
"""By the name of the reference picture."""
