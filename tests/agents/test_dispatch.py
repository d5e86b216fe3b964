"""An agent that LiveKit dispatches, because a token of the token server asks for it."""

import asyncio
import time

from appliance.core.events import JoinAsked, LeaveAsked
from tests.agents.conftest import a_box
from tests.token_server.clients import asking_server, settings

ABSENT_S = 3.0
"""Longer than the room's `departureTimeout` in the tokens."""


class Issued:
    """LiveKit server whose token comes from the token server."""

    def __init__(self, answer):
        self.url = answer["server_url"]
        self._token = answer["participant_token"]

    def token(self, _identity, **_claims):
        return self._token


async def issued(server):
    variables = {
        "LIVEKIT_URL": server.url,
        "LIVEKIT_API_KEY": server.api_key,
        "LIVEKIT_API_SECRET": server.api_secret,
    }
    chosen = settings(variables, agents=[{"name": "assistant"}])
    asked = {"room_name": "kitchen", "participant_identity": "box"}
    async with asking_server(chosen, now_s=time.time) as client:
        answer = await client.post("/api/token", json=asked)
    return Issued(answer.json())


async def test_a_box_that_comes_back_meets_a_new_agent_that_hears_it(server, agent):
    """The one that was left has ended its session, and would hear nobody."""
    source = await issued(server)
    async with agent.working(server, "assistant"):
        for _ in range(2):
            async with a_box(source, expects_agent=True) as box:
                await box.until(lambda view: view.agent is not None)
                await box.until(lambda view: view.agent.state == "listening")
                await box.say()
                # The words of the box may become final after the answer.
                view = await box.until(lambda view: len(view.chat) == 2)
                assert "that is right" in {line.text for line in view.chat}
                assert view.faults == ()
            await asyncio.sleep(ABSENT_S)
        assert len({x["job"] for x in agent.reports if "job" in x}) == 2


async def test_a_box_that_leaves_and_joins_at_once_meets_a_new_agent_too(server, agent):
    source = await issued(server)
    async with (
        agent.working(server, "assistant"),
        a_box(source, expects_agent=True) as box,
    ):
        await box.until(lambda view: view.agent and view.agent.state == "listening")
        box.app.post(LeaveAsked())
        box.app.post(JoinAsked(None, None))
        await box.until(lambda view: view.agent is None)
        await box.until(lambda view: view.agent and view.agent.state == "listening")
        await box.say()
        view = await box.until(lambda view: len(view.chat) == 2)
        assert view.chat[-1].text == "that is right"
        assert len({x["job"] for x in agent.reports if "job" in x}) == 2
