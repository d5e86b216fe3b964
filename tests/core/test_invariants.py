"""Invariants of the core for any sequence of events and answers."""

from hypothesis import given, settings

from appliance.config import Config
from appliance.core.commands import Command, FetchToken
from appliance.core.events import Event, Ticked
from appliance.core.reconnect import TEN_MINUTES_S
from appliance.core.state import Phase, State
from appliance.core.step import step, wake_at_s
from tests.core.invariants import Watch
from tests.core.story import of
from tests.core.strategies import (
    Answer,
    Claim,
    Move,
    answers,
    claimed,
    configs,
    stories,
)

STABLE = {
    Phase.STARTING,
    Phase.IN_ROOM,
    Phase.LEFT,
    Phase.REFUSED,
    Phase.STOPPED,
}
MAX_WAKES = 6
"""Talk warning, talk limit, leave button, answer, leaving, and one in reserve."""


class Simulation:
    """Core among adapters that answer as the story says."""

    def __init__(self, config: Config) -> None:
        self.state = State(config)
        self.now_s = 0.0
        self.pending: list[Event] = []
        self.watch = Watch()

    def play(self, story: list[Move]) -> None:
        for move in story:
            self._play(move)

    def _play(self, move: Move) -> None:
        match move:
            case float():
                self.wait(move)
            case Answer(age):
                if self.pending:
                    self.happen(self.pending[-1 - age % len(self.pending)])
            case Claim():
                self.happen(claimed(move, self.state.ticket))
            case _:
                self.happen(move)

    def wait(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while (wake_s := wake_at_s(self.state)) <= end_s:
            self.wake(wake_s)
        self.now_s = end_s

    def wake(self, wake_s: float) -> tuple[Command, ...]:
        """Tick when the core asks for it, which must not go on without end."""
        self.now_s = max(self.now_s, wake_s)
        commands: tuple[Command, ...] = ()
        for _ in range(MAX_WAKES):
            commands += self.happen(Ticked())
            if wake_at_s(self.state) > self.now_s:
                return commands
        message = f"woken without end in {self.state.phase}"
        raise AssertionError(message)

    def happen(self, event: Event) -> tuple[Command, ...]:
        before = self.state
        self.state, commands = step(before, event, self.now_s)
        self.watch.see(before, event, self.state, commands, self.now_s)
        self.pending += [answer for command in commands for answer in answers(command)]
        del self.pending[:-20]
        return commands


@settings(deadline=None, max_examples=400)
@given(configs, stories)
def test_gate_sessions_sound_card_and_view_are_consistent_at_every_step(config, story):
    Simulation(config).play(story)


@settings(deadline=None, max_examples=100)
@given(configs, stories)
def test_every_wait_ends_even_without_answers(config, story):
    simulation = Simulation(config)
    simulation.play(story)
    commands: tuple[Command, ...] = ()
    for _ in range(MAX_WAKES):
        if simulation.state.phase in STABLE or of(FetchToken, commands):
            return
        wake_s = wake_at_s(simulation.state)
        assert wake_s - simulation.now_s <= TEN_MINUTES_S * 1.1
        commands += simulation.wake(wake_s)
    message = f"still {simulation.state.phase}"
    raise AssertionError(message)
