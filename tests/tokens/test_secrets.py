"""Texts of the configuration that count as secrets, and their placeholders."""

from appliance.config import Config, MetricsConfig, Preset, RoomConfig
from appliance.tokens.adapter import secrets


def test_every_text_for_a_token_source_is_a_secret():
    room = RoomConfig(
        token_url="https://tokens.example.com/api?apikey=in%2Faddress&room=kitchen",
        token_headers={"Authorization": "in header", "X-User-Id": "{identity}"},
        token_query={"key": "in query", "name": "box of {name}"},
        token_body={"key": "in body", "deep": {"keys": ["in a list", 5, None]}},
        token="a.b.c",
    )
    assert set(secrets(Config(room=room))) == {
        "a.b.c",
        "in header",
        "in query",
        "in body",
        "in a list",
        "in/address",
        "apikey=in%2Faddress&room=kitchen",
    }


def test_the_secrets_of_presets_and_reports_are_secrets_too():
    config = Config(
        room=RoomConfig(presets=(Preset(name="lab", token_query={"k": "of lab"}),)),
        metrics=MetricsConfig(post_url="https://counts.example.com/?key=of-counts"),
    )
    assert set(secrets(config)) == {"of lab", "of-counts", "key=of-counts"}


def test_texts_that_the_log_needs_are_not_secrets():
    room = RoomConfig(
        token_query={"room": "kitchen"},
        token_body={"room_name": "kitchen", "roomName": "kitchen"},
    )
    assert secrets(Config(room=room)) == ()


def test_braces_that_are_no_placeholder_do_not_make_a_text_public():
    room = RoomConfig(token_body={"a": '{"key": "K"}', "b": "{{user}} K"})
    assert set(secrets(Config(room=room))) == {'{"key": "K"}', "{user} K"}
