"""The voice agent on the screen."""

from dataclasses import replace

import pytest

from appliance.core.events import AgentState, Caption, VoiceAgent
from appliance.display.rendering import lines
from tests.pictures.situations import ROBOT, SILENT, SPOKEN

SIZES = [(128, 64), (128, 32)]
VIEW = replace(SILENT, people=(ROBOT,), chat=())


def caption(text, segment="s", *, is_final=False, is_own=False):
    return Caption(segment, ROBOT.id, "Robot", text, is_final, 1, is_own)


def shown(size=(128, 64), **changes):
    return "\n".join(lines(replace(VIEW, **changes), size))


@pytest.mark.parametrize("size", SIZES, ids=["tall", "flat"])
@pytest.mark.parametrize("state", AgentState)
def test_the_state_of_the_agent_stands_beside_its_name(size, state):
    text = " ".join(shown(size, agent=VoiceAgent(ROBOT.id, ROBOT.name, state)).split())
    assert f"Robot is {state}" in text


@pytest.mark.parametrize("size", SIZES, ids=["tall", "flat"])
def test_the_newest_words_of_a_long_caption_are_shown(size):
    text = shown(size, captions=(caption(SPOKEN),))
    assert text.endswith("York.")


def test_a_finished_caption_is_shown_as_chat_only():
    text = shown(captions=(caption("all is said", is_final=True),))
    assert "all is said" not in text


def test_of_several_captions_the_newest_is_shown():
    text = shown(captions=(caption("older"), caption("newer", "s2")))
    assert "newer" in text
    assert "older" not in text


def test_what_is_being_said_here_is_shown_as_mine():
    assert "me: hello" in shown(captions=(caption("hello", is_own=True),))


def test_the_words_of_somebody_who_has_left_are_not_shown_as_mine():
    said = shown(people=(), captions=(caption("I have to go"),))
    assert "Robot: I have to go" in said


def test_a_text_without_spaces_is_cut_all_the_same():
    text = shown(captions=(caption("x" * 500),))
    assert "…x" in text
