"""Supervision of a screen that is unplugged and plugged in again."""

from dataclasses import replace

import pytest
from PIL import Image

from appliance.config import ScreenConfig
from appliance.core.events import Event, Part, PartFound, PartLost
from appliance.display.rendering import drift, picture
from appliance.errors import PanelError
from appliance.panel.display import PROBE_S, DisplaySupervisor
from appliance.panel.screen_saver import (
    DRIFT_S,
    ScreenSaverState,
    activity,
    brightness,
    next_change_s,
)
from appliance.panel.simulated import SimulatedDisplay
from tests.pictures.situations import SITUATIONS, line

NO_DEVICE = PanelError("OLED", "no device")
CONFIG = ScreenConfig(dim_after_s=60, sleep_after_s=600)
SILENT, TALKING = SITUATIONS["silent"], SITUATIONS["talking"]
LOST = PartLost(Part.SCREEN, "OLED", "no device")
FOUND = PartFound(Part.SCREEN, "OLED")


class Bench(SimulatedDisplay):
    """Supervisor, and its display, which can be unplugged."""

    def __init__(self, config: ScreenConfig = CONFIG) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.probes = 0
        self.shows = 0
        self.is_plugged = True
        self.power_cuts = 0
        self.supervisor = DisplaySupervisor(config, self.events.append, self.open)

    def open(self, config: ScreenConfig) -> "Bench":
        self.probes += 1
        self._check()
        super().open(config)
        return self

    def check(self) -> bool:
        self._check()
        return not self._was_without_power()

    def show(self, picture: Image.Image, /) -> None:
        self._check()
        self.shows += 1
        super().show(picture)

    def light(self, *, is_lit: bool) -> None:
        self._check()
        super().light(is_lit=is_lit)

    def close(self) -> None:
        self.is_lit = False
        self._check()

    def _was_without_power(self) -> bool:
        if not self.power_cuts:
            return False
        self.power_cuts -= 1
        self.picture = None
        return True

    def _check(self) -> None:
        if not self.is_plugged:
            raise NO_DEVICE


def test_a_picture_is_sent_once_until_it_changes():
    bench = Bench()
    for second in range(5):
        bench.supervisor.refresh(SILENT, second, 0)
    assert bench.shows == 1
    bench.supervisor.refresh(TALKING, 5, 0)
    assert bench.picture == picture(TALKING, (128, 64))
    assert bench.events == []


def test_before_the_first_view_the_screen_stays_dark():
    bench = Bench()
    bench.supervisor.refresh(None, 0, 0)
    assert (bench.probes, bench.shows) == (1, 0)


def test_a_missing_screen_is_reported_once_and_probed_every_few_seconds():
    bench = Bench()
    bench.is_plugged = False
    for tenth in range(300):
        bench.supervisor.refresh(SILENT, tenth / 10, 0)
    assert bench.events == [LOST]
    assert bench.probes == 30 / PROBE_S


def test_an_unplugged_screen_is_reported_and_redrawn_on_its_return():
    bench = Bench()
    bench.supervisor.refresh(SILENT, 0, 0)
    bench.is_plugged = False
    bench.supervisor.refresh(TALKING, 1, 0)
    assert bench.events == [LOST]
    bench.is_plugged = True
    assert bench.supervisor.refresh(TALKING, 1, 0) == pytest.approx(PROBE_S - 1)
    assert bench.shows == 1
    bench.supervisor.refresh(TALKING, PROBE_S, 0)
    assert bench.events == [LOST, FOUND]
    assert bench.picture == picture(TALKING, (128, 64))
    assert bench.is_lit


def test_an_unplugged_screen_is_detected_while_nothing_changes():
    bench = Bench()
    assert bench.supervisor.refresh(SILENT, 0, 0) == PROBE_S
    bench.is_plugged = False
    bench.supervisor.refresh(SILENT, 1, 0)
    assert bench.events == []
    bench.supervisor.refresh(SILENT, PROBE_S, 0)
    assert bench.events == [LOST]
    bench.is_plugged = True
    bench.supervisor.refresh(SILENT, 2 * PROBE_S, 0)
    assert bench.events == [LOST, FOUND]
    assert bench.is_lit


def test_a_screen_that_is_plugged_in_again_is_back_within_two_seconds():
    assert PROBE_S <= 2


def test_a_power_cut_is_repaired_without_a_report():
    bench = Bench()
    bench.supervisor.refresh(SILENT, 0, 70)
    bench.power_cuts = 1
    bench.supervisor.refresh(SILENT, PROBE_S, 70 + PROBE_S)
    assert bench.picture == picture(SILENT, (128, 64))
    assert (bench.is_lit, bench.is_dim) == (True, True)
    assert bench.events == []


class Defective(Bench):
    """A display that is found but takes no picture."""

    def show(self, picture: Image.Image, /) -> None:
        raise NO_DEVICE


def test_a_screen_that_answers_but_takes_no_picture_is_lost_once_and_not_found():
    bench = Defective()
    for second in range(30):
        bench.supervisor.refresh(SILENT, second, 0)
    assert bench.events == [LOST]


def test_an_idle_screen_dims_sleeps_and_wakes_with_the_newest_picture():
    bench = Bench()
    bench.supervisor.refresh(SILENT, 0, 0)
    assert (bench.is_lit, bench.is_dim) == (True, False)
    bench.supervisor.refresh(SILENT, 0, 60)
    assert (bench.is_lit, bench.is_dim) == (True, True)
    bench.supervisor.refresh(SILENT, 0, 600)
    assert not bench.is_lit
    shows = bench.shows
    bench.supervisor.refresh(TALKING, 0, 601)
    assert bench.shows == shows
    bench.supervisor.refresh(TALKING, 0, 0)
    assert (bench.is_lit, bench.is_dim) == (True, False)
    assert bench.picture == picture(TALKING, (128, 64))


def test_the_picture_drifts_over_minutes():
    bench = Bench()
    seen = set()
    for minute in range(8):
        bench.supervisor.refresh(SILENT, minute * DRIFT_S, 0)
        assert bench.picture == picture(SILENT, (128, 64), drift(minute))
        seen.add(bench.picture.tobytes())
    assert len(seen) == 8


def test_a_screen_that_fails_while_closing_is_not_reported():
    bench = Bench()
    bench.supervisor.refresh(SILENT, 0, 0)
    bench.is_plugged = False
    bench.supervisor.close()
    bench.supervisor.close()
    assert bench.events == []


def test_zero_means_never():
    config = ScreenConfig(dim_after_s=0, sleep_after_s=0)
    assert brightness(1e9, config) is ScreenSaverState.BRIGHT
    assert next_change_s(90.0, 1e9, config) == 30


def test_the_next_change_is_the_nearest_of_drift_dimming_and_sleep():
    assert next_change_s(0.0, 0.0, CONFIG) == 60
    assert next_change_s(0.0, 50.0, CONFIG) == 10
    assert next_change_s(59.0, 50.0, CONFIG) == 1
    assert next_change_s(0.0, 590.0, CONFIG) == 10


def test_talk_chat_and_connection_wake_the_screen_but_a_countdown_does_not():
    out = SITUATIONS["disconnected"]
    assert activity(replace(out, banner="retry in 3 s")) == activity(out)
    assert activity(SILENT) != activity(TALKING)
    assert activity(SILENT) != activity(out)
    chat = (*SILENT.chat, line("Anna", "Good night"))
    assert activity(replace(SILENT, chat=chat)) != activity(SILENT)
