"""Turns: what an agent is told, and when it offers the methods for it."""

import asyncio
import logging
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from livekit import rtc

from appliance.core.commands import TakeTurn, Turn
from appliance.core.events import (
    AgentChanged,
    AgentFailed,
    AgentState,
    PeopleChanged,
    RoomResumed,
)
from appliance.room.agent import PUSH_TO_TALK, REFUSALS
from appliance.room.participants import AGENT_STATE
from tests.room.fakes import DEADLINE_S

ROBOT = "agent-AJ_x"


@pytest.fixture
def asked(monkeypatch):
    """Return the methods that agents were asked for, in order."""
    asked: asyncio.Queue[str] = asyncio.Queue()
    perform = rtc.LocalParticipant.perform_rpc

    def noted(*arguments, **facts):
        asked.put_nowait(facts["method"])
        return perform(*arguments, **facts)

    monkeypatch.setattr(rtc.LocalParticipant, "perform_rpc", noted)
    return asked


@pytest.fixture
def answered(monkeypatch):
    """Return the methods that agents have answered or refused, in order."""
    answered: asyncio.Queue[str] = asyncio.Queue()
    perform = rtc.LocalParticipant.perform_rpc

    async def noted(*arguments, **facts):
        try:
            return await perform(*arguments, **facts)
        finally:
            answered.put_nowait(facts["method"])

    monkeypatch.setattr(rtc.LocalParticipant, "perform_rpc", noted)
    return answered


async def test_an_agent_may_offer_the_methods_for_turns_later(server, box):
    await box.join(server)
    async with server.friend(ROBOT, kind="agent") as robot:
        me = robot.room.local_participant
        told: asyncio.Queue[str] = asyncio.Queue()

        async def take(call):
            told.put_nowait(call.caller_identity)
            return ""

        me.register_rpc_method("end_turn", take)
        await robot.stay_muted()
        await box.until(AgentChanged)
        box.room.do(TakeTurn(1, Turn.START))
        box.room.do(TakeTurn(1, Turn.END))
        # The answers come in order: the start was refused before.
        await box.until(AgentChanged, lambda event: event.agent.takes_turns)
        assert told.qsize() == 1
        me.register_rpc_method("start_turn", take)
        box.room.do(TakeTurn(1, Turn.START))
        async with asyncio.timeout(DEADLINE_S):
            assert [await told.get(), await told.get()] == ["box", "box"]


async def test_an_agent_that_is_starting_is_not_asked_to_take_back_a_turn(
    server, box, asked
):
    """It offers no methods yet: three refusals, and it would be told of no turn."""
    await box.join(server)
    async with server.friend(ROBOT, kind="agent") as robot:
        await robot.stay_muted()
        await box.until(AgentChanged)
        box.room.do(TakeTurn(1, Turn.CANCEL))
        box.room.do(TakeTurn(1, Turn.START))
        async with asyncio.timeout(DEADLINE_S):
            assert await asked.get() == "start_turn"


async def test_an_agent_that_refused_three_turns_is_told_of_no_other(
    server, box, asked, caplog
):
    caplog.set_level(logging.DEBUG, "appliance.room.agent")
    await box.join(server)
    async with server.friend(ROBOT, kind="agent") as robot:
        await robot.stay_muted()
        await box.until(AgentChanged)
        async with asyncio.timeout(DEADLINE_S):
            for number in range(1, REFUSALS + 1):
                box.room.do(TakeTurn(1, Turn.START))
                while len(refusals(caplog)) < number:
                    await asyncio.sleep(0.01)
        box.room.do(TakeTurn(1, Turn.START))
        await asyncio.sleep(0.1)
    assert [asked.get_nowait() for _ in range(REFUSALS)] == ["start_turn"] * REFUSALS
    assert asked.empty()
    assert all("code=1400" in refusal for refusal in refusals(caplog))


async def test_an_agent_that_says_that_it_takes_turns_is_told_of_them_after_it_started(
    server, box, caplog
):
    """Presses while it starts are refused: it offers the methods only afterwards."""
    caplog.set_level(logging.DEBUG, "appliance.room.agent")
    await box.join(server)
    may_describe = {"canUpdateOwnMetadata": True}
    async with server.friend(ROBOT, kind="agent", **may_describe) as robot:
        me = robot.room.local_participant
        await robot.stay_muted()
        await me.set_attributes({PUSH_TO_TALK: "1"})
        await box.until(AgentChanged, lambda event: event.agent.takes_turns)
        async with asyncio.timeout(DEADLINE_S):
            for number in range(1, REFUSALS + 1):
                box.room.do(TakeTurn(1, Turn.START))
                while len(refusals(caplog)) < number:
                    await asyncio.sleep(0.01)
        told = asyncio.Event()

        async def take(_):
            told.set()
            return ""

        me.register_rpc_method("start_turn", take)
        box.room.do(TakeTurn(1, Turn.START))
        async with asyncio.timeout(DEADLINE_S):
            await told.wait()


async def test_an_agent_that_must_not_be_interrupted_is_told_of_the_turn_afterwards(
    server, box
):
    """Its method fails as if its session were over, as during a greeting."""
    await box.join(server)
    may_describe = {"canUpdateOwnMetadata": True}
    async with server.friend(ROBOT, kind="agent", **may_describe) as robot:
        me = robot.room.local_participant
        told: asyncio.Queue[str] = asyncio.Queue()
        is_busy = True

        @me.register_rpc_method("start_turn")
        async def start_turn(call):
            told.put_nowait(call.caller_identity)
            if is_busy:
                raise rtc.RpcError(rtc.RpcError.ErrorCode.APPLICATION_ERROR, "busy")
            return ""

        await robot.stay_muted()
        await me.set_attributes({AGENT_STATE: "speaking", PUSH_TO_TALK: "1"})
        await box.until(AgentChanged, lambda event: event.agent.takes_turns)
        async with asyncio.timeout(DEADLINE_S):
            for _ in range(2):
                box.room.do(TakeTurn(1, Turn.START))
                await told.get()
            is_busy = False
            await me.set_attributes({AGENT_STATE: "listening"})
            await told.get()
            box.room.do(TakeTurn(1, Turn.END))
            is_busy = True
            box.room.do(TakeTurn(1, Turn.START))
            await told.get()
            await box.until(AgentFailed)
    assert told.empty()
    assert len([x for x in box.events if isinstance(x, AgentFailed)]) == 1


async def test_an_agent_that_has_taken_a_turn_is_not_told_of_it_again(
    server, box, asked, answered
):
    """It refused the turn before: a second start would clear the first words."""
    await box.join(server)
    may_describe = {"canUpdateOwnMetadata": True}
    async with server.friend(ROBOT, kind="agent", **may_describe) as robot:
        me = robot.room.local_participant
        busy = [rtc.RpcError(rtc.RpcError.ErrorCode.APPLICATION_ERROR, "busy")]

        async def take(_):
            if busy:
                raise busy.pop()
            return ""

        me.register_rpc_method("start_turn", take)
        me.register_rpc_method("end_turn", take)
        await robot.stay_muted()
        await me.set_attributes({AGENT_STATE: "speaking", PUSH_TO_TALK: "1"})
        await box.until(AgentChanged, lambda event: event.agent.takes_turns)
        async with asyncio.timeout(DEADLINE_S):
            for turn in (Turn.START, Turn.END, Turn.START):
                box.room.do(TakeTurn(1, turn))
                await answered.get()
            await me.set_attributes({AGENT_STATE: "listening"})
            await box.until(
                AgentChanged, lambda event: event.agent.state is AgentState.LISTENING
            )
            box.room.do(TakeTurn(1, Turn.END))
            await answered.get()
    calls = [asked.get_nowait() for _ in range(asked.qsize())]
    assert calls == ["start_turn", "end_turn", "start_turn", "end_turn"]


@asynccontextmanager
async def a_told_agent(server, box, identity=ROBOT):
    """Let an agent join, and yield the turns that it is told of."""

    def is_there(event):
        return event.agent and event.agent.id == identity

    async with server.friend(identity, kind="agent") as robot:
        me = robot.room.local_participant
        told: asyncio.Queue[Turn] = asyncio.Queue()

        def note(turn):
            async def take(_):
                told.put_nowait(turn)
                return ""

            return take

        for turn in Turn:
            me.register_rpc_method(f"{turn}_turn", note(turn))
        await robot.stay_muted()
        await box.until(AgentChanged, is_there)
        yield told


@pytest.mark.parametrize("turn", [Turn.END, Turn.CANCEL])
@pytest.mark.parametrize("has_left", [False, True])
async def test_only_the_agent_that_was_told_of_the_start_is_told_of_the_end(
    server, box, asked, turn, has_left
):
    """An agent that replaces it would answer, though it has heard nothing."""
    expected = ["start_turn", *([] if has_left else [f"{turn}_turn"]), "start_turn"]
    await box.join(server)
    async with AsyncExitStack() as stack, asyncio.timeout(DEADLINE_S):
        first = await stack.enter_async_context(a_told_agent(server, box))
        box.room.do(TakeTurn(1, Turn.START))
        assert await first.get() is Turn.START
        if has_left:
            await stack.aclose()
            await box.until(AgentChanged, lambda event: event.agent is None)
        async with a_told_agent(server, box, "agent-AJ_y") as second:
            box.room.do(TakeTurn(1, turn))
            if not has_left:
                assert await first.get() is turn
            box.room.do(TakeTurn(1, Turn.START))
            assert await second.get() is Turn.START
    assert [asked.get_nowait() for _ in range(asked.qsize())] == expected


async def test_a_new_connection_is_no_departure_of_agent_and_others(server, box):
    """The SDK reports that all have left. A talk would end, or begin anew."""
    full = rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT
    await box.join(server)
    async with server.friend(ROBOT, kind="agent") as robot, server.friend("ann") as ann:
        # The server announces a participant without a track 3 s late.
        await robot.stay_muted()
        await ann.stay_muted()
        await box.until_newest(AgentChanged, lambda event: event.agent is not None)
        await box.until_newest(PeopleChanged, lambda event: len(event.people) == 2)
        there = len(box.events)
        await box.sdk_room.simulate_scenario(full)
        resumed = await box.until(RoomResumed)
        assert resumed.is_new
        changes = [x for x in box.events[there:] if isinstance(x, AgentChanged)]
        assert changes == []
        lists = [x.people for x in box.events[there:] if isinstance(x, PeopleChanged)]
        # They may be back in another order.
        assert all({one.id for one in people} == {ROBOT, "ann"} for people in lists)
    await box.until_newest(PeopleChanged, lambda event: event.people == ())
    await box.until_newest(AgentChanged, lambda event: event.agent is None)


def refusals(caplog):
    return [line for line in caplog.messages if "turn not taken" in line]
