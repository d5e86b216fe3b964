import json

from appliance.config import RoomConfig
from appliance.tokens.request import token_request


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


def test_a_get_has_no_body():
    room = RoomConfig(token_url="https://h", token_method="GET")
    assert token_request(room, "box", "Kitchen").body is None


def test_identity_and_name_are_filled_in_everywhere():
    room = RoomConfig(
        token_url="https://h",
        token_headers={"X-User-Id": "u-{identity}", "Accept": "text/json"},
        token_query={"who": "{identity}/{name}", "raw": "{other}"},
    )
    request = token_request(room, "box", "Küche")
    assert request.headers["x-user-id"] == b"u-box"
    assert request.headers["accept"] == b"text/json"
    assert request.query == {"who": "box/Küche", "raw": "{other}"}


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
