"""Tests that a second choice is named and replaced, with a fake of the kernel."""

import queue
import threading
import time
from types import SimpleNamespace
from typing import TypeVar

import pytest

from appliance.audio.portaudio import ANY_CARD
from appliance.config import SoundConfig
from appliance.core import fault_table
from appliance.core.events import Part, PartFound, PartLost
from appliance.errors import SoundError
from appliance.sound_cards.devices import Device, listed
from appliance.sound_cards.selected_devices import SelectedDevices
from tests.audio.fake_driver import (
    DEADLINE_S,
    FakeDriver,
    FakeStream,
    Steps,
    beat,
    running,
    supervising,
)
from tests.sound_cards.proc_asound import kernel

HDMI = ("vc4-hdmi: Audio (hw:0,0)", 0, 2)
MICROPHONE = ("USB Microphone: Audio (hw:1,0)", 1, 0)
SPEAKER = ("USB Boom: Audio (hw:2,0)", 0, 2)
DUPLEX = ("USB Boom: Audio (hw:2,0)", 1, 2)


@pytest.fixture
def machine(tmp_path):
    """Raspberry Pi with HDMI and a USB microphone."""
    made = kernel(tmp_path)
    made.add(0, "vc4-hdmi", "vc4hdmi", "pcm0p")
    made.add(1, "USB Microphone", "Mic", "pcm0c", usb_id="1:1")
    made.run(99, ("/usr/bin/pulseaudio",))
    return made


class Callbacks:
    """Context in which the streams of all plugged-in cards call back."""

    def __init__(self, driver):
        self._driver = driver
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        streams: list[tuple[FakeStream, object]] = []
        while not self._end.wait(0.01):
            while not self._driver.opened.empty():
                _, callback = self._driver.opened.get()
                streams.append((self._driver.streams.get(), callback))
            there = {name for name, *_ in self._driver.cards}
            for stream, callback in streams:
                if stream.names <= there and not stream.is_closed.is_set():
                    beat(callback)

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()


_Report = TypeVar("_Report", PartFound, PartLost)


def next_of(events: queue.Queue[object], kind: type[_Report], part: Part) -> _Report:
    """Return the next report of this kind about this part."""
    while True:
        event = events.get(timeout=DEADLINE_S)
        if isinstance(event, kind) and event.part is part:
            return event


def speaker_found(events: queue.Queue[object]) -> PartFound:
    """Return the next report of a speaker."""
    return next_of(events, PartFound, Part.SPEAKER)


@pytest.mark.parametrize("preferred", [(), ("Boom",)])
def test_a_speaker_listed_before_it_can_be_opened_replaces_hdmi(machine, preferred):
    driver = FakeDriver((HDMI, MICROPHONE))
    choice = SelectedDevices(
        SoundConfig(speaker=(*preferred, "hdmi") if preferred else ()), machine.alsa
    )
    with running(driver, Steps(), choice=choice) as events, Callbacks(driver):
        found = speaker_found(events)
        assert found.name == "vc4-hdmi: Audio"
        assert found.notice.startswith("not ")
        # udev opens the node later than the first search, which is in vain.
        before = driver.searches
        machine.add(2, "USB Boom", "Boom", "pcm0p", usb_id="2:2")
        ends_s = time.monotonic() + DEADLINE_S
        while driver.searches == before:
            assert time.monotonic() < ends_s
            time.sleep(0.01)
        driver.cards = (HDMI, MICROPHONE, SPEAKER)
        found = speaker_found(events)
    assert (found.name, found.notice) == ("USB Boom: Audio", "")


@pytest.mark.parametrize("preferred", [(), ("Boom", "hdmi")])
def test_a_speaker_that_a_program_has_open_is_named_and_used_once_it_is_free(
    machine, preferred
):
    driver = FakeDriver((HDMI, ("USB Boom: Audio (hw:2,0)", 1, 0)))
    machine.add(2, "USB Boom", "Boom", "pcm0p", "pcm0c", usb_id="2:2")
    machine.use(2, "pcm0p", 99)
    config = SoundConfig(speaker=preferred)
    choice = SelectedDevices(config, machine.alsa)
    with running(driver, Steps(), choice=choice) as events, Callbacks(driver):
        found = speaker_found(events)
        assert (found.name, found.notice) == (
            "vc4-hdmi: Audio",
            "not USB Boom: Audio, in use by pulseaudio (pid 99); stop that program",
        )
        driver.cards = (HDMI, DUPLEX)
        machine.free(2, "pcm0p")
        found = speaker_found(events)
    assert (found.name, found.notice) == ("USB Boom: Audio", "")


HAT = ("seeed-2mic-voicecard: HiFi (hw:3,0)", 2, 2)


def test_a_card_on_the_pin_header_is_a_second_choice_once_a_usb_card_was_there(
    tmp_path,
):
    machine = kernel(tmp_path)
    choice = SelectedDevices(SoundConfig(microphone="none"), machine.alsa)

    def notice(*cards):
        keys = "name", "max_input_channels", "max_output_channels"
        facts = [dict(zip(keys, x, strict=True)) for x in cards]
        devices = listed([x | {"default_samplerate": 48_000.0} for x in facts])
        choice.use(choice.choose(devices)[0])
        return choice.found()["speaker"].notice

    assert notice(HAT) == ""
    machine.add(2, "USB Boom", "Boom", "pcm0p", usb_id="2:2")
    notice(HAT)
    machine.remove(2)
    assert notice(HAT).startswith("not a USB card")


MICROPHONES = [Device(f"USB Mic {x}: (hw:{x},0)", 1, 0, 48_000) for x in (1, 2)]
CARDS = [Device(f"USB Boom {x}: (hw:{x},0)", 1, 2, 48_000) for x in (1, 2)]


@pytest.mark.parametrize(
    ("cards", "ways"),
    [(MICROPHONES, ["microphone"]), (CARDS, ["microphone", "speaker"])],
)
def test_of_two_equal_cards_the_open_one_is_kept(tmp_path, cards, ways):
    choice = SelectedDevices(SoundConfig(), kernel(tmp_path).alsa)
    choice.use(dict.fromkeys(ways, cards[1]))
    # PortAudio does not list the one that is open.
    assert choice.choose((cards[0],))[0] == dict.fromkeys(ways, cards[1])


def test_a_card_that_never_works_is_searched_for_less_and_less_until_a_change(
    machine, monkeypatch
):
    later_s = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + later_s[0])
    monkeypatch.setattr("appliance.audio.supervisor.time", clock)
    machine.add(2, "USB Boom", "Boom", "pcm0p", usb_id="2:2")
    driver = FakeDriver((MICROPHONE,))

    def wait_for(searches):
        ends_s = time.monotonic() + DEADLINE_S
        while driver.searches < searches:
            assert time.monotonic() < ends_s
            time.sleep(0.01)

    choice = SelectedDevices(SoundConfig(speaker=("Boom", "Other")), machine.alsa)
    with running(driver, Steps(), choice=choice), Callbacks(driver):
        wait_for(3)
        later_s[0] += 86_400.0
        wait_for(4)
        before = driver.searches
        time.sleep(2.5)
        assert driver.searches == before
        # Without any sound it goes on.
        driver.cards = ()
        wait_for(before + 3)
        later_s[0] += 86_400.0
        wait_for(before + 6)
        driver.cards = (MICROPHONE,)
        wait_for(before + 7)
        later_s[0] += 86_400.0
        wait_for(before + 8)
        before = driver.searches
        machine.add(3, "Other", "Other", "pcm0p", usb_id="3:3")
        wait_for(before + 1)


PLUGIN = ("mymic", 1, 0)
PLUGIN_FIRST = SoundConfig(microphone=("mymic",), speaker=("USB Boom",))


@pytest.mark.parametrize("is_there_at_first", [False, True])
def test_a_preferred_plugin_is_used_once_its_card_is_there(tmp_path, is_there_at_first):
    machine = kernel(tmp_path)
    machine.add(2, "USB Boom", "Boom", "pcm0p", usb_id="2:2")
    driver = FakeDriver((SPEAKER,))
    choice = SelectedDevices(PLUGIN_FIRST, machine.alsa)

    def plug_in():
        driver.cards = (SPEAKER, MICROPHONE, PLUGIN)
        machine.add(1, "USB Microphone", "Mic", "pcm0c", usb_id="1:1")

    if is_there_at_first:
        plug_in()
    with running(driver, Steps(), choice=choice) as events, Callbacks(driver):
        if is_there_at_first:
            next_of(events, PartFound, Part.MICROPHONE)
            driver.cards = (SPEAKER,)
            machine.remove(1)
        lost = next_of(events, PartLost, Part.MICROPHONE)
        while "not found" not in lost.reason:
            lost = next_of(events, PartLost, Part.MICROPHONE)
        plug_in()
        assert next_of(events, PartFound, Part.MICROPHONE).name == "mymic"


def test_a_card_that_is_there_and_cannot_be_opened_is_not_to_be_plugged_in(machine):
    def missing(choice):
        error = choice.choose(())[1]["speaker"]
        return error.part, error.reason

    any_card, named = (
        SelectedDevices(SoundConfig(microphone="none", speaker=preferred), machine.alsa)
        for preferred in ((), ("Boom", "hdmi"))
    )
    nothing = "any speaker", fault_table.NO_CARD.text()
    assert missing(any_card) == nothing, "an HDMI output without a screen is no card"
    assert "not found" in missing(named)[1]
    machine.add(2, "USB Boom", "Boom", "pcm0p", usb_id="2:2")
    boom = "USB Boom: Audio", fault_table.CARD_NOT_OPEN.text()
    assert missing(any_card) == missing(named) == boom


@pytest.mark.parametrize("preferred", [(), ("hdmi",)])
def test_an_hdmi_output_without_a_screen_is_searched_only_if_it_is_preferred(
    tmp_path, preferred
):
    machine = kernel(tmp_path)
    machine.add(0, "vc4-hdmi", "vc4hdmi", "pcm0p")
    config = SoundConfig(microphone="none", speaker=preferred)
    choice = SelectedDevices(config, machine.alsa)
    assert choice.is_better_listed() is bool(preferred)


def test_a_program_that_has_a_card_open_is_named_until_the_card_is_unplugged(machine):
    driver = FakeDriver((HDMI,))
    machine.add(2, "USB Boom", "Boom", "pcm0p", usb_id="2:2")
    machine.use(1, "pcm0c", 99)
    machine.use(2, "pcm0p", 99)
    config = SoundConfig(microphone=("Microphone",), speaker=("Boom", "hdmi"))
    choice = SelectedDevices(config, machine.alsa)
    with running(driver, Steps(), choice=choice) as events, Callbacks(driver):
        lost = next_of(events, PartLost, Part.MICROPHONE)
        assert "in use by pulseaudio" in lost.reason
        assert "in use by pulseaudio" in speaker_found(events).notice
        machine.remove(1)
        machine.remove(2)
        lost = next_of(events, PartLost, Part.MICROPHONE)
        assert "not found" in lost.reason
        assert speaker_found(events).notice.startswith('not "Boom"; plug that one in')


def test_a_card_stuck_in_the_kernel_is_named_and_does_not_stop_the_supervisor(machine):
    config = SoundConfig(speaker=("Boom",))
    choice = SelectedDevices(config, machine.alsa)
    driver = FakeDriver((MICROPHONE,))
    with (
        supervising(driver, Steps(), choice=choice) as (supervisor, events),
        Callbacks(driver),
    ):
        next_of(events, PartFound, Part.MICROPHONE)
        machine.add(2, "USB Boom", "Boom", "pcm0p", usb_id="2:2")
        with machine.stuck(2, "pcm0p"):
            lost = next_of(events, PartLost, Part.SPEAKER)
            while "does not answer (card2/pcm0, status)" not in lost.reason:
                lost = next_of(events, PartLost, Part.SPEAKER)
            assert lost.name == "USB Boom: Audio"
            seen_s = supervisor.heartbeat_s
            driver.cards = ()
            next_of(events, PartLost, Part.MICROPHONE)
            assert supervisor.heartbeat_s > seen_s


def test_a_card_is_as_good_as_in_use_while_it_does_not_answer(machine):
    machine.add(2, "USB Boom", "Boom", "pcm0p", usb_id="2:2")
    config = SoundConfig(microphone="none", speaker=("Boom",))
    choice = SelectedDevices(config, machine.alsa)
    with machine.stuck(2, "pcm0p"):
        assert not choice.is_better_listed()
    ends_s = time.monotonic() + DEADLINE_S
    while not choice.is_better_listed():
        assert time.monotonic() < ends_s


class Stuck(FakeDriver):
    """Driver whose search does not come back."""

    def devices(self):
        raise SoundError(ANY_CARD, fault_table.CARD_STUCK.text(call="search"))


def test_a_search_that_hangs_is_the_reason_for_both_directions(machine):
    choice = SelectedDevices(SoundConfig(), machine.alsa)
    with running(Stuck(), Steps(), choice=choice) as events:
        lost = [events.get(timeout=DEADLINE_S) for _ in range(2)]
    assert {x.part for x in lost} == {Part.MICROPHONE, Part.SPEAKER}
    assert {(x.name, "not answer (search)" in x.reason) for x in lost} == {
        (ANY_CARD, True)
    }
