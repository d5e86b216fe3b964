import fastjsonschema
import pytest
import yaml

from appliance.config.schema import config_schema
from tests.config.test_file import REFERENCE

validate = fastjsonschema.compile(config_schema())


def test_the_reference_is_valid():
    validate(yaml.safe_load(REFERENCE.read_text()))


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "sound:",
        "buttons: {talk: {pin: 17, pull: none, active: high}}",
        "screen: {address: 0x3D}",
        "room: {presets: [{name: x, token_query: {a: b}}]}",
        "room: {token_body: {a: [1, {b: c}]}}",
    ],
)
def test_what_the_program_takes_is_valid(text):
    validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    [
        "colour: red",
        "sound: {volme: 80}",
        "sound: {volume: 101}",
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


def test_every_key_is_explained_by_itself_or_its_section():
    schema = config_schema()
    assert isinstance(schema["properties"], dict)
    for section in schema["properties"].values():
        assert section["description"]
    talk = schema["properties"]["talk"]["properties"]["mode"]
    assert talk["description"] == "What a press means."
    assert talk["default"] == "hybrid"
