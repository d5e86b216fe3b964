"""Turns: what an agent is told, and when it offers the methods for it."""

import asyncio
import logging
import time
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from livekit import rtc

from appliance.core.commands import TakeTurn, Turn
from appliance.core.events import (
    AgentChanged,
    AgentFailed,
    AgentState,
    PeopleChanged,
    RoomJoined,
    RoomPaused,
    RoomResumed,
)
from appliance.room import agent
from appliance.room.agent import LOST, PUSH_TO_TALK, REFUSALS
from appliance.room.participants import AGENT_STATE
from tests.room.conftest import join_room
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


@pytest.fixture
def losing(monkeypatch):
    """Return the errors of the next requests, which do not reach the agent."""
    losing: asyncio.Queue[asyncio.Future[int]] = asyncio.Queue()
    perform = rtc.LocalParticipant.perform_rpc

    async def lossy(*arguments, **facts):
        if losing.empty():
            return await perform(*arguments, **facts)
        raise rtc.RpcError(await losing.get_nowait(), "lost")

    monkeypatch.setattr(rtc.LocalParticipant, "perform_rpc", lossy)
    return losing


@asynccontextmanager
async def a_told_agent(server, box, identity=ROBOT, state=None):
    """Let an agent join, and yield the turns that it is told of."""

    def is_there(event):
        found = event.agent
        return found and found.id == identity and state in {None, found.state}

    may_describe = {"canUpdateOwnMetadata": True}
    async with server.friend(identity, kind="agent", **may_describe) as robot:
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
        if state is not None:
            await me.set_attributes({AGENT_STATE: state})
        await box.until(AgentChanged, is_there)
        yield told


async def reconnected(box, scenario=rtc.SimulateScenarioKind.SIMULATE_FULL_RECONNECT):
    await box.sdk_room.simulate_scenario(scenario)
    await box.until(RoomResumed)


@pytest.mark.parametrize("code", LOST)
async def test_a_turn_whose_start_was_lost_begins_on_the_next_connection(
    server, box, losing, code
):
    await box.join(server)
    error = asyncio.get_running_loop().create_future()
    async with a_told_agent(server, box) as told:
        losing.put_nowait(error)
        error.set_result(code)
        box.room.do(TakeTurn(1, Turn.START))
        # On the same connection, what was lost arrives late.
        await reconnected(box, rtc.SimulateScenarioKind.SIMULATE_SIGNAL_RECONNECT)
        assert losing.empty()
        assert told.empty()
        await reconnected(box)
        async with asyncio.timeout(DEADLINE_S):
            await told.get()
        await reconnected(box)
    assert told.empty()


@pytest.mark.parametrize("turn", [Turn.END, Turn.CANCEL])
async def test_the_lost_end_of_a_turn_is_sent_on_the_next_connection(
    server, box, losing, turn
):
    """Without it the agent would go on listening."""
    await box.join(server)
    error = asyncio.get_running_loop().create_future()
    error.set_result(rtc.RpcError.ErrorCode.CONNECTION_TIMEOUT)
    async with a_told_agent(server, box) as told, asyncio.timeout(DEADLINE_S):
        box.room.do(TakeTurn(1, Turn.START))
        assert await told.get() is Turn.START
        losing.put_nowait(error)
        box.room.do(TakeTurn(1, turn))
        await reconnected(box)
        assert await told.get() is turn


@pytest.mark.parametrize(
    "case",
    [([Turn.END], "thinking"), ([Turn.START, Turn.END], "listening")],
    ids=["second time", "nothing"],
)
async def test_an_agent_that_would_answer_a_second_time_or_nothing_is_sent_no_end(
    server, box, asked, losing, case
):
    """One that thinks has got the end: only the confirmation was lost."""
    lost, state = case
    await box.join(server)
    error = asyncio.get_running_loop().create_future()
    error.set_result(rtc.RpcError.ErrorCode.CONNECTION_TIMEOUT)
    agent = a_told_agent(server, box, state=state)
    async with agent as told, asyncio.timeout(DEADLINE_S):
        for turn in (Turn.START, Turn.END):
            if turn in lost:
                losing.put_nowait(error)
            box.room.do(TakeTurn(1, turn))
            if turn not in lost:
                assert await told.get() is turn
        await reconnected(box)
        box.room.do(TakeTurn(1, Turn.CANCEL))
        assert await told.get() is Turn.CANCEL
    assert "end_turn" not in [asked.get_nowait() for _ in range(asked.qsize())]


async def test_a_start_that_was_lost_long_ago_is_not_sent_again(
    server, box, asked, losing, monkeypatch
):
    """Perhaps only its confirmation was late: the agent would clear the turn."""
    monkeypatch.setattr(agent, "TURN_AGAIN_S", 0.0)
    await box.join(server)
    error = asyncio.get_running_loop().create_future()
    async with a_told_agent(server, box):
        losing.put_nowait(error)
        error.set_result(rtc.RpcError.ErrorCode.CONNECTION_TIMEOUT)
        box.room.do(TakeTurn(1, Turn.START))
        await reconnected(box)
        box.room.do(TakeTurn(1, Turn.END))
        async with asyncio.timeout(DEADLINE_S):
            assert await asked.get() == "end_turn"


async def test_a_long_interruption_does_not_make_a_lost_start_old(
    server, box, losing, monkeypatch
):
    """Its age counts when the interruption is noticed."""
    await box.join(server)
    error = asyncio.get_running_loop().create_future()
    error.set_result(rtc.RpcError.ErrorCode.CONNECTION_TIMEOUT)
    async with a_told_agent(server, box) as told:
        losing.put_nowait(error)
        before_s = time.monotonic()
        box.room.do(TakeTurn(1, Turn.START))
        told_s = time.monotonic()
        box.sdk_room.emit("reconnecting")
        await box.until(RoomPaused)
        limit_s = time.monotonic() - before_s
        monkeypatch.setattr(agent, "TURN_AGAIN_S", limit_s)
        await asyncio.sleep(told_s + limit_s - time.monotonic())
        await reconnected(box)
        async with asyncio.timeout(DEADLINE_S):
            assert await told.get() is Turn.START


async def test_a_start_that_is_known_to_be_lost_only_afterwards_is_sent_again(
    server, box, losing
):
    await box.join(server)
    error = asyncio.get_running_loop().create_future()
    async with a_told_agent(server, box) as told:
        losing.put_nowait(error)
        box.room.do(TakeTurn(1, Turn.START))
        await reconnected(box)
        error.set_result(rtc.RpcError.ErrorCode.CONNECTION_TIMEOUT)
        async with asyncio.timeout(DEADLINE_S):
            await told.get()


async def test_a_turn_that_is_over_does_not_begin_on_the_next_connection(
    server, box, losing, answered
):
    await box.join(server)
    error = asyncio.get_running_loop().create_future()
    async with a_told_agent(server, box) as told:
        losing.put_nowait(error)
        box.room.do(TakeTurn(1, Turn.START))
        box.room.do(TakeTurn(1, Turn.END))
        async with asyncio.timeout(DEADLINE_S):
            assert await answered.get() == "end_turn"
        error.set_result(rtc.RpcError.ErrorCode.CONNECTION_TIMEOUT)
        await reconnected(box)
    assert told.get_nowait() is Turn.END
    assert told.empty()


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


@pytest.fixture
def kept(monkeypatch):
    """Return the sizes of streams to agents; the first one fails."""
    sizes: asyncio.Queue[int] = asyncio.Queue()
    failures = [rtc.StreamError("broken")]
    stream_bytes = rtc.LocalParticipant.stream_bytes

    async def noted(*arguments, **header):
        sizes.put_nowait(header["total_size"])
        if failures:
            raise failures.pop()
        return await stream_bytes(*arguments, **header)

    monkeypatch.setattr(rtc.LocalParticipant, "stream_bytes", noted)
    return sizes


async def test_what_was_taken_back_during_an_interruption_is_not_sent_after_it(
    server, box, asked, losing, kept
):
    """The core takes it back when it is told that the interruption is over."""
    box.room.do(join_room(1, server.url, server.token("box"), expects_agent=True))
    await box.until(RoomJoined)
    may_describe = {"canUpdateOwnMetadata": True}
    async with server.friend(ROBOT, kind="agent", **may_describe) as robot:
        await robot.stay_muted()
        await robot.room.local_participant.set_attributes({AGENT_STATE: "listening"})
        async with asyncio.timeout(DEADLINE_S):
            assert await kept.get() > 0
        error = asyncio.get_running_loop().create_future()
        error.set_result(rtc.RpcError.ErrorCode.CONNECTION_TIMEOUT)
        losing.put_nowait(error)
        box.room.do(TakeTurn(1, Turn.START))

        def take_back(event):
            if isinstance(event, RoomResumed):
                box.room.do(TakeTurn(1, Turn.CANCEL))

        def change_agent():
            # Another event may come in the same moment.
            box.sdk_room.emit("participant_attributes_changed", {}, robot)

        box.answer = take_back
        box.sdk_room.on("reconnected", change_agent)
        await reconnected(box)
        async with asyncio.timeout(DEADLINE_S):
            assert await kept.get() == 0
            assert await asked.get() == "cancel_turn"
        assert asked.empty()


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
