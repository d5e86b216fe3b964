"""Conversation with a voice agent."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.config import (
    Config,
    Preset,
    RoomConfig,
    SoundConfig,
)
from appliance.core.chat import KEPT_CAPTIONS, Delivery
from appliance.core.commands import (
    CloseGate,
    Earcon,
    JoinRoom,
    MuteAgent,
    OpenGate,
    PlayEarcon,
    TakeTurn,
    Turn,
)
from appliance.core.events import (
    AgentChanged,
    AgentFailed,
    AgentState,
    Caption,
    CaptionReceived,
    ChatTyped,
    FirstBlockSent,
    JoinAsked,
    LevelsMeasured,
    LinkChanged,
    Participant,
    PeopleChanged,
    RoomResumed,
    TailEnded,
    VoiceAgent,
)
from appliance.core.talk import KEPT_S
from appliance.core.view import AGENT_AWAITED, AGENT_LEFT, TalkState
from tests.core.story import (
    ALICE,
    HOLD,
    HYBRID,
    MICROPHONE_FOUND,
    MICROPHONE_LOST,
    MUTE,
    OPEN,
    PRESS,
    PUSH_TO_TALK,
    RELEASE,
    TOGGLE,
    UNMUTE,
    CoreHarness,
    earcons,
    in_room,
    joining,
    of,
    started,
    with_mode,
)

ROBOT = Participant("agent-AJ_1", "Robot", is_agent=True)
AVATAR = Participant("avatar-AJ_1", "Face", is_agent=True)
VOICE = LevelsMeasured(-20, -96, is_voice=True)
LOUDER = LevelsMeasured(-17, -96, is_voice=True)
QUIET = LevelsMeasured(-90, -96, is_voice=False)
INITIALIZING, IDLE, LISTENING, THINKING, SPEAKING = AgentState
START, END, CANCEL = Turn


def agent(box, state=LISTENING, name="Robot", key=ROBOT.id, *, takes_turns=False):
    found = VoiceAgent(key, name, state, takes_turns)
    return AgentChanged(box.state.ticket, found)


def gone(box):
    return AgentChanged(box.state.ticket, None)


def caption(box, text, *, is_final=False, segment="s1", talker=ROBOT.id):
    names = {"box": "Box", ROBOT.id: "Robot"}
    spoken = Caption(segment, talker, names.get(talker, "?"), text, is_final, 7)
    return CaptionReceived(box.state.ticket, spoken)


def with_agent(mode=HOLD, state=LISTENING) -> CoreHarness:
    """Return a box in a room with an agent and nobody else."""
    box = joining(with_mode(mode))
    box.play(box.joined(ROBOT))
    box.play(agent(box, state))
    return box


def say(box, seconds=1.0):
    """Press, speak and release."""
    before = len(box.commands)
    box.play(
        PRESS, FirstBlockSent(0.01), VOICE, seconds, RELEASE, 0.2, QUIET, TailEnded()
    )
    return box.commands[before:]


def spoken(box):
    return [(line.sender_name, line.text, line.state) for line in box.view().chat]


def expecting(mode=HOLD) -> CoreHarness:
    """Return a box alone in a room into which the token brings an agent."""
    box = started(with_mode(mode))
    box.play(box.token(expects_agent=True), box.joined())
    return box


def test_the_agent_and_its_state_are_shown():
    box = in_room()
    assert box.view().agent is None
    box.play(agent(box, THINKING))
    assert box.view().agent == VoiceAgent(ROBOT.id, "Robot", THINKING)
    box.play(gone(box))
    assert box.view().agent is None


def test_the_agent_is_forgotten_with_the_room():
    box = with_agent()
    box.play(caption(box, "hello"))
    box.play(box.lost())
    assert (box.view().agent, box.view().captions) == (None, ())
    box.play(1.0, box.token(), box.joined(ALICE))
    assert (box.view().agent, box.view().captions) == (None, ())


def test_a_caption_grows_and_then_becomes_one_line_of_the_chat():
    box = with_agent()
    for text in ("it", "it is", "it is late"):
        box.play(caption(box, text))
        assert [(x.text, x.is_own) for x in box.view().captions] == [(text, False)]
    assert spoken(box) == []
    box.play(caption(box, "it is late", is_final=True))
    box.play(caption(box, "it is late", is_final=True), caption(box, "something else"))
    assert spoken(box) == [("Robot", "it is late", Delivery.RECEIVED)]
    assert [(x.text, x.is_final) for x in box.view().captions] == [("it is late", True)]


def test_what_was_said_here_becomes_a_line_of_this_box():
    box = with_agent()
    box.play(caption(box, "what time", talker="box"))
    assert [x.is_own for x in box.view().captions] == [True]
    box.play(caption(box, "what time is it", is_final=True, talker="box"))
    (line,) = box.view().chat
    assert line.is_own
    assert (line.text, line.state) == ("what time is it", Delivery.SENT)


def test_a_caption_replaces_no_line_that_was_typed():
    box = with_agent()
    box.play(ChatTyped("mine", "typed", 1))
    box.play(caption(box, "forged", is_final=True, segment="mine", talker="box"))
    assert [line.text for line in box.view().chat] == ["typed"]


def test_only_the_newest_captions_are_kept_and_not_for_ever():
    box = with_agent()
    for number in range(KEPT_CAPTIONS + 3):
        box.play(caption(box, f"text {number}", segment=str(number)))
    assert [x.text for x in box.view().captions] == [
        f"text {number}" for number in range(3, KEPT_CAPTIONS + 3)
    ]
    box.play(9.0)
    assert box.view().captions
    box.play(1.5)
    assert box.view().captions == ()


@pytest.mark.parametrize("mode", PUSH_TO_TALK)
def test_the_agent_is_muted_from_the_press_to_the_end_of_the_talk(mode):
    box = with_agent(mode, SPEAKING)
    assert of(MuteAgent, box.play(PRESS)) == (MuteAgent(1, is_on=True),)
    box.play(FirstBlockSent(0.01), 1.0)
    if mode is HOLD:
        assert of(MuteAgent, box.play(RELEASE)) == ()
        assert of(MuteAgent, box.play(TailEnded())) == (MuteAgent(1, is_on=False),)


def test_the_agent_is_muted_in_the_step_of_the_press_before_the_earcon():
    box = with_agent(HOLD, SPEAKING)
    commands = box.play(PRESS)
    assert commands.index(MuteAgent(1, is_on=True)) == 0


def test_an_agent_that_comes_during_a_talk_is_muted_too():
    box = in_room(with_mode(HOLD))
    assert of(MuteAgent, box.play(PRESS)) == ()
    assert of(MuteAgent, box.play(agent(box))) == (MuteAgent(1, is_on=True),)
    assert of(MuteAgent, box.play(gone(box))) == (MuteAgent(1, is_on=False),)


def test_in_open_mode_the_agent_is_never_muted():
    box = with_agent(OPEN, SPEAKING)
    assert of(OpenGate, box.commands)
    assert of(MuteAgent, box.commands) == ()


def test_an_agent_that_answers_during_a_latched_talk_is_heard():
    box = with_agent(HYBRID, SPEAKING)
    box.play(PRESS, FirstBlockSent(0.01), 0.1, RELEASE, VOICE)
    assert box.state.talk.is_latched
    assert of(MuteAgent, box.commands) == (MuteAgent(1, is_on=True),)
    box.play(agent(box, LISTENING))
    assert len(of(MuteAgent, box.commands)) == 1
    assert of(MuteAgent, box.play(agent(box, THINKING))) == (MuteAgent(1, is_on=False),)


@pytest.mark.parametrize("mode", [TOGGLE, HYBRID])
def test_an_agent_that_answers_a_latched_talk_without_thinking_is_heard(mode):
    """As agents with a realtime model do, and those that say a fixed text."""
    box = with_agent(mode)
    box.play(PRESS, FirstBlockSent(0.01), 0.1, RELEASE, VOICE, 1.0, QUIET)
    assert of(MuteAgent, box.play(agent(box, SPEAKING))) == (MuteAgent(1, is_on=False),)


@pytest.mark.parametrize("state", [THINKING, SPEAKING])
def test_in_half_duplex_a_latched_talk_ends_when_the_agent_answers(state):
    """Nobody is played while the gate is open."""
    config = Config(sound=SoundConfig(half_duplex=True))
    box = joining(config)
    box.play(box.joined(ROBOT), agent(box), PRESS, FirstBlockSent(0.01), 0.1, RELEASE)
    assert box.is_live()
    (close,) = of(CloseGate, box.play(VOICE, 1.0, QUIET, agent(box, state)))
    assert close.tail_ms
    box.play(TailEnded())
    assert [x.is_on for x in of(MuteAgent, box.commands)] == [True, False]
    assert (
        of(CloseGate, box.play(PRESS, FirstBlockSent(0.01), agent(box, THINKING))) == ()
    )


@pytest.mark.parametrize("state", [THINKING, SPEAKING])
@pytest.mark.parametrize("mode", [TOGGLE, HYBRID])
def test_an_agent_that_a_latched_talk_interrupts_stays_muted_until_it_answers(
    mode, state
):
    box = with_agent(mode, state)
    box.play(PRESS, FirstBlockSent(0.01), 0.1, RELEASE, VOICE)
    renamed = agent(box, SPEAKING, name="Robot 2")
    assert of(MuteAgent, box.play(renamed, agent(box, LISTENING))) == ()
    assert of(MuteAgent, box.play(agent(box, SPEAKING))) == (MuteAgent(1, is_on=False),)


def test_another_agent_that_comes_speaking_is_heard_in_a_latched_talk():
    box = with_agent(HYBRID, SPEAKING)
    box.play(PRESS, FirstBlockSent(0.01), 0.1, RELEASE)
    other = agent(box, SPEAKING, key="agent-AJ_2")
    assert of(MuteAgent, box.play(other)) == (MuteAgent(1, is_on=False),)


def test_the_agent_is_told_about_our_turn_and_its_end_after_the_last_word():
    box = with_agent(HOLD)
    assert of(TakeTurn, box.play(PRESS)) == (TakeTurn(1, START),)
    assert of(TakeTurn, box.play(FirstBlockSent(0.01), VOICE, 1.0, RELEASE)) == ()
    assert of(TakeTurn, box.play(TailEnded())) == (TakeTurn(1, END),)


def test_a_mute_takes_the_turn_back():
    box = with_agent(HYBRID)
    box.play(PRESS, FirstBlockSent(0.01), VOICE)
    assert of(TakeTurn, box.play(MUTE, TailEnded())) == (TakeTurn(1, CANCEL),)


def test_an_agent_is_not_unresponsive_to_what_a_mute_took_back():
    box = with_agent(HYBRID)
    box.play(PRESS, FirstBlockSent(0.01), VOICE, MUTE, TailEnded(), 9.0)
    assert not box.state.conversation.is_unresponsive


def test_a_mute_takes_back_what_is_kept_for_an_agent_that_has_not_come():
    box = expecting(HYBRID)
    box.play(PRESS, FirstBlockSent(0.01), VOICE)
    assert of(TakeTurn, box.play(MUTE, TailEnded())) == (TakeTurn(1, CANCEL),)


def test_a_mute_takes_back_what_is_kept_for_an_agent_that_is_still_starting():
    box = expecting(HYBRID)
    box.play(PRESS, FirstBlockSent(0.01), VOICE)
    box.play(PeopleChanged(1, (ROBOT,)), agent(box, INITIALIZING))
    assert of(TakeTurn, box.play(MUTE, TailEnded())) == (TakeTurn(1, CANCEL),)
    assert of(TakeTurn, box.play(agent(box, LISTENING))) == ()


def test_another_agent_is_told_about_the_turn_anew():
    box = with_agent(HOLD)
    box.play(PRESS)
    commands = box.play(agent(box, key="agent-AJ_2"))
    assert of(TakeTurn, commands) == (TakeTurn(1, START),)


def test_an_agent_that_comes_during_a_talk_is_told_when_it_is_ready():
    box = in_room(with_mode(HOLD))
    box.play(PRESS, FirstBlockSent(0.01))
    assert of(TakeTurn, box.play(agent(box, INITIALIZING))) == ()
    assert of(TakeTurn, box.play(agent(box, LISTENING))) == (TakeTurn(1, START),)
    # It starts anew, which does not end our turn.
    assert of(TakeTurn, box.play(agent(box, INITIALIZING))) == ()
    assert of(TakeTurn, box.play(RELEASE, TailEnded())) == (TakeTurn(1, END),)


@pytest.mark.parametrize("is_new", [False, True])
@pytest.mark.parametrize("is_noticed_first", [False, True])
def test_a_turn_that_ends_during_an_interruption_is_ended_afterwards(
    is_new, is_noticed_first
):
    box = with_agent()
    outage = (LinkChanged(None), box.paused())
    box.play(LinkChanged("10.0.0.7"), PRESS, FirstBlockSent(0.01), VOICE, 10.0)
    box.play(*outage[0 if is_noticed_first else 1 :], 5.0, RELEASE, TailEnded(), QUIET)
    assert of(TakeTurn, box.commands) == (TakeTurn(1, START),)
    resumed = (LinkChanged("10.0.0.7"), RoomResumed(1, is_new=is_new), 1.0)
    assert of(TakeTurn, box.play(*resumed)) == (TakeTurn(1, END),)


def test_a_turn_that_goes_on_after_an_interruption_is_not_begun_again():
    """That would take back what was said before it."""
    box = with_agent()
    box.play(PRESS, FirstBlockSent(0.01), VOICE, 10.0, box.paused(), 5.0)
    box.play(RoomResumed(1, is_new=True), 5.0, RELEASE, TailEnded())
    assert of(TakeTurn, box.commands) == (TakeTurn(1, START), TakeTurn(1, END))


def test_without_an_agent_nobody_is_told_anything():
    box = in_room(with_mode(HOLD))
    assert not of(TakeTurn, say(box)) + of(MuteAgent, box.commands)


def test_an_agent_that_does_not_react_is_named_after_eight_seconds():
    box = with_agent()
    say(box)
    box.play(7.5)
    assert box.view().faults == ()
    box.play(1.0)
    assert "Robot does not react" in box.view().faults[0]
    assert box.view().banner == "in kitchen, Robot does not react"
    assert box.view().lamps.fault


@pytest.mark.parametrize("is_asked_before", [False, True])
@pytest.mark.parametrize("is_paused", [False, True])
def test_an_agent_need_not_react_to_what_was_said_around_an_interruption(
    is_paused, is_asked_before
):
    box = with_agent()
    box.play(LinkChanged("10.0.0.7"), PRESS, FirstBlockSent(0.01), VOICE, 1.0)
    interruption = box.paused() if is_paused else LinkChanged(None)
    if is_asked_before:
        box.play(RELEASE, TailEnded(), QUIET, interruption)
    else:
        box.play(interruption, RELEASE, TailEnded(), QUIET)
    box.play(20.0)
    assert box.view().faults == ()
    box.play(box.resumed() if is_paused else LinkChanged("10.0.0.7"), 20.0)
    assert box.view().faults == ()
    say(box)
    box.play(8.5)
    assert "Robot does not react" in box.view().faults[0]


@pytest.mark.parametrize("state", [THINKING, SPEAKING])
def test_the_fault_is_cleared_when_the_agent_reacts(state):
    box = with_agent()
    say(box)
    box.play(9.0, agent(box, state))
    assert (box.view().faults, box.view().banner) == ((), "in kitchen")


@pytest.mark.parametrize("talker", ["box", ROBOT.id])
def test_a_caption_is_a_reaction(talker):
    box = with_agent()
    say(box)
    box.play(7.0, caption(box, "hm", talker=talker), 20.0)
    assert box.view().faults == ()


def test_the_words_of_others_are_no_reaction():
    box = with_agent()
    say(box)
    box.play(caption(box, "hm", talker="bob"), 9.0)
    assert box.view().faults


@pytest.mark.parametrize("takes_turns", [False, True])
def test_among_several_participants_only_an_agent_that_takes_turns_has_to_react(
    takes_turns,
):
    box = with_agent()
    box.play(box.people(ROBOT, ALICE), agent(box, takes_turns=takes_turns))
    say(box)
    box.play(20.0)
    assert bool(box.view().faults) is takes_turns


def test_an_agent_need_not_react_to_what_was_said_before_it_was_ready():
    box = with_agent(state=INITIALIZING)
    say(box)
    box.play(agent(box, LISTENING), 20.0)
    assert box.view().faults == ()


def test_the_avatar_of_an_agent_is_no_other_participant():
    box = with_agent()
    box.play(box.people(ROBOT, AVATAR))
    assert box.view().agent_note == ""
    say(box)
    box.play(20.0)
    assert box.view().faults


def test_an_agent_that_was_told_nothing_need_not_react():
    box = with_agent()
    box.play(PRESS, FirstBlockSent(0.01), QUIET, 1.0, RELEASE, TailEnded(), 20.0)
    assert box.view().faults == ()


@pytest.mark.parametrize(
    "story",
    [
        pytest.param((VOICE, PRESS, 0.4, QUIET, 1.0, RELEASE), id="before the press"),
        pytest.param((VOICE, PRESS, 1.0, RELEASE), id="voice that stays as it is"),
        pytest.param((PRESS, 0.1, VOICE, 0.2, QUIET, 1.0, RELEASE), id="click"),
        pytest.param((PRESS, 1.0, VOICE, 0.2, RELEASE), id="click of the release"),
    ],
)
def test_an_agent_need_not_react_to_a_press_without_words(story):
    box = with_agent()
    box.play(*story, TailEnded(), QUIET, 20.0)
    assert box.view().faults == ()


@pytest.mark.parametrize("before", [(), (VOICE,)])
def test_an_agent_has_to_react_to_one_word(before):
    box = with_agent()
    box.play(*before, PRESS, 0.1, LOUDER, 0.4, QUIET, RELEASE, TailEnded(), 9.0)
    assert box.view().faults


def test_an_agent_that_answers_during_the_talk_is_not_unresponsive():
    box = with_agent(HYBRID)
    box.play(PRESS, FirstBlockSent(0.01), 0.1, RELEASE, VOICE, 1.0, QUIET)
    box.play(agent(box, THINKING), agent(box, SPEAKING), agent(box, LISTENING))
    box.play(PRESS, RELEASE, TailEnded(), 20.0)
    assert not box.state.talk.is_latched
    assert box.view().faults == ()


def test_an_agent_whose_session_is_over_is_named_at_once():
    box = with_agent()
    box.play(AgentFailed(1, "somebody else"))
    assert box.view().faults == ()
    box.play(AgentFailed(1, ROBOT.id))
    assert box.view().faults
    box.play(agent(box, key="agent-AJ_2"))
    assert box.view().faults == ()


def test_a_thinking_agent_blinks_the_lamp_and_sounds_now_and_then():
    box = with_agent()
    say(box)
    box.play(agent(box, THINKING))
    lit = []
    for _ in range(8):
        lit.append(box.view().lamps.receiving)
        box.play(0.5)
    assert lit == [True, False] * 4
    sounds = (PlayEarcon(Earcon.THINKING),) * 2
    assert of(PlayEarcon, box.commands)[-2:] == sounds
    assert earcons(box.play(2.1)) == (Earcon.THINKING,)
    assert earcons(box.play(agent(box, SPEAKING), 10.0)) == ()
    assert not box.view().lamps.receiving


def test_no_earcon_sounds_while_somebody_talks():
    box = with_agent()
    box.play(agent(box, THINKING), PRESS, FirstBlockSent(0.01))
    assert earcons(box.play(5.0)) == ()


def test_an_agent_that_thinks_for_ever_does_not_blink_for_ever():
    box = with_agent()
    box.play(agent(box, THINKING), 3600.0)
    before = len(box.commands)
    box.play(3600.0)
    assert len(box.commands) == before


def test_a_press_without_listeners_is_refused_unless_an_agent_is_expected():
    box = joining(with_mode(HOLD))
    box.play(box.joined())
    assert earcons(box.play(PRESS)) == (Earcon.REFUSED,)
    box = expecting()
    assert box.view().talk is TalkState.MUTED
    assert box.view().banner == "in kitchen, waiting for the agent"
    assert of(OpenGate, box.play(PRESS))


def test_the_room_adapter_is_told_that_an_agent_is_expected():
    (join,) = of(JoinRoom, expecting().commands)
    assert join.details.expects_agent
    (join,) = of(JoinRoom, in_room().commands)
    assert not join.details.expects_agent


@pytest.mark.parametrize("is_preset", [False, True])
def test_the_configuration_may_expect_an_agent_that_the_token_does_not_name(is_preset):
    preset = Preset(name="garage", expect_agent=is_preset)
    room = RoomConfig(presets=(preset,), expect_agent=not is_preset)
    box = started(Config(room=room))
    if is_preset:
        box.play(JoinAsked("garage"))
    box.play(box.token())
    assert [x.details.expects_agent for x in of(JoinRoom, box.commands)] == [True]


def test_a_talk_to_an_agent_that_has_not_come_ends_after_as_much_as_is_kept():
    box = expecting()
    box.play(PRESS, FirstBlockSent(0.01), KEPT_S - 0.5)
    assert box.is_live()
    box.play(1.0)
    assert not box.is_live()
    assert box.view().talk_text == "time is up: release the button"
    box.play(RELEASE)
    assert box.view().talk is TalkState.MUTED


def test_a_long_talk_ends_when_everybody_leaves_before_the_agent_has_come():
    box = expecting()
    box.play(box.people(ALICE), PRESS, FirstBlockSent(0.01), 30.0, box.people(), 0.0)
    assert not box.is_live()
    assert box.view().talk_text == "time is up: release the button"


@pytest.mark.parametrize("is_tapped", [False, True])
@pytest.mark.parametrize("is_agent_first", [False, True])
def test_a_talk_goes_on_when_the_agent_comes(is_agent_first, is_tapped):
    box = expecting(HYBRID)
    box.play(PRESS, FirstBlockSent(0.01), *((0.1, RELEASE) if is_tapped else ()), 5.0)
    arrival = [box.people(ROBOT), agent(box)]
    commands = box.play(*(reversed(arrival) if is_agent_first else arrival), 20.0)
    assert box.is_live()
    assert of(CloseGate, commands) == ()


def test_the_page_says_that_the_agent_is_awaited():
    box = started(Config(room=RoomConfig(expect_agent=True)))
    box.play(box.token())
    assert box.view().agent_note == ""
    box.play(box.joined())
    assert box.view().agent_note == AGENT_AWAITED
    assert box.play(box.people(ROBOT), agent(box)) == ()
    assert box.view().agent_note == ""


@pytest.mark.parametrize(
    ("loss", "recovery"),
    [
        (lambda _: LinkChanged(None), lambda _: LinkChanged("10.0.0.7")),
        (lambda box: box.paused(), lambda box: box.resumed()),
        (lambda _: MICROPHONE_LOST, lambda _: MICROPHONE_FOUND),
    ],
)
def test_the_page_promises_nothing_while_nobody_can_talk(loss, recovery):
    box = expecting()
    box.play(loss(box))
    assert box.view().agent_note == ""
    box.play(recovery(box))
    assert box.view().agent_note == AGENT_AWAITED


def test_the_page_says_what_calls_an_agent_that_has_left():
    box = expecting()
    box.play(box.people(ROBOT), agent(box), gone(box), box.people())
    assert box.view().agent_note == AGENT_LEFT


def test_after_the_agent_has_left_a_press_is_refused_again():
    box = expecting()
    box.play(box.people(ROBOT), agent(box), gone(box), box.people())
    assert earcons(box.play(PRESS)) == (Earcon.REFUSED,)


def test_several_participants_are_told_what_to_expect_of_one_agent():
    box = with_agent()
    assert box.view().agent_note == ""
    box.play(box.people(ROBOT, ALICE))
    assert "listens to one participant only" in box.view().agent_note
    box.play(agent(box, takes_turns=True))
    assert "listens to whoever talks" in box.view().agent_note


def speak(box, seconds=2.0, pause_s=1.0):
    """Speak for some seconds in a talk that goes on, and pause."""
    return box.play(VOICE, seconds, QUIET, pause_s)


def test_in_open_mode_a_turn_begins_with_the_voice_and_ends_after_a_pause():
    box = with_agent(OPEN)
    box.play(FirstBlockSent(0.01))
    assert of(TakeTurn, box.commands) == ()
    for _ in range(2):
        assert of(TakeTurn, box.play(VOICE, 1.0, QUIET, 0.5, VOICE, 1.0)) == (
            TakeTurn(1, START),
        )
        assert of(TakeTurn, box.play(QUIET, 0.7)) == ()
        assert of(TakeTurn, box.play(0.2)) == (TakeTurn(1, END),)


def test_in_open_mode_a_single_noise_does_not_interrupt_an_agent_that_speaks():
    box = with_agent(OPEN)
    box.play(FirstBlockSent(0.01), agent(box, SPEAKING))
    assert of(TakeTurn, box.play(VOICE, 0.2, QUIET, 2.0, VOICE, 0.2)) == ()
    assert of(TakeTurn, box.play(LOUDER)) == (TakeTurn(1, START),)
    assert of(TakeTurn, box.play(VOICE, 1.0, QUIET, 1.0)) == (TakeTurn(1, END),)


def test_in_open_mode_a_voice_that_outlasts_the_answer_begins_a_turn():
    box = with_agent(OPEN)
    box.play(FirstBlockSent(0.01), agent(box, SPEAKING), VOICE, 0.2)
    assert of(TakeTurn, box.play(agent(box, LISTENING))) == (TakeTurn(1, START),)


def test_a_caption_during_a_pause_does_not_end_the_turn():
    box = with_agent(OPEN)
    box.play(FirstBlockSent(0.01), VOICE, 1.0, QUIET, 0.3)
    assert of(TakeTurn, box.play(caption(box, "hm", talker="box"), 0.3)) == ()


def test_in_open_mode_a_mute_ends_the_turn_and_takes_nothing_back():
    box = with_agent(OPEN)
    box.play(FirstBlockSent(0.01), VOICE, 2.0)
    assert of(TakeTurn, box.play(MUTE, TailEnded())) == (TakeTurn(1, END),)
    box.play(QUIET, 9.0)
    assert box.view().faults


def test_in_a_latched_talk_a_pause_does_not_end_the_turn():
    box = with_agent(HYBRID)
    box.play(PRESS, FirstBlockSent(0.01), 0.1, RELEASE)
    assert of(TakeTurn, speak(box)) == ()
    assert of(TakeTurn, box.play(PRESS, RELEASE, TailEnded())) == (TakeTurn(1, END),)


@pytest.mark.parametrize("mode", [OPEN, HYBRID])
def test_a_unresponsive_agent_is_named_although_the_talk_goes_on(mode):
    box = with_agent(mode)
    box.play(*((PRESS, 0.1, RELEASE) if mode is HYBRID else ()), FirstBlockSent(0.01))
    speak(box)
    box.play(7.0)
    assert box.view().faults == ()
    box.play(1.0)
    assert "Robot does not react" in box.view().faults[0]
    assert box.is_live()


def test_an_agent_is_named_although_the_latched_talk_ends_before_it():
    box = with_agent(HYBRID)
    box.play(PRESS, 0.1, RELEASE, FirstBlockSent(0.01))
    speak(box)
    box.play(5.0, PRESS, RELEASE, VOICE, 0.1, QUIET, TailEnded(), 2.5)
    assert box.view().faults == ()
    box.play(1.0)
    assert box.view().faults


def test_an_agent_need_not_react_to_a_short_noise_in_a_talk_that_goes_on():
    box = with_agent(OPEN)
    box.play(FirstBlockSent(0.01))
    speak(box, 0.4)
    box.play(20.0)
    assert box.view().faults == ()


def test_an_agent_need_not_react_to_its_own_answer_in_the_microphone():
    box = with_agent(OPEN)
    box.play(FirstBlockSent(0.01), agent(box, SPEAKING), VOICE, 10.0)
    box.play(agent(box, LISTENING), 0.4, QUIET, 20.0)
    assert box.view().faults == ()


def test_an_agent_is_not_unresponsive_while_somebody_goes_on_speaking():
    box = with_agent(OPEN)
    box.play(FirstBlockSent(0.01))
    speak(box)
    box.play(VOICE, 20.0)
    assert box.view().faults == ()
    box.play(QUIET, 8.0)
    assert box.view().faults == ()
    box.play(1.0)
    assert box.view().faults


def test_an_agent_that_takes_turns_need_not_react_before_a_latched_talk_ends():
    box = with_agent(HYBRID)
    box.play(agent(box, takes_turns=True), PRESS, FirstBlockSent(0.01), 0.1, RELEASE)
    speak(box)
    box.play(20.0)
    assert box.view().faults == ()
    box.play(PRESS, RELEASE, TailEnded(), 8.5)
    assert box.view().faults


def test_no_agent_is_expected_in_a_room_of_dtelecom():
    box = started(Config(room=RoomConfig(expect_agent=True)))
    box.play(box.token(is_dtelecom=True), box.joined())
    assert [x.details.expects_agent for x in of(JoinRoom, box.commands)] == [False]
    assert earcons(box.play(PRESS)) == (Earcon.REFUSED,)


STORY = st.lists(
    st.sampled_from(["press", "release", "tail", "flow", "mute", "voice", "gone"])
    | st.sampled_from(["quiet", "unmute"])
    | st.sampled_from(list(AgentState))
    | st.floats(0, 5),
    max_size=30,
)


def play(box, story):
    events = {
        "press": PRESS,
        "release": RELEASE,
        "tail": TailEnded(),
        "flow": FirstBlockSent(0.01),
        "mute": MUTE,
        "unmute": UNMUTE,
        "voice": VOICE,
        "quiet": QUIET,
        "gone": gone(box),
    }
    for move in story:
        match move:
            case float():
                box.play(move)
            case AgentState():
                box.play(agent(box, move))
            case _:
                box.play(events[move])


@given(STORY, st.sampled_from(PUSH_TO_TALK))
def test_the_agent_is_never_left_muted(story, mode):
    """After a talk, or in a latched one as soon as it answers."""
    box = with_agent(mode)
    play(box, story)
    box.play(RELEASE, TailEnded(), agent(box, LISTENING), agent(box, SPEAKING))
    muted = [command.is_on for command in of(MuteAgent, box.commands)]
    assert muted == [index % 2 == 0 for index in range(len(muted))]
    assert not muted or not muted[-1]


@given(STORY, st.sampled_from([HOLD, HYBRID, OPEN]))
@example([INITIALIZING, "press", "flow"], HOLD)
def test_every_turn_that_began_ends_once_in_every_mode(story, mode):
    box = with_agent(mode)
    play(box, [move for move in story if move != "gone"])
    box.play(RELEASE, MUTE, TailEnded(), QUIET, 1.0)
    has_turn = False
    for command in of(TakeTurn, box.commands):
        is_start = command.turn is START
        # What was kept for an agent that is not ready is taken back without a turn.
        is_of_kept = command.turn is CANCEL and INITIALIZING in story
        assert is_start is not has_turn or is_of_kept
        has_turn = is_start
    assert not has_turn
