"""Reading the layers: defaults, file, environment and command line."""

import errno
import socket
import subprocess
import sys
from pathlib import Path, PosixPath

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config import Config, MixerConfig, Pin, Preset, TalkMode
from appliance.config.load import Loaded, load, need_room, screen_of
from appliance.config.schema import leaves
from appliance.core.state import State
from appliance.core.view import view
from appliance.display.rendering import lines
from appliance.errors import ConfigError

REFERENCE = Path(__file__).parents[2] / "config.yaml"
DEFAULT = Config(name=socket.gethostname())
KEYS = [leaf.key for leaf in leaves(Config)]


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("config.yaml")

    def write(text: str) -> Path:
        path.write_text(text)
        return path

    return write


def faults_of(path=None, settings=(), environment=None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, settings, environment or {})
    return str(caught.value).splitlines()


def set_faults(*settings: str) -> list[str]:
    return faults_of(settings=settings)


def test_the_values_of_the_reference_are_the_defaults():
    assert load(REFERENCE, (), {}).config == DEFAULT


def test_the_reference_has_every_key():
    def keys(values: dict[str, object], above: str = "") -> set[str]:
        found = set()
        for name, value in values.items():
            found |= (
                keys(value, f"{name}.")
                if value and above == "" and isinstance(value, dict)
                else {above + name}
            )
        return found

    written = yaml.safe_load(REFERENCE.read_text())
    assert keys(written) == set(KEYS)


def test_an_empty_file_is_the_default(file):
    assert load(file(""), (), {}).config == DEFAULT


def test_a_section_without_keys_is_the_default(file):
    assert load(file("sound:\n# nothing yet\ntalk:\n"), (), {}).config == DEFAULT


def test_the_default_file_may_be_absent():
    loaded = load(None, (), {})
    assert (loaded.config, loaded.path) == (
        DEFAULT,
        Path("/etc/ptt-appliance/config.yaml"),
    )


@pytest.mark.parametrize("text", ["", "name: null"])
def test_without_a_name_the_appliance_has_the_host_name_everywhere(file, text):
    host = socket.gethostname()
    loaded = load(file(text), (), {})
    assert loaded.config.name == host
    assert loaded.origin("name") == "host name"
    shown = view(State(loaded.config), 0.0)
    assert shown.name == host
    assert host[:10] in lines(shown, (128, 64))[0]


def test_the_environment_names_the_file(file):
    path = file("name: kitchen")
    assert load(None, (), {"PTT_APPLIANCE_CONFIG": str(path)}).config.name == "kitchen"


def test_the_command_line_names_the_file_before_the_environment(file):
    other = {"PTT_APPLIANCE_CONFIG": "/nowhere"}
    assert load(file("name: kitchen"), (), other).config.name == "kitchen"


def test_environment_wins_over_the_file_and_the_command_line_over_both(file):
    path = file("name: file\nsound: {volume: 1}\ntalk: {mode: hold}")
    environment = {"PTT_SOUND__VOLUME": "2", "PTT_TALK__MODE": "toggle"}
    loaded = load(path, ["talk.mode=open"], environment)
    assert loaded.config.name == "file"
    assert loaded.config.sound.volume == 2
    assert loaded.config.talk.mode is TalkMode.OPEN
    origins = [loaded.origin(key) for key in ("name", "sound.volume", "talk.mode")]
    assert origins == ["config.yaml", "environment", "--set"]
    assert loaded.origin("talk.tail_ms") == "default"


def test_a_later_setting_wins_over_an_earlier_one():
    assert load(None, ["name=a", "name=b"], {}).config.name == "b"


def test_mappings_merge_key_by_key():
    environment = {
        "PTT_ROOM__TOKEN_QUERY": "{provider: elevenlabs, voice_id: x}",
        "PTT_ROOM__TOKEN_QUERY__VOICE_ID": "y",
    }
    query = load(None, (), environment).config.room.token_query
    assert query == {"provider": "elevenlabs", "voice_id": "y"}


def test_mappings_in_mappings_merge_too(file):
    path = file("room: {token_body: {data: {room: a, n: [1]}}}")
    environment = {"PTT_ROOM__TOKEN_BODY__DATA__ROOM": "b"}
    body = load(path, (), environment).config.room.token_body
    assert body == {"data": {"room": "b", "n": [1]}}


def test_a_section_without_keys_leaves_those_of_the_file(file):
    path = file("sound: {volume: 7}")
    loaded = load(path, ["sound="], {"PTT_TALK": ""})
    assert loaded.config.sound.volume == 7
    assert loaded.origin("sound.volume") == "config.yaml"


def test_a_button_of_the_file_can_be_left_out(file):
    loaded = load(file("buttons: {talk: {pin: 5}}"), ["buttons.talk=null"], {})
    assert loaded.config.buttons.talk is None
    assert loaded.origin("buttons.talk") == "--set"


@pytest.mark.parametrize(
    ("environment", "starts"),
    [
        (
            {"PTT_SOUND__SPEAKER": "[hdmi, none]"},
            "environment: PTT_SOUND__SPEAKER[1]: is",
        ),
        (
            {"PTT_ROOM__PRESETS": "[{name: a, url: 'ws://h'}]"},
            "environment: PTT_ROOM__PRESETS[0]__URL: ws://h would",
        ),
        ({"PTT_BUTTONS__LEAVE__PULL": "up"}, "environment: PTT_BUTTONS__LEAVE__PIN: "),
        ({"PTT_ROOM__TOKEN": "a.b.c"}, "config.yaml: room.url: expected the address"),
        ({"PTT_TALK__X": "1"}, "environment: PTT_TALK__X: unknown key."),
        ({"PTT_X__Y": "1"}, "environment: PTT_X: unknown key."),
        ({"PTT_TALK": "1"}, "environment: PTT_TALK: expected keys such as"),
    ],
)
def test_a_fault_names_the_source_that_has_to_be_changed(file, environment, starts):
    path = file("room: {display_name: x}\ntalk: {mode: hold}")
    (line,) = faults_of(path, (), environment)
    assert line.startswith(starts)


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        ("page: 8080", "PTT_PAGE__ENABLED"),
        ("room: {token_headers: 'A: b'}", "PTT_ROOM__TOKEN_HEADERS__C"),
    ],
)
def test_a_wrong_value_that_a_variable_adds_a_key_to_is_reported(file, text, variable):
    (line,) = faults_of(file(text), (), {variable: "no"})
    assert line.startswith("config.yaml: ")


def test_a_wrong_section_hides_nothing_of_the_other_sources(file):
    path = file("screen: {bus: 5}\ntalk: {limit_s: x}\npage: 8080")
    wrong = ["screen=info", "talk=5", "page.enabled=x"]
    starts = [line.partition(": expected")[0] for line in faults_of(path, wrong)]
    assert sorted(starts) == [
        "--set: page.enabled",
        "--set: screen",
        "--set: talk",
        "config.yaml: page",
        "config.yaml: talk.limit_s",
    ]
    assert screen_of(path, wrong, {}).bus == 5


def test_a_variable_replaces_a_key_in_mixed_case_and_is_named_as_it_is_spelled(file):
    path = file("room: {token_query: {roomName: kitchen, voice_id: x}}")
    environment = {
        "PTT_ROOM__TOKEN_QUERY__roomName": "garage",
        "PTT_ROOM__TOKEN_QUERY__VOICE_ID": "y",
    }
    query = load(path, (), environment).config.room.token_query
    assert query == {"roomName": "garage", "voice_id": "y"}
    (line,) = faults_of(environment={"PTT_ROOM__TOKEN_QUERY__roomName": "[]"})
    assert line.startswith("environment: PTT_ROOM__TOKEN_QUERY__roomName: expected")


def test_a_section_may_be_set_as_a_whole():
    config = load(None, ["sound={volume: 7, earcons: false}"], {}).config
    assert (config.sound.volume, config.sound.earcons) == (7, False)
    assert config.sound.echo_cancellation


def test_the_keys_of_a_pin_merge(file):
    path = file("buttons: {talk: {pin: 5}}")
    config = load(path, ["buttons.talk.active=high"], {}).config
    assert config.buttons.talk == Pin(pin=5, active="high")


def test_a_preset_has_the_keys_of_the_room_except_its_own(file):
    text = """
room:
  token_url: https://tokens.example.com
  token_query: {room: kitchen}
  presets:
    - {name: garage, token_query: {room: garage}}
    - {name: lab, token_url: https://lab.example.com, display_name: Lab}
"""
    config = load(file(text), (), {}).config
    garage, lab = config.room.presets
    assert garage == Preset(
        name="garage",
        token_url="https://tokens.example.com",
        token_query={"room": "garage"},
    )
    assert lab == Preset(
        name="lab", token_url="https://lab.example.com", display_name="Lab"
    )


GIVEN = """
room:
  token_url: https://tokens.example.com/a
  token_headers: {Authorization: SECRET}
  token_query: {key: SECRET}
  token_body: {key: SECRET}
  display_name: Box
"""


@pytest.mark.parametrize(
    "url", ["https://evil.example.com/a", "https://tokens.example.com.evil/a"]
)
def test_the_keys_of_one_host_do_not_go_to_another(file, url):
    presets = f"  presets: [{{name: lab, token_url: '{url}'}}]"
    (preset,) = load(file(GIVEN + presets), (), {}).config.room.presets
    assert preset == Preset(name="lab", token_url=url, display_name="Box")


def test_a_preset_on_another_host_may_have_keys_of_its_own(file):
    presets = "  presets: [{name: a, token_url: 'https://h', token_query: {k: v}}]"
    (preset,) = load(file(GIVEN + presets), (), {}).config.room.presets
    assert preset.token_query == {"k": "v"}
    assert preset.token_headers == {}


@pytest.mark.parametrize("url", ["https://TOKENS.example.com:443/b", None])
def test_a_preset_on_the_same_host_keeps_its_keys(file, url):
    own = "" if url is None else f", token_url: '{url}'"
    (preset,) = load(
        file(f"{GIVEN}  presets: [{{name: lab{own}}}]"), (), {}
    ).config.room.presets
    assert preset.token_headers == {"Authorization": "SECRET"}
    assert preset.token_query == {"key": "SECRET"}
    assert preset.token_body == {"key": "SECRET"}


def test_all_faults_of_presets_are_reported_with_their_number(file):
    presets = "  presets: [5, {name: a, url: 'http://h'}, 7, {name: a}]"
    assert [line.split(": ")[1] for line in faults_of(file(GIVEN + presets))] == [
        "room.presets[0]",
        "room.presets[2]",
        "room.presets[1].url",
        "room.presets[3].name",
    ]


@pytest.mark.parametrize("url", ["5", "'https://[::'"])
def test_nonsense_as_the_address_of_a_preset_is_a_fault_of_that_key(file, url):
    presets = f"  presets: [{{name: lab, token_url: {url}}}]"
    (line,) = faults_of(file(GIVEN + presets))
    assert "room.presets[0].token_url: expected" in line


def test_a_preset_with_a_token_source_does_not_keep_the_fixed_token(file):
    text = "room: {url: 'wss://h', token: a.b.c, presets: [{name: x, token_url: 'https://h'}]}"
    (preset,) = load(file(text), (), {}).config.room.presets
    assert preset.token is None


FAULTS = {
    "buttons.talk=GP17": 'expected a GPIO number 2-27, found "GP17". Write 17.',
    "screen.sleep_after_s=-1": "expected a whole number 0-86400, found -1. "
    "Write for example 600.",
    "talk.limit_s=9999": "expected a whole number 0-3600, found 9999. "
    "Write for example 120.",
    "buttons.talk=28": "expected a GPIO number 2-27, found 28. Write for example 17.",
    "buttons.talk=017": 'expected a GPIO number 2-27, found "017". Write 17.',
    "lamps.fault=1": (
        "expected a GPIO number 2-27, found 1. Or write null to leave it out."
    ),
    "buttons.talk={pin: 99}": "expected a GPIO number 2-27, found 99.",
    "buttons.talk={pull: up}": "expected a GPIO number 2-27, found nothing.",
    "sound.volume=130": "expected a whole number 0-100, found 130. "
    "Write for example 80.",
    "sound.volume=80%": 'expected a whole number 0-100, found "80%". Write 80.',
    "sound.volume=": "expected a whole number 0-100, found nothing. "
    "Write for example 80.",
    "sound.volume=0.8": "expected a whole number 0-100, found 0.8. "
    "Write for example 80.",
    "talk.limit_s=2min": 'expected a whole number 0-3600, found "2min". '
    "Write for example 120.",
    "talk.tail_ms='0.3s'": 'expected a whole number 0-2000, found "0.3s". '
    "Write for example 250.",
    "sound.volume=true": "expected a whole number 0-100, found true. "
    "Write for example 80.",
    "sound.microphone_gain_db=-40": "expected a number -30 to 30, found -40. "
    "Write for example 0.",
    "sound.earcons=maybe": 'expected true or false, found "maybe". '
    "Write for example true.",
    "sound.earcons='true'": 'expected true or false, found "true". Write true.',
    "sound.microphone=USB": "expected none or a list, each a name or id as "
    '`ptt-appliance devices` prints it, found "USB". Write [USB].',
    "sound.speaker=None": "expected none or a list, each a name or id as "
    '`ptt-appliance devices` prints it, found "None". Write none.',
    "sound.speaker=[2]": "expected a name or id as `ptt-appliance devices` prints it, "
    "found 2. Write for example Jabra.",
    "sound.speaker=['2']": "expected a name or id as `ptt-appliance devices` prints "
    'it, found "2". Write for example Jabra.',
    "sound.speaker=[hdmi, none]": "is not the name of a card. Write none, alone.",
    "sound.speaker=[' ']": "expected a name or id as `ptt-appliance devices` prints "
    'it, found " ". Write for example Jabra.',
    "talk.mode=Hybird": "expected one of hold, toggle, hybrid, open, "
    'found "Hybird". Write hybrid.',
    "screen.column_offset=9": "expected auto or a whole number 0-8, found 9. "
    "Write for example auto.",
    "screen.rotate=90": "expected one of 0, 180, found 90. Write for example 0.",
    "screen.size=128×64": 'expected one of 128x64, 128x32, found "128×64". '
    "Write 128x64.",
    "screen.address=0x3": "expected auto or an I²C address 0x08-0x77, found 3. "
    "Write for example auto.",
    "name=12": "expected text of 1-200 characters, found 12. Write '12'.",
    "page.listen=8080": "expected HOST:PORT, found 8080. Write for example "
    "0.0.0.0:8080.",
    "page.listen=0.0.0.0:99999": 'expected HOST:PORT, found "0.0.0.0:99999". '
    "Write 0.0.0.0:8080.",
    "page=8080": "expected keys such as {listen: …, enabled: …}, with a space after "
    "each colon, found something else.",
    "talk.limit_s=2 min": 'expected a whole number 0-3600, found "2 min". '
    "Write for example 120.",
    "sound.microphone_gain_db=-6 dB": 'expected a number -30 to 30, found "-6 dB". '
    "Write for example 0.",
    "sound.volume='1,5'": 'expected a whole number 0-100, found "1,5". '
    "Write for example 80.",
    "page=listen:8080": "expected keys such as {listen: …, enabled: …}, with a space "
    "after each colon, found something else.",
    "room.token_method=get": 'expected one of POST, GET, found "get". Write GET.',
    "room.Token_URL=x": "unknown key. Did you mean room.token_url?",
    "buttons.talk=none": 'expected a GPIO number 2-27, found "none". Write null.',
    "buttons.talk=off": "expected a GPIO number 2-27, found false. Write null.",
    "room.token_headers=": "expected a mapping such as {key: text}, found nothing. "
    "Write for example {}.",
    "room.token_query.a=": "expected text, found nothing.",
    "room.presets=": "expected a list such as [{name: garage}], found nothing.",
    "room.allow_insecure=": "expected a list, each text of 1-200 characters, found "
    "nothing. Write for example [].",
    "room.token_query=x": "expected a mapping such as {key: text}, found something "
    "else, which is not shown. Put text into quotes.",
    "room.presets=garage": "expected a list such as [{name: garage}], found something "
    "else.",
}


@pytest.mark.parametrize(("setting", "sentence"), FAULTS.items())
def test_a_fault_says_what_was_wanted_what_was_found_and_what_to_write(
    setting, sentence
):
    assert [line.split(": ", 2)[2] for line in set_faults(setting)] == [sentence]


def test_the_line_has_source_key_and_sentence(file):
    assert faults_of(file("buttons: {talk: GP17}")) == [
        (
            "config.yaml: buttons.talk: expected a GPIO number 2-27, "
            'found "GP17". Write 17.'
        )
    ]


def test_all_faults_of_all_sources_are_reported_at_once(file):
    path = file("sound: {volume: -1}\ncolour: red")
    lines = faults_of(path, ["talk.mode=x", "nonsense"], {"PTT_LOG__LEVEL": "loud"})
    known = (
        "unknown key. Known here: name, room, sound, talk, buttons, lamps, screen, "
        "chat, page, metrics, log."
    )
    assert [line.rsplit(": expected")[0] for line in lines] == [
        f"config.yaml: colour: {known}",
        f"--set: nonsense: {known}",
        "config.yaml: sound.volume",
        "--set: talk.mode",
        "environment: PTT_LOG__LEVEL",
    ]


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("room.token_ulr=x", "unknown key. Did you mean room.token_url?"),
        ("volume=80", "unknown key. Did you mean sound.volume?"),
        ("presets=[]", "unknown key. Did you mean room.presets?"),
        ("room.presets=[{nam: x}]", "unknown key. Did you mean room.presets[0].name?"),
        (
            "buttons.talk={pin: 5, pul: up}",
            "unknown key. Did you mean buttons.talk.pull?",
        ),
        ("chat.colour=x", "unknown key. Known here: format."),
    ],
)
def test_an_unknown_key_is_a_fault_with_the_nearest_known_one(setting, sentence):
    assert any(line.endswith(sentence) for line in set_faults(setting))


@pytest.mark.parametrize(
    ("text", "section", "key"),
    [
        ("screen.size: 128x32", "screen", "size"),
        ("screen_size: 128x32", "screen", "size"),
        ("screen.sizes: 128x32", "screen", "size"),
        ("sound.mixer.speaker: null", "sound", "mixer"),
        ("buttons.talk.pin: 17", "buttons", "talk"),
        ("room: {room.url: wss://h}", "room", "url"),
        ("volume: 80", "sound", "volume"),
        ("talk: {volume: 80}", "sound", "volume"),
    ],
)
def test_a_full_key_in_a_file_is_explained_in_the_form_that_a_file_has(
    file, text, section, key
):
    (line,) = faults_of(file(text))
    assert line.endswith(
        f': unknown key. Write "{section}:" and below it, indented, "{key}: …".'
    )


def test_an_unknown_key_of_a_file_may_be_one_of_the_same_section_or_of_none(file):
    lines = faults_of(file("room: {token_ulr: x}\nsound: {name: y}\na.b: 1"))
    assert [line.partition("key. ")[2] for line in lines] == [
        (
            "Known here: name, room, sound, talk, buttons, lamps, screen, chat, page, "
            "metrics, log."
        ),
        "Did you mean room.token_url?",
        "Did you mean name?",
    ]


def test_a_variable_is_named_as_it_is_spelled():
    environment = {"PTT_ROOM__TOKEN_ULR": "x", "PTT_BUTTONS__TALK": "x"}
    lines = faults_of(environment=environment)
    assert lines == [
        (
            "environment: PTT_ROOM__TOKEN_ULR: unknown key. "
            "Did you mean PTT_ROOM__TOKEN_URL?"
        ),
        (
            'environment: PTT_BUTTONS__TALK: expected a GPIO number 2-27, found "x". '
            "Write for example 17."
        ),
    ]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("PTT_TALK_MODE", "PTT_TALK__MODE"),
        ("PTT_ROOM_TOKEN_URL", "PTT_ROOM__TOKEN_URL"),
        ("PTT_PAGE_LISTEN", "PTT_PAGE__LISTEN"),
    ],
)
def test_a_variable_with_one_underline_is_explained(written, meant):
    (line,) = faults_of(environment={written: "x"})
    assert line == f"environment: {written}: unknown key. Did you mean {meant}?"


@pytest.mark.parametrize("above", ["x", "room.token_body"])
def test_a_key_of_a_thousand_levels_is_no_crash(above):
    key = f"{above}{'.x' * 2000}"
    outcome = loaded_or_faults([f"{key}=1"], {f"PTT_{key.replace('.', '__')}": "1"})
    assert isinstance(outcome, Loaded) == (above == "room.token_body")


def test_other_variables_are_ignored():
    assert load(None, (), {"HOME": "/root", "ptt_name": "x", "PTT": "1"})


@pytest.mark.parametrize(
    "text",
    [
        "room: {tokn: SECRET}",
        "room: {token: {a: SECRET}}",
        "room: {token: SECRET!, url: 'wss://h'}",
        "room: {token_headers: SECRET}",
        "room: {token_headers: {X-Key: [SECRET]}}",
        "room: {token_headers: {'Authorization: Bearer SECRET'}}",
        "room: {token_headers: {'Authorization: Bearer SECRET': x}}",
        "room: {token_query: {key=SECRET}}",
        f"room: {{token_query: {{{'eyJ' * 20}.SECRET: }}}}",
        "room: {presets: [{name: x, token_headers: {'A: SECRET'}}]}",
        'room: {token_headers: {X-Key: "SECRET\\n"}}',
        "room: {token_query: {key: {a: SECRET}}}",
        "room: {token_body: SECRET}",
        "room: {token_url: 'http://example.com/?key=SECRET'}",
        "room: {token_url: 'https://me:SECRET@example.com'}",
        "room: {token_url: 'ftp://SECRET@example.com/?SECRET'}",
        "room: {token_url: [SECRET]}",
        "room: SECRET",
        "room: {presets: [{name: x, token: [SECRET]}, SECRET]}",
        "room: {token: *SECRET}",
        "room: {token: !SECRET x}",
        "room: {token:SECRET}",
        "room: {token=SECRET}",
        "room: {'token:SECRET': 1}",
        "room:\n  token:SECRET",
        "token:SECRET",
        f"room: {{{'eyJ' * 20}.SECRET: 1}}",
        "SECRET",
    ],
)
def test_a_secret_is_in_no_fault(file, text):
    assert "SECRET" not in "\n".join(faults_of(file(text)))


def test_a_secret_in_a_setting_that_is_not_yaml_is_not_shown():
    (line,) = faults_of(environment={"PTT_ROOM__TOKEN": "*SECRET: {"})
    assert line == (
        "environment: PTT_ROOM__TOKEN: is not YAML. "
        "Put the value into quotes of its own."
    )


def test_an_explicitly_named_file_has_to_exist():
    for path, environment in (
        (Path("/no/such"), {}),
        (None, {"PTT_APPLIANCE_CONFIG": "/no/such"}),
    ):
        assert faults_of(path, (), environment) == [
            "/no/such: there is no such file. Write one, or fix the path."
        ]


def test_a_file_without_read_permission_gets_advice_for_a_person_and_the_service():
    class Locked(PosixPath):
        def read_bytes(self):
            raise PermissionError(errno.EACCES, "Permission denied")

    assert faults_of(Locked("/etc/ptt-appliance/config.yaml")) == [
        (
            "/etc/ptt-appliance/config.yaml: cannot be read: permission denied. "
            "Use sudo. If it does not help, or the service says so, run: "
            "sudo chgrp ptt-appliance /etc/ptt-appliance/config.yaml "
            "&& sudo chmod 640 /etc/ptt-appliance/config.yaml"
        )
    ]
    assert faults_of(Locked("/home/pi/config.yaml")) == [
        "/home/pi/config.yaml: cannot be read: permission denied. Fix its rights."
    ]


def test_a_folder_is_not_a_configuration(tmp_path):
    (line,) = faults_of(tmp_path)
    assert line == f"{tmp_path}: cannot be read: is a directory. Fix path or rights."


def test_bytes_that_are_not_text_are_shown_by_line_and_column(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes(b"name: x\nroom: \xff\n")
    (line,) = faults_of(path)
    assert line == (
        f"{path}: line 2, column 7: found bytes that are not text. Save it as UTF-8."
    )


def test_a_file_from_a_windows_editor_is_read(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes("name: Küche\r\n".encode("utf-8-sig"))
    assert load(path, (), {}).config.name == "Küche"


def test_without_a_token_source_there_is_no_room_to_join():
    with pytest.raises(ConfigError, match="token_url: expected the address"):
        need_room(load(None, (), {}))


@pytest.mark.parametrize(
    "settings", [["room.token_url=https://h"], ["room.url=wss://h", "room.token=a.b.c"]]
)
def test_a_token_source_or_a_fixed_token_is_enough_for_a_room(settings):
    need_room(load(None, settings, {}))


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["https://h", "wss://h", "http://h", "17", "a.b.c", "0:1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "pin", "token", "pull", "x"]), inner)
    ),
    max_leaves=6,
)
trees = st.dictionaries(
    st.sampled_from([*KEYS, "room", "sound", "buttons", "x", "room.x"]),
    values,
    max_size=6,
)


def loaded_or_faults(
    settings: list[str], environment: dict[str, str]
) -> Loaded | ConfigError:
    try:
        return load(None, settings, environment)
    except ConfigError as exc:
        return exc


def is_explained(error: ConfigError) -> bool:
    """Return True if there are faults, each of them one line."""
    return len(str(error).splitlines()) == len(error.faults) > 0


@given(tree=trees)
@settings(max_examples=300)
def test_any_values_give_a_configuration_or_faults(tree):
    settings = [f"{key}={msgspec.json.encode(v).decode()}" for key, v in tree.items()]
    outcome = loaded_or_faults(settings, {})
    if isinstance(outcome, ConfigError):
        assert is_explained(outcome)
    else:
        # Whatever was accepted has the annotated types.
        msgspec.convert(msgspec.to_builtins(outcome.config), Config)


@given(st.lists(st.text()), st.dictionaries(st.text(), st.text()))
def test_any_settings_and_variables_give_a_configuration_or_faults(settings, names):
    environment = {f"PTT_{name}": value for name, value in names.items()}
    outcome = loaded_or_faults(settings, environment)
    assert isinstance(outcome, Loaded) or is_explained(outcome)


def test_loading_imports_no_large_package():
    code = (
        "import sys, appliance.config.load as c; c.load(None, (), {});"
        "print(*(m for m in ('httpx', 'jwt', 'numpy', 'starlette', 'asyncio')"
        " if m in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REFERENCE.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""


def test_levels_of_the_card_are_read_and_a_bare_number_is_explained():
    both = load(None, ["sound.mixer={microphone: 70, speaker: 90}"], {}).config
    assert both.sound.mixer == MixerConfig(microphone=70, speaker=90)
    one = load(None, (), {"PTT_SOUND__MIXER__SPEAKER": "100"}).config
    assert one.sound.mixer == MixerConfig(speaker=100)
    (fault,) = set_faults("sound.mixer=90")
    assert "expected {microphone: …, speaker: …}, found 90." in fault
