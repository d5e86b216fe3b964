"""Turns: what an agent is told, and when it offers the methods for it."""

import asyncio

from appliance.core.commands import TakeTurn, Turn
from appliance.core.events import AgentChanged

ROBOT = "agent-AJ_x"
DEADLINE_S = 10.0


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
