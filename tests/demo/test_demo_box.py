import pytest

from appliance.config.rules import findings
from appliance.demo import box
from appliance.errors import DemoError
from appliance.page.address import listener


def test_the_demos_configuration_has_no_mistakes():
    config = box.config(box.issued_room("http://127.0.0.1:1/api/token"), "127.0.0.1:0")
    assert list(findings(config)) == []


def test_the_next_port_is_taken_when_one_is_in_use():
    first = box.listen_address(None)
    with listener("127.0.0.1", int(first.rpartition(":")[2])):
        assert box.listen_address(None) != first


def test_an_address_that_was_wished_for_and_is_in_use_is_named_with_what_to_do():
    with listener("127.0.0.1", 0) as taken:
        wished = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(DemoError, match=r"in use.*--listen"):
            box.listen_address(wished)
    assert box.listen_address(wished) == wished


def test_a_room_of_ones_own_must_be_reached_safely():
    assert box.given_room("wss://example.com", "t").url == "wss://example.com"
    assert box.given_room("ws://127.0.0.1:7880", "t").token == "t"
    with pytest.raises(DemoError, match=r"--room-url: .*in the clear"):
        box.given_room("ws://example.com", "t")
