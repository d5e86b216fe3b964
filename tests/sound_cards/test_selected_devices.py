"""Tests that a second choice is named and replaced, with a fake of the kernel."""

import queue
import threading
import time
from typing import TypeVar

import pytest

from appliance.audio.portaudio import ANY_CARD
from appliance.audio.reopen_policy import ReopenPolicy, SoundState
from appliance.config import SoundConfig
from appliance.core import fault_table
from appliance.core.events import Part, PartFound, PartLost
from appliance.errors import SoundError
from appliance.sound_cards.alsa_devices import AlsaCards
from appliance.sound_cards.devices import Device
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
        while driver.searches == before:
            speaker_found(events)
        driver.cards = (HDMI, MICROPHONE, SPEAKER)
        while (found := speaker_found(events)).name != "USB Boom: Audio":
            assert found.notice
        assert not found.notice


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


def test_the_only_card_needs_no_notice_until_a_usb_card_was_there(tmp_path):
    machine = kernel(tmp_path)
    machine.add(0, "vc4-hdmi", "vc4hdmi", "pcm0p")
    machine.add(3, "seeed-2mic-voicecard", "seeed", "pcm0p", "pcm0c")
    driver = FakeDriver((HDMI, HAT))
    choice = SelectedDevices(SoundConfig(), machine.alsa)
    with running(driver, Steps(), choice=choice) as events, Callbacks(driver):
        found = speaker_found(events)
        assert (found.name, found.notice) == ("seeed-2mic-voicecard: HiFi", "")
        driver.cards = (HDMI, HAT, DUPLEX)
        machine.add(2, "USB Boom", "Boom", "pcm0p", "pcm0c", usb_id="2:2")
        assert speaker_found(events).name == "USB Boom: Audio"
        driver.cards = (HDMI, HAT)
        machine.remove(2)
        found = speaker_found(events)
    assert found.name == "seeed-2mic-voicecard: HiFi"
    assert found.notice.startswith("not a USB card")


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
        next_of(events, PartLost, Part.MICROPHONE)
        speaker_found(events)
        plug_in()
        assert next_of(events, PartFound, Part.MICROPHONE).name == "mymic"


def test_a_plugin_that_was_never_listed_is_searched_once_after_each_change(tmp_path):
    machine = kernel(tmp_path)
    machine.add(2, "USB Boom", "Boom", "pcm0p", usb_id="2:2")
    boom = Device(0, SPEAKER[0], 0, 2, 48_000, "Boom", "2:2")
    mymic = Device(1, "mymic", 1, 0, 48_000, is_plugin=True)
    choice = SelectedDevices(PLUGIN_FIRST, machine.alsa)
    found, missing = choice.choose((boom,))
    choice.use(found, found)
    assert set(missing) == {"microphone"}
    assert choice.is_plugin_wanted()
    assert not choice.is_better_listed(), "which would be searched again and again"
    choice.choose((boom, mymic))
    assert choice.is_better_listed(), "as it has been there"
    found = {"speaker": boom, "microphone": mymic}
    choice.use(found, found)
    assert not choice.is_plugin_wanted()
    assert not choice.is_better_listed()


def test_a_preferred_card_that_the_kernel_lists_is_no_plugin(machine):
    config = SoundConfig(microphone="none", speaker=("hdmi", "Boom"))
    choice = SelectedDevices(config, machine.alsa)
    boom = Device(0, SPEAKER[0], 0, 2, 48_000, "Boom", "2:2")
    choice.use({"speaker": boom}, {"speaker"})
    assert not choice.is_plugin_wanted()


def test_a_program_that_plays_a_sound_is_no_reason_to_search_for_a_missing_card(
    machine,
):
    config = SoundConfig(microphone="none", speaker=("Boom", "USB Box"))
    machine.add(2, "USB Box", "Box", "pcm0p", usb_id="3:3")
    choice = SelectedDevices(config, machine.alsa)
    policy = ReopenPolicy(choice.is_better_listed, choice.is_plugin_wanted)
    found, _ = choice.choose((Device(0, "USB Box: Audio (hw:2,0)", 0, 2, 48_000),))
    choice.use(found, found)
    policy.note(choice.list_cards(), 0.0, is_open=True)
    state = SoundState(is_open=True, is_best=choice.is_best)
    machine.use(0, "pcm0p", 99)
    assert not policy.is_due(choice.list_cards, 100.0, state)
    machine.free(0, "pcm0p")
    assert not policy.is_due(choice.list_cards, 200.0, state)
    machine.add(3, "Camera", "Camera", "pcm0c")
    assert policy.is_due(choice.list_cards, 300.0, state), "Boom may be a plugin of it"


def test_a_display_that_is_switched_on_after_hours_is_searched_at_once(
    machine, tmp_path
):
    def display(status, enabled):
        (tmp_path / "card1-HDMI-A-1" / "status").write_text(f"{status}\n")
        (tmp_path / "card1-HDMI-A-1" / "enabled").write_text(f"{enabled}\n")

    def due_s(begin_s, end_s, step_s=1):
        """Return the times of the searches, each of which finds nothing."""
        for now_s in range(begin_s, end_s, step_s):
            if policy.is_due(choice.list_cards, float(now_s), state):
                policy.note(choice.list_cards(), float(now_s), is_open=True)
                yield now_s

    (tmp_path / "card1-HDMI-A-1").mkdir()
    display("disconnected", "disabled")
    choice = SelectedDevices(
        SoundConfig(), AlsaCards(machine.cards, machine.processes, tmp_path)
    )
    policy = ReopenPolicy(choice.is_better_listed, choice.is_plugin_wanted)
    found, _ = choice.choose((Device(0, MICROPHONE[0], 1, 0, 48_000, "Mic", "1:1"),))
    choice.use(found, found)
    state = SoundState(is_open=True, is_lost=True)
    assert len(list(due_s(0, 3 * 3600, 10))) < 20
    display("connected", "disabled")
    assert not list(due_s(10800, 10803)), "its picture, and so its sound, is still off"
    display("connected", "enabled")
    assert list(due_s(10803, 10806)) == [10803]


def test_a_plugin_is_searched_when_another_program_lets_go_of_its_card(machine):
    machine.add(2, "USB Boom", "Boom", "pcm0p", usb_id="2:2")
    machine.use(1, "pcm0c", 99)
    choice = SelectedDevices(PLUGIN_FIRST, machine.alsa)
    policy = ReopenPolicy(choice.is_better_listed, choice.is_plugin_wanted)
    found, _ = choice.choose((Device(0, SPEAKER[0], 0, 2, 48_000, "Boom", "2:2"),))
    choice.use(found, found)
    policy.note(choice.list_cards(), 0.0, is_open=True)
    state = SoundState(is_open=True, is_lost=True)
    assert not policy.is_due(choice.list_cards, 100.0, state)
    machine.free(1, "pcm0c")
    assert policy.is_due(choice.list_cards, 200.0, state)


def test_a_card_that_is_there_and_cannot_be_opened_is_not_to_be_plugged_in(machine):
    def searched(choice):
        choice.choose(())
        return facts(choice.choose(())[1]["speaker"])

    def facts(error):
        return error.part, error.reason

    any_card, named = (
        SelectedDevices(SoundConfig(microphone="none", speaker=preferred), machine.alsa)
        for preferred in ((), ("Boom", "hdmi"))
    )
    nothing = "any speaker", fault_table.NO_CARD.text()
    closed = fault_table.CARD_NOT_OPEN.text()
    assert searched(any_card) == nothing, "an HDMI output without a screen is no card"
    assert "not found" in searched(named)[1]
    machine.add(2, "USB Boom", "Boom", "pcm0p", usb_id="2:2")
    assert facts(any_card.missing_now()["speaker"]) == nothing, "not searched yet"
    boom = "USB Boom: Audio", closed
    assert searched(any_card) == searched(named) == boom
    assert facts(any_card.missing_now()["speaker"]) == boom


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
    free = choice.list_cards()
    with machine.stuck(2, "pcm0p"):
        assert choice.list_cards() != free
        assert not choice.is_better_listed()
    ends_s = time.monotonic() + DEADLINE_S
    while choice.list_cards() != free:
        assert time.monotonic() < ends_s
    assert choice.is_better_listed()


class Stuck(FakeDriver):
    """Driver that does not come back from its initialisation."""

    reason = fault_table.CARD_STUCK.text(call="Pa_Initialize")

    def renew(self):
        self.broken = self.reason
        raise SoundError(ANY_CARD, self.broken)


class Slow(Stuck):
    """Driver whose process is being loaded from a slow disk."""

    reason = fault_table.SOUND_NOT_STARTED.text(error="no answer for 5 s")


class Crashed(Stuck):
    """Driver whose process crashes in its initialisation."""

    reason = fault_table.SOUND_CRASHED.text(end="SIGSEGV, in Pa_Initialize")


@pytest.mark.parametrize("driver", [Stuck, Crashed])
def test_a_search_that_hangs_or_crashes_names_the_cards_that_would_be_used(
    machine, driver
):
    machine.add(2, "USB Boom", "Boom", "pcm0p", usb_id="2:2")
    choice = SelectedDevices(SoundConfig(), machine.alsa)
    with running(driver(), Steps(), choice=choice) as events:
        lost = [events.get(timeout=DEADLINE_S) for _ in range(2)]
    assert {(x.part, x.name) for x in lost} == {
        (Part.MICROPHONE, "USB Microphone: Audio"),
        (Part.SPEAKER, "USB Boom: Audio"),
    }


@pytest.mark.parametrize("is_card_there", [False, True])
def test_a_failed_search_that_no_card_is_to_blame_for_names_the_sound(
    tmp_path, is_card_there
):
    machine = kernel(tmp_path)
    if is_card_there:
        machine.add(2, "USB Boom", "Boom", "pcm0p", "pcm0c", usb_id="2:2")
    driver = Slow() if is_card_there else Stuck()
    choice = SelectedDevices(SoundConfig(), machine.alsa)
    with running(driver, Steps(), choice=choice) as events:
        assert events.get(timeout=DEADLINE_S).name == ANY_CARD
