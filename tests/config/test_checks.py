"""Checks of values that concern several keys, such as pins with two uses."""

import pytest

from appliance.config import RoomKind
from appliance.config.load import load
from appliance.errors import ConfigError


def faults_of(*settings: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(None, settings, {})
    return [f"{fault.key}: {fault.sentence}" for fault in caught.value.faults]


def accepts(*settings: str) -> bool:
    return bool(load(None, settings, {}))


def test_one_pin_cannot_have_two_uses():
    assert faults_of("buttons.talk=22", "lamps.fault={pin: 27}") == [
        "lamps.online: GPIO 22 is used by buttons.talk. Write another, or null.",
        "lamps.fault: GPIO 27 is used by buttons.leave. Write another, or null.",
    ]


def test_a_box_that_always_talks_is_not_half_duplex():
    assert accepts("sound.half_duplex=true")
    assert accepts("talk.mode=open")
    (line,) = faults_of("sound.half_duplex=true", "talk.mode=open")
    assert "would mute everybody" in line
    assert "Write false, or talk: {mode: hybrid}." in line


def test_a_pin_that_is_not_a_number_blocks_no_other_pin():
    (line,) = faults_of("buttons.talk=x", "buttons.next_room=17")
    assert line.startswith("buttons.talk: expected a GPIO number")


def test_the_pins_of_a_configured_screen_are_in_use():
    assert accepts("buttons.talk=3")
    assert accepts("buttons.talk=3", "screen.driver=ssd1306", "screen.bus=0")
    assert faults_of("buttons.talk=3", "screen.driver=ssd1306") == [
        "buttons.talk: GPIO 3 is used by the screen's I²C bus. Write another, or null."
    ]


@pytest.mark.parametrize(
    "url",
    [
        "https://tokens.example.com/api?key=1",
        "http://127.0.0.1:8787/api/token",
        "http://localhost/api",
        "http://[::1]:1/",
        "https://[2001:db8::1]:8443/x",
        "HTTPS://EXAMPLE.COM",
    ],
)
def test_a_token_source_is_https_or_on_this_machine(url):
    assert accepts(f"room.token_url={url}")


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        (
            "room.token_url=http://nas.local/api?key=1",
            (
                "room.token_url: http://nas.local/api would go over the network in the "
                "clear. Write https://nas.local/api, or add nas.local to "
                "room.allow_insecure."
            ),
        ),
        (
            "room.token_url=http://localhost.example.com",
            (
                "room.token_url: http://localhost.example.com would go over the "
                "network "
                "in the clear. Write https://localhost.example.com, or add "
                "localhost.example.com to room.allow_insecure."
            ),
        ),
        (
            "room.token_url=wss://h",
            "room.token_url: expected https://, found wss://h. Write https://h.",
        ),
        (
            "room.url=https://h:7880",
            "room.url: expected wss://, found https://h:7880. Write wss://h:7880.",
        ),
        (
            "room.token_url=https://me:word@h/x",
            (
                "room.token_url: expected an address without a user name or password, "
                "found https://h/x with one. Leave it out. Put secrets into "
                "token_headers."
            ),
        ),
        (
            "room.url=wss://me:word@h",
            (
                "room.url: expected an address without a user name or password, "
                "found wss://h with one. Leave it out."
            ),
        ),
        (
            "metrics.post_url=ftp://h",
            "metrics.post_url: expected https://, found ftp://h. Write https://h.",
        ),
    ],
)
def test_an_address_that_is_not_allowed_has_a_remedy(setting, line):
    assert faults_of(setting) == [line]


@pytest.mark.parametrize(
    "url",
    [
        "example.com",
        "https://",
        "https://a b",
        '"https://h\\n"',
        "https://h:x",
        '"https://[::"',
        "https://h\\@evil",
        "''",
        "//h",
        "https://h:99999",
    ],
)
def test_an_invalid_address_is_refused(url):
    assert faults_of(f"room.token_url={url}") == [
        (
            "room.token_url: expected an address like https://host/path, "
            "found something "
            "else."
        )
    ]


def test_plain_http_is_accepted_for_an_allowed_host():
    assert accepts(
        "room.allow_insecure=[NAS.local]",
        "room.token_url=http://nas.local",
        "room.url=ws://nas.local:7880",
        "metrics.post_url=http://nas.local/counts",
    )


def test_an_allowed_host_is_a_host_name_and_not_an_address():
    assert faults_of("room.allow_insecure=['http://nas.local']") == [
        (
            "room.allow_insecure: expected host names and nothing more, found "
            '"http://nas.local". Write [nas.local].'
        )
    ]


def test_a_fixed_token_needs_a_server():
    (line,) = faults_of("room.token=a.b.c")
    assert line.startswith("room.url: expected the address of the server")


def test_a_fixed_token_has_three_parts():
    assert faults_of("room.token=abc", "room.url=wss://h") == [
        (
            "room.token: expected one word of three parts with dots between, found …. "
            "Copy the whole token."
        )
    ]


def test_every_kind_of_room_is_accepted():
    for kind in RoomKind:
        assert accepts(f"room.kind={kind}")


def test_a_body_is_not_sent_with_get():
    (line,) = faults_of("room.token_method=GET", "room.token_body={a: 1}")
    assert line.startswith("room.token_body: is not sent with GET.")


@pytest.mark.parametrize(
    ("headers", "start"),
    [
        ('{"X Id": a}', "room.token_headers.X…: is not a header name."),
        ('{"X\\r\\nEvil": a}', "room.token_headers.X…: is not a header name."),
        ('{"": a}', "room.token_headers.: is not a header name."),
        ('{X-Id: "a\\r\\nEvil: b"}', "room.token_headers.X-Id: expected one line"),
        ('{X-Id: " a"}', "room.token_headers.X-Id: expected one line"),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused(headers, start):
    (line,) = faults_of(f"room.token_headers={headers}")
    assert line.startswith(start)


def test_two_presets_of_one_name_are_refused():
    assert faults_of("room.presets=[{name: a}, {name: b}, {name: a}]") == [
        "room.presets[2].name: is the name of an earlier preset. Write another."
    ]


def test_a_fault_of_the_room_is_not_repeated_for_each_preset():
    assert (
        len(faults_of("room.presets=[{name: a}, {name: b}]", "room.url=http://x")) == 1
    )


def test_a_fault_of_a_preset_is_reported_with_its_key():
    (line,) = faults_of("room.presets=[{name: a, url: 'ws://h'}]")
    assert line.startswith("room.presets[0].url: ws://h would go over the network")


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        (
            'room.token_headers={X-User: "{identiy}"}',
            (
                "room.token_headers: unknown placeholder {identiy}. Known here: "
                "{identity}, {display_name}, {room}. Write {{identiy}} for the "
                "text itself."
            ),
        ),
        (
            'room.token_body={a: [{b: "x {Room}"}]}',
            (
                "room.token_body: unknown placeholder {Room}. Known here: "
                "{identity}, {display_name}, {room}. Write {{Room}} for the "
                "text itself."
            ),
        ),
        (
            "room.token_body={room_name: {room}}",
            (
                "room.token_body: {room} without quotes is no placeholder. "
                'Write "{room}".'
            ),
        ),
        (
            "room.token_body={a: [1, {b: {display_name}}]}",
            (
                "room.token_body: {display_name} without quotes is no placeholder. "
                'Write "{display_name}".'
            ),
        ),
        (
            'room.token_body={room_name: "{room}"}',
            (
                "room.name: expected the room's name for {room}, found nothing. "
                "Write kitchen."
            ),
        ),
    ],
)
def test_a_placeholder_that_cannot_be_filled_in_is_a_fault(setting, line):
    assert faults_of(setting) == [line]


@pytest.mark.parametrize(
    "setting",
    [
        "room.token_url=https://h/{identity}/{display_name}/{name}",
        'room.token_body={metadata: "{\\"a\\": {}}", b: "{{user}}", c: "{not this}"}',
        "room.token_body={a: {other}, b: {room: x}, c: {room: null, d: 1}, e: null}",
        "room.token_body={identity: null}",
    ],
)
def test_known_placeholders_and_other_braces_are_accepted(setting):
    assert accepts(setting)


def test_the_room_of_a_preset_needs_no_further_name():
    preset = '{name: lab, token_url: "https://h/{room}"}'
    assert accepts("room.token_url=https://h", f"room.presets=[{preset}]")


@pytest.mark.parametrize(
    "url", ["https://{identity}.example.com/x", "https://h:{room}", "https://{x}?y=/"]
)
def test_a_placeholder_in_the_name_of_the_host_is_refused(url):
    assert faults_of(f"room.token_url={url}")[0] == (
        "room.token_url: expected an address like https://host/path, found something "
        "else. Placeholders are allowed only after the host."
    )
