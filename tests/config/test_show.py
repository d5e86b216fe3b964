"""What `config show` prints: every key with its origin, and no secret."""

import yaml

from appliance.config import Config
from appliance.config.load import load, show, values
from appliance.config.schema import leaves

SECRETS = [
    "room.token=SECRET.SECRET.SECRET",
    "room.url=wss://h?SECRET",
    "room.token_url=https://h/x?SECRET",
    "room.token_headers={X-Key: SECRET}",
    "room.token_query={key: SECRET}",
    "room.token_body={key: [SECRET]}",
    "room.presets=[{name: x, token_query: {a: SECRET}}]",
]


def test_secrets_are_hidden_but_their_names_are_not():
    shown = show(load(None, SECRETS, {}))
    assert "SECRET" not in shown
    assert "token_headers: {X-Key: …}" in shown


def test_secrets_are_hidden_from_scripts_too():
    assert "SECRET" not in str(values(load(None, SECRETS, {})))


def test_every_key_is_there_with_its_origin():
    loaded = load(None, ["talk.mode=hold"], {"PTT_NAME": "kitchen"})
    shown = values(loaded)
    assert set(shown) == {leaf.key for leaf in leaves(Config)}
    assert shown["talk.mode"] == {"value": "hold", "origin": "--set"}
    assert shown["name"] == {"value": "kitchen", "origin": "environment"}
    assert shown["log.level"] == {"value": "info", "origin": "default"}


def test_what_is_shown_can_be_read_again(tmp_path):
    settings = ["buttons.talk={pin: 5}", "name='a: b'", "sound.speaker=['0d8c:0014']"]
    loaded = load(None, settings, {})
    path = tmp_path / "config.yaml"
    path.write_text(show(loaded))
    assert yaml.safe_load(path.read_text())
    assert load(path, (), {}).config == loaded.config


def test_a_preset_is_shown_by_its_name_and_what_differs_from_the_defaults():
    presets = "room.presets=[{token_query: {a: b}, name: lab, identity: box}]"
    loaded = load(None, [presets, "room.url=wss://h"], {})
    assert values(loaded)["room.presets"]["value"] == [
        {"name": "lab", "token_query": {"a": "…"}, "url": "wss://h", "identity": "box"}
    ]
