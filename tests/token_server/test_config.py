"""The token server's configuration file."""

from pathlib import Path

import pytest
import yaml

from appliance.config.schema import leaves
from appliance.errors import ConfigError
from appliance.token_server.config import TokenServerConfig, read_settings
from tests.token_server.clients import BOX, ENVIRONMENT, SECRET, SHARED, environment

REFERENCE = Path(__file__).parents[2] / "systemd" / "token-server.yaml"
KEYS = {name: ENVIRONMENT[name] for name in ENVIRONMENT if name.startswith("LIVEKIT")}


def read(environment, path=None, listen=None):
    return read_settings(path, listen, environment)


def faults_of(environment, path=None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(environment, path)
    return str(caught.value).splitlines()


def test_the_values_of_the_reference_are_the_defaults():
    assert read(KEYS | {"TOKEN_SERVER_ROOMS": "[a]"}, REFERENCE).config == (
        TokenServerConfig(rooms=("a",))
    )


def test_the_reference_has_every_key():
    values = yaml.safe_load(REFERENCE.read_text())
    nodes = {f"dtelecom.{key}" for key in values.pop("dtelecom")}
    assert values.keys() | nodes == {x.key for x in leaves(TokenServerConfig)}


def test_the_examples_of_the_reference_are_valid(tmp_path):
    examples = [
        line.removeprefix("# Example: ")
        for line in REFERENCE.read_text().splitlines()
        if line.startswith("# Example: ")
    ]
    assert len(examples) > 10
    path = tmp_path / "token-server.yaml"
    lines = [line for line in examples if not line.startswith("kind:")]
    path.write_text("\n".join(lines))
    config = read(KEYS, path).config
    given = {line.partition(":")[0] for line in examples}
    defaults = TokenServerConfig()
    assert all(
        getattr(config, key) != getattr(defaults, key) for key in given - {"kind"}
    )


def test_each_missing_setting_is_named():
    assert faults_of({}) == [
        (
            "/etc/ptt-appliance/token-server.yaml: rooms: expected room names, "
            "found none. Write [kitchen]."
        ),
        (
            "environment: LIVEKIT_URL: expected the address of your LiveKit server, "
            "wss://…, found nothing. Set this variable."
        ),
        (
            "environment: LIVEKIT_API_KEY: expected an API key of your LiveKit server, "
            "found nothing. Set this variable."
        ),
        (
            "environment: LIVEKIT_API_SECRET: expected the secret of that API key, "
            "found nothing. Set this variable."
        ),
    ]


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"LIVEKIT_API_SECRET": "short"}, "LIVEKIT_API_SECRET: expected 32"),
        ({"LIVEKIT_URL": "ws://h"}, "LIVEKIT_URL: ws://h would go"),
        (
            {"TOKEN_SERVER_ROMS": "[]"},
            "TOKEN_SERVER_ROMS: unknown key. Did you mean TOKEN_SERVER_ROOMS?",
        ),
        (
            {"TOKEN_SERVER_TTL_S": "5"},
            "TOKEN_SERVER_TTL_S: expected a whole number 60-3600, found 5. Write for",
        ),
        (
            {"TOKEN_SERVER_ROOMS": "kitchen"},
            (
                "TOKEN_SERVER_ROOMS: expected a list, each text of 1-200 characters, "
                'found "kitchen". Write [kitchen].'
            ),
        ),
        ({"TOKEN_SERVER_LISTEN": "a b:1"}, "TOKEN_SERVER_LISTEN: expected"),
        (
            {"TOKEN_SERVER_HOSTS": "['*']"},
            "TOKEN_SERVER_HOSTS: expected host names and nothing more",
        ),
        (
            {"TOKEN_SERVER_ORIGINS": "['https://h/x']"},
            "TOKEN_SERVER_ORIGINS: expected scheme and host only",
        ),
        (
            {"TOKEN_SERVER_ALLOW": "[everyone]"},
            (
                "TOKEN_SERVER_ALLOW: expected loopback, anybody, addresses and "
                'networks, found "everyone". Write [loopback, 192.168.1.0/24].'
            ),
        ),
        (
            {"TOKEN_SERVER_TRUSTED_PROXIES": "[nginx]"},
            "TOKEN_SERVER_TRUSTED_PROXIES: expected addresses and networks",
        ),
        (
            {"TOKEN_SERVER_USER_HEADER": "X-User"},
            "TOKEN_SERVER_USER_HEADER: only trusted proxies are believed",
        ),
        (
            {"TOKEN_SERVER_REQUEST_HEADERS": "['a b']"},
            "TOKEN_SERVER_REQUEST_HEADERS[0]: expected the name of a header",
        ),
        (
            {"TOKEN_SERVER_USER_HEADER": "a b"},
            "TOKEN_SERVER_USER_HEADER: expected the name of a header",
        ),
        (
            {"TOKEN_SERVER_ROOM_CONFIG": "[egress]"},
            "TOKEN_SERVER_ROOM_CONFIG[0]: expected one of agents, departure_timeout",
        ),
        (
            {"TOKEN_SERVER_SECRET": "'short'"},
            "TOKEN_SERVER_SECRET: expected 16-200 ASCII characters without spaces,",
        ),
        (
            {"TOKEN_SERVER_BOXES": "{kitchen: short}"},
            "TOKEN_SERVER_BOXES__KITCHEN: expected 16-200 ASCII characters",
        ),
        (
            {"TOKEN_SERVER_AGENTS": "[{room: kitchen}]"},
            "TOKEN_SERVER_AGENTS[0]__NAME: expected",
        ),
    ],
)
def test_a_fault_has_the_format_of_the_appliances(changes, start):
    (line,) = faults_of(ENVIRONMENT | changes)
    assert line.startswith(f"environment: {start}")
    assert "short" not in line


@pytest.mark.parametrize(
    ("variable", "url", "value"),
    [
        ("LIVEKIT_URL", "ws://nas.local:7880", "ws://nas.local:7880"),
        ("TOKEN_SERVER_ORIGINS", "http://nas.local", "['http://nas.local']"),
    ],
)
def test_the_error_for_a_host_on_the_lan_names_a_key_that_exists(variable, url, value):
    (line,) = faults_of(ENVIRONMENT | {variable: value})
    secure = url.replace("://", "s://")
    assert line.endswith(f"Write {secure}, or add nas.local to allow_insecure.")
    assert read(environment(allow_insecure=["nas.local"]) | {variable: value})


def test_a_file_and_the_command_line_are_read_too(tmp_path):
    path = tmp_path / "token-server.yaml"
    path.write_text("listen: 127.0.0.1:1\nrooms: [garage]\nttl_s: 300")
    settings = read(KEYS, path, "127.0.0.1:2")
    assert (settings.config.listen, settings.config.ttl_s) == ("127.0.0.1:2", 300)
    assert settings.config.rooms == ("garage",)


def test_no_secret_is_shown_and_each_is_known_to_the_log():
    settings = read(environment(secret=SHARED, boxes={"kitchen": BOX}))
    assert set(settings.secrets) == {SECRET, SHARED, BOX}
    assert not [secret for secret in settings.secrets if secret in repr(settings)]


@pytest.mark.parametrize(
    "keys",
    [
        {"boxes": {"kitchen": BOX, "garage": BOX}},
        {"secret": SHARED, "boxes": {"kitchen": SHARED}},
    ],
)
def test_a_secret_belongs_to_one_box_only(keys):
    (line,) = faults_of(environment(**keys))
    assert "BOXES: expected secrets that differ, found one twice" in line
    assert BOX not in line
    assert SHARED not in line


@pytest.mark.parametrize("prefix", ["", "token-server_"])
def test_systemds_credentials_are_read(tmp_path, prefix):
    for name, text in KEYS.items():
        (tmp_path / f"{prefix}{name}").write_text(f"{text}\n")
    boxes = tmp_path / f"{prefix}TOKEN_SERVER_BOXES"
    boxes.write_text(f"kitchen: {BOX}\ngarage: {BOX}2\n")
    (tmp_path / "token-server.yaml").write_text("rooms: [kitchen]")
    settings = read(
        {"CREDENTIALS_DIRECTORY": str(tmp_path)}, tmp_path / "token-server.yaml"
    )
    assert settings.url == KEYS["LIVEKIT_URL"]
    assert settings.secrets == (SECRET, BOX, f"{BOX}2")


def test_a_variable_takes_precedence_over_a_credential(tmp_path):
    (tmp_path / "LIVEKIT_URL").write_text("wss://other.example.com")
    settings = read(ENVIRONMENT | {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert settings.url == ENVIRONMENT["LIVEKIT_URL"]


def test_a_folder_of_credentials_that_is_missing_changes_nothing(tmp_path):
    read(ENVIRONMENT | {"CREDENTIALS_DIRECTORY": str(tmp_path / "missing")})


def test_a_credential_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "TOKEN_SERVER_SECRET"
    path.write_bytes(b"\xff")
    (line,) = faults_of(ENVIRONMENT | {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert line.startswith(
        f"environment: TOKEN_SERVER_SECRET: the file {path} cannot be read: "
        "it is not text"
    )


DEVELOPMENT = ENVIRONMENT | {
    "LIVEKIT_URL": "ws://127.0.0.1:7880",
    "LIVEKIT_API_KEY": "devkey",
    "LIVEKIT_API_SECRET": "secret",
}


def test_the_keys_of_a_development_server_are_accepted_on_this_machine_only():
    assert read(DEVELOPMENT).is_development
    assert not read(ENVIRONMENT).is_development
    for changes in (
        {"LIVEKIT_URL": "wss://lk.example.com"},
        {"TOKEN_SERVER_LISTEN": "0.0.0.0:8787"},
    ):
        (line,) = faults_of(DEVELOPMENT | changes)
        assert line.startswith("environment: LIVEKIT_API_SECRET: everybody knows")
    (line,) = faults_of(DEVELOPMENT | {"LIVEKIT_API_KEY": "key"})
    assert "expected 32 bytes or more, found 6" in line
