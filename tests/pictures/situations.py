"""Views of the reference pictures, one for each."""

from dataclasses import replace

from appliance.core.chat import ChatLine, Delivery
from appliance.core.events import AgentState, Caption, Participant, VoiceAgent
from appliance.core.state import ScreenPage
from appliance.core.view import ConnectionState, LampStates, TalkState, View


def line(name: str, text: str, state: Delivery = Delivery.RECEIVED) -> ChatLine:
    """Return a chat line; an empty name makes it our own."""
    return ChatLine(
        id=text, sender_id=name, sender_name=name, text=text, ts_ms=0, state=state
    )


ANNA = Participant(id="anna", name="Anna")
BEN = Participant(id="ben", name="Ben")
CHLOE = Participant(id="chloe", name="Chloé")

ROBOT = Participant(id="agent", name="Robot")
SPOKEN = (
    "In Lisbon it is half past seven in the evening, one hour behind Madrid and five "
    "hours ahead of New York."
)
SILENT = View(
    name="kitchen box",
    connection=ConnectionState.CONNECTED,
    banner="in kitchen",
    room="kitchen",
    preset=None,
    presets=(),
    people=(ANNA, BEN),
    talkers=(),
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
    lamps=LampStates(online=True),
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
    lamps=LampStates(),
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


def _in_script(name: str, room: str, text: str) -> View:
    """Return a view in which a participant of this name speaks and has written this."""
    person = Participant(id=name, name=name)
    return replace(
        SILENT,
        banner=f"in {room}",
        room=room,
        people=(person, ANNA),
        talkers=(name,),
        chat=(line("Anna", "Hello?"), line(name, text)),
    )


SCRIPTS = {
    "hebrew": _in_script("דנה", "מטבח", "שלום לכולם, אני כאן!"),
    "arabic": _in_script("ليلى", "مطبخ", "مرحبا، أنا هنا"),
    "devanagari": _in_script("प्रिया", "रसोई", "नमस्ते, किताब"),
    "thai": _in_script("สมชาย", "ครัว", "สวัสดีครับ ที่นี่"),
    "chinese": _in_script("小明", "厨房", "大家好，我在门口"),
    "japanese": _in_script("さくら", "台所", "こんにちは、元気？"),
    "korean": _in_script("지민", "부엌", "안녕하세요, 여기요"),
    "greek": _in_script("Νίκος", "κουζίνα", "Καλημέρα σε όλους!"),
    "cyrillic": _in_script("Оксана", "кухня", "Привіт усім, я вже тут!"),
    "emoji": _in_script("Zoë 🐢", "kitchen", "👍🏽 on my way 🚲 😀"),
}
"""Views in which name, room and chat are in one script."""

SITUATIONS = {
    "connecting": replace(
        OUT, connection=ConnectionState.CONNECTING, banner="connecting", chat=()
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
    "listening": replace(SILENT, talkers=("Anna",)),
    "three_talkers": replace(
        SILENT, people=(ANNA, BEN, CHLOE), talkers=("Anna", "Ben", "Chloé")
    ),
    "agent_thinking": replace(
        SILENT,
        people=(ROBOT,),
        agent=VoiceAgent("agent", "Robot", AgentState.THINKING),
        chat=(line("", "what time is it?"),),
    ),
    "agent_speaking": replace(
        SILENT,
        people=(ROBOT,),
        talkers=("Robot",),
        agent=VoiceAgent("agent", "Robot", AgentState.SPEAKING),
        chat=(line("", "what time is it?"),),
        captions=(
            Caption("s0", "me", "Box", "what time is it?", is_final=True, ts_ms=1),
            Caption("s1", "agent", "Robot", SPOKEN, is_final=False, ts_ms=1),
        ),
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
    "listener": replace(
        SILENT,
        talk=TalkState.UNAVAILABLE,
        talk_text="cannot talk: configured without a microphone",
        has_microphone=False,
        is_listener=True,
    ),
    "reconnecting": replace(
        OUT, connection=ConnectionState.RECONNECTING, banner="connecting: server lost"
    ),
    "disconnected": replace(
        OUT,
        connection=ConnectionState.DISCONNECTED,
        banner="disconnected: no internet, retry in 12 s",
    ),
    "refused": replace(
        OUT,
        connection=ConnectionState.REFUSED,
        banner="refused: wrong configuration",
        chat=(),
    ),
    "left": replace(
        OUT, connection=ConnectionState.LEFT, banner="left, press leave to rejoin"
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
    **SCRIPTS,
    "chat_of_scripts": replace(
        SILENT,
        chat=tuple(view.chat[-1] for view in SCRIPTS.values()),
        screen_page=ScreenPage.CHAT,
    ),
    "silent_arabic": replace(SCRIPTS["arabic"], talkers=()),
    "talking_chinese": replace(
        SCRIPTS["chinese"],
        talkers=(),
        talk=TalkState.TALKING,
        talk_text="talking",
        is_muted=False,
    ),
}
"""By the name of the reference picture."""
