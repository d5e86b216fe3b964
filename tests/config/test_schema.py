"""The JSON Schema accepts and refuses what the program does."""

import fastjsonschema
import pytest
import yaml

from appliance.config import Config
from appliance.config.schema import config_schema, leaves
from tests.config.test_load import REFERENCE

validate = fastjsonschema.compile(config_schema())


def test_the_reference_is_valid():
    validate(yaml.safe_load(REFERENCE.read_text()))


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "sound:",
        "sound: {microphone: none, speaker: [Jabra]}",
        "buttons: {talk: {pin: 17, pull: none, active: high}}",
        "screen: {address: 0x3D}",
        "room: {presets: [{name: x, token_query: {a: b}}]}",
        "room: {token_body: {a: [1, {b: c}]}}",
    ],
)
def test_what_the_program_accepts_is_valid(text):
    validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    [
        "colour: red",
        "sound: {volme: 80}",
        "sound: {volume: 101}",
        "sound: {speaker: Jabra}",
        "talk: {mode: holt}",
        "buttons: {talk: GP17}",
        "buttons: {talk: {pin: 17, pul: up}}",
        "buttons: {talk: {pull: up}}",
        "room: {presets: [{token_url: https://h}]}",
        "room: {presets: [{name: x, colour: red}]}",
        "presets: []",
        "screen: {address: 0x03}",
        "page: {listen: nowhere}",
    ],
)
def test_what_the_program_refuses_is_not_valid(text):
    with pytest.raises(fastjsonschema.JsonSchemaValueException):
        validate(yaml.safe_load(text))


def keys_of(schema, name):
    """Yield the full name and the schema of each key, sections included."""
    for key, about in schema["$defs"][name]["properties"].items():
        yield f"{name}.{key}", about


def test_a_section_has_its_description_and_a_key_its_default_and_choices():
    schema = config_schema()
    talk = schema["$defs"]["TalkConfig"]
    assert talk["description"] == "Push to talk."
    assert talk["properties"]["mode"]["default"] == "hybrid"
    modes = schema["$defs"]["TalkMode"]["enum"]
    assert sorted(modes) == ["hold", "hybrid", "open", "toggle"]
    assert schema["$defs"]["RoomConfig"]["properties"]["presets"]["default"] == ()


def test_every_leaf_of_the_configuration_is_in_the_schema():
    schema = config_schema()
    found = set()
    for key, about in schema["properties"].items():
        first = about["anyOf"][0]
        section = first.get("$ref", "").rpartition("/")[2]
        inner = keys_of(schema, section) if section else ()
        found |= {name.replace(section, key, 1) for name, _ in inner} or {key}
    assert found == {leaf.key for leaf in leaves(Config)}


def test_a_preset_has_no_defaults_because_it_inherits():
    preset = config_schema()["$defs"]["Preset"]["properties"]
    assert [key for key, about in preset.items() if "default" in about] == []
