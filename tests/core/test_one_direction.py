"""A box that is configured without a microphone or without a speaker."""

import pytest

from appliance.config import Config, SoundConfig, TalkConfig
from appliance.core.commands import Earcon, OpenGate
from appliance.core.view import TalkState
from tests.core.story import (
    OPEN,
    PAGE_DOWN,
    PRESS,
    PUSH_TO_TALK,
    RELEASE,
    earcons,
    in_room,
    of,
)

LISTENER = SoundConfig(microphone="none")
ANNOUNCER = SoundConfig(speaker="none")
REASON = "cannot talk: configured without a microphone"


@pytest.mark.parametrize("request_", [PRESS, PAGE_DOWN])
@pytest.mark.parametrize("mode", PUSH_TO_TALK)
def test_without_a_microphone_a_press_is_refused_and_the_reason_is_shown(
    mode, request_
):
    box = in_room(Config(sound=LISTENER, talk=TalkConfig(mode=mode)))
    commands = box.play(request_)
    assert earcons(commands) == (Earcon.REFUSED,)
    assert not of(OpenGate, commands)
    shown = box.view()
    assert (shown.talk, shown.talk_text) == (TalkState.UNAVAILABLE, REASON)


def test_without_a_microphone_an_open_box_sends_nothing():
    box = in_room(Config(sound=LISTENER, talk=TalkConfig(mode=OPEN)))
    assert not of(OpenGate, box.play(PRESS, 1, RELEASE, 1, PRESS, 1))
    assert box.view().talk_text == REASON


def test_a_missing_direction_that_is_configured_is_no_fault():
    shown = in_room(Config(sound=LISTENER)).view()
    assert (shown.has_microphone, shown.is_listener) == (False, True)
    assert (shown.has_speaker, shown.is_announcer) == (True, False)
    assert (shown.faults, shown.lamps.fault) == ((), False)
    shown = in_room(Config(sound=ANNOUNCER)).view()
    assert (shown.has_speaker, shown.is_announcer) == (False, True)
    assert (shown.has_microphone, shown.is_listener) == (True, False)
    assert (shown.faults, shown.lamps.fault) == ((), False)
    assert shown.talk is TalkState.MUTED


@pytest.mark.parametrize(
    ("sound", "permission"),
    [(LISTENER, {"may_publish": False}), (ANNOUNCER, {"may_subscribe": False})],
)
def test_a_permission_that_is_not_needed_is_no_fault(sound, permission):
    box = in_room(Config(sound=sound))
    box.play(box.permissions(**permission))
    assert not box.view().faults
