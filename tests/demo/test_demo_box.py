import pytest

from appliance.audio.device_choice import Choice
from appliance.audio.devices import listed
from appliance.config import SoundConfig
from appliance.config.checks import findings
from appliance.demo import box
from appliance.errors import DemoError
from appliance.net.listen import listener
from tests.card.asound import Card, plug_in
from tests.card.here import seen_here


def test_the_demos_configuration_has_no_mistakes():
    room = box.issued_room("http://127.0.0.1:1/api/token")
    config = box.config(room, "127.0.0.1:0", SoundConfig())
    assert list(findings(config)) == []


def test_this_computers_own_card_is_no_second_choice_in_the_demo(tmp_path):
    card = Card(tmp_path / "laptop", name="HDA Intel PCH")
    with seen_here(plug_in(tmp_path / "asound.conf", card)):
        library = box.real_card()
        assert library is not None
        choice = Choice(box.named(library))
        found, _ = choice.choose(listed(library.devices()))
    choice.use(found, found)
    assert {device.name for device in found.values()} == {"HDA Intel PCH"}
    assert choice.is_best


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
