"""The request to a token source."""

import json

import httpx
import pytest

from appliance.config import Preset, RoomConfig
from appliance.tokens.adapter import token_request


def test_a_post_has_the_standard_names_and_what_is_configured():
    room = RoomConfig(
        token_url="https://h/x?key=1",
        token_body={"room_name": "kitchen", "a": [{"b": "{name}"}], "n": 5},
    )
    request = token_request(room, "box-1", "Kitchen")
    assert (request.method, request.url) == ("POST", "https://h/x?key=1")
    assert request.headers["content-type"] == b"application/json"
    assert json.loads(request.body or b"") == {
        "participant_identity": "box-1",
        "participant_name": "Kitchen",
        "room_name": "kitchen",
        "a": [{"b": "Kitchen"}],
        "n": 5,
    }


def test_the_configuration_overrides_the_standard_names():
    room = RoomConfig(token_url="https://h", token_body={"participant_name": "x"})
    body = json.loads(token_request(room, "box", "Kitchen").body or b"")
    assert body["participant_name"] == "x"


def test_null_leaves_the_standard_names_out():
    names = ("participant_identity", "participant_name", "data")
    room = RoomConfig(token_url="https://h", token_body=dict.fromkeys(names))
    assert token_request(room, "box", "Kitchen").body == b'{"data":null}'


def test_a_get_has_no_body():
    room = RoomConfig(token_url="https://h", token_method="GET")
    assert token_request(room, "box", "Kitchen").body is None


def test_placeholders_are_filled_in_everywhere():
    room = RoomConfig(
        name="attic",
        token_url="https://h/{room}/{identity}?n={display_name}",
        token_headers={"X-User-Id": "u-{identity}", "Accept": "text/json"},
        token_query={"who": "{identity}/{name}/{display_name}", "raw": "{{room}}"},
        token_body={"room_name": "{room}", "5": ["{identity}", 5, None]},
    )
    request = token_request(room, "box", "Küche")
    assert httpx.URL(request.url).path == "/attic/box"
    assert dict(httpx.URL(request.url).params) == {
        "n": "Küche",
        "who": "box/Küche/Küche",
        "raw": "{room}",
    }
    assert request.headers["x-user-id"] == b"u-box"
    assert request.headers["accept"] == b"text/json"
    body = json.loads(request.body or b"")
    assert (body["room_name"], body["5"]) == ("attic", ["box", 5, None])


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://h/x?room=attic", "room=cellar+1"),
        (
            "https://h/x?room=attic&room=b&key=a%2Bb&flag",
            "key=a%2Bb&flag&room=cellar+1",
        ),
        ("https://h/x?r%6fom=attic&rooms=2", "rooms=2&room=cellar+1"),
        ("https://h/x?", "room=cellar+1"),
        ("https://h/x?ro=1#part", "ro=1&room=cellar+1"),
    ],
)
def test_a_key_in_the_query_replaces_that_key_in_the_address(url, sent):
    """Some token sources refuse a key that comes twice, others choose either value."""
    room = RoomConfig(token_url=url, token_query={"room": "cellar 1"})
    assert httpx.URL(token_request(room, "box", "Kitchen").url).query == sent.encode()


def test_a_preset_may_choose_another_room_by_the_query_alone():
    preset = Preset(
        name="lab", token_url="https://h/x?room=attic", token_query={"room": "{room}"}
    )
    assert token_request(preset, "box", "Kitchen").url == "https://h/x?room=lab"


def test_without_a_query_the_address_stays_as_it_is():
    url = "https://h/x?&flag&key=a%2Bb&&room=a&room=b"
    assert token_request(RoomConfig(token_url=url), "box", "Kitchen").url == url


def test_the_room_of_a_preset_is_its_name():
    preset = Preset(name="garage", token_url="https://h/{room}")
    assert token_request(preset, "box", "Kitchen").url == "https://h/garage"


def test_a_value_that_looks_like_a_placeholder_is_not_filled_in():
    room = RoomConfig(token_url="https://h", token_query={"who": "{name}"})
    url = httpx.URL(token_request(room, "box", "{identity}").url)
    assert dict(url.params) == {"who": "{identity}"}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("../admin?x#y", "..%2Fadmin%3Fx%23y"),
        ("..", "%2E%2E"),
        ("a b", "a%20b"),
        ("名", "%E5%90%8D"),
    ],
)
def test_a_name_in_the_address_is_one_segment_of_the_path(name, path):
    room = RoomConfig(token_url="https://h/rooms/{name}/token")
    url = token_request(room, "box", name).url
    assert url == f"https://h/rooms/{path}/token"
    assert httpx.URL(url).raw_path.decode() == f"/rooms/{path}/token"


def test_the_secrets_of_a_request_are_its_values_and_their_words():
    room = RoomConfig(
        token_url="https://h?key=in-address",
        token_headers={"Authorization": "Bearer in-header", "X-User": "{identity}"},
        token_query={"key": "in-query-{identity}", "room": "kitchen"},
        token_body={"a": ["in-body"]},
    )
    secrets = token_request(room, "box", "Kitchen").secrets
    assert {"in-address", "in-header", "in-query-box", "in-body"} <= secrets
    assert not {"box", "Kitchen", "kitchen"} & secrets


def test_a_display_name_cannot_add_a_header():
    room = RoomConfig(token_url="https://h", token_headers={"X-Name": "{name}"})
    request = token_request(room, "box", "Kü\r\nX-Evil: 1\r\n\r\n ")
    assert request.headers["x-name"] == "KüX-Evil: 1".encode()


def test_a_request_shows_neither_query_nor_headers_nor_body():
    room = RoomConfig(
        token_url="https://h/x?SECRET",
        token_headers={"X-Key": "SECRET"},
        token_query={"key": "SECRET"},
        token_body={"key": "SECRET"},
    )
    request = token_request(room, "box", "Kitchen")
    assert request.where == "https://h/x"
    assert "SECRET" not in repr(request)
