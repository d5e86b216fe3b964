"""One run of the demo, from the server's start to the summary."""

import asyncio
import signal
import time
from contextlib import AsyncExitStack
from typing import Final

from appliance.app import App
from appliance.assembly import Hardware
from appliance.config import RoomConfig
from appliance.core.events import StopAsked
from appliance.demo import box, stage
from appliance.demo.desk import Desk
from appliance.demo.far_end import FarEnd
from appliance.demo.hands import Hands
from appliance.demo.ledger import Ledger
from appliance.demo.referee import Referee
from appliance.demo.report import Order
from appliance.demo.script import Script
from appliance.demo.stage import Sound, Wish
from appliance.demo.summary import Setting, Summary, summary
from appliance.demo.tape import Tape
from appliance.demo.terminal import Terminal
from appliance.demo.watch import Watch
from appliance.panel.simulated import SimulatedDisplay, SimulatedPins
from appliance.run import appliance

WRITE_S: Final = 1.0
"""How far the recording's file may be behind."""


class Play:
    """Brings everybody together and sees them out again."""

    def __init__(self, wish: Wish, terminal: Terminal) -> None:
        """Set the scene; `run` begins."""
        self._wish = wish
        self._terminal = terminal
        self._app = App()
        self._ledger: Ledger | None = None
        self._tape: Tape | None = None
        self._is_told_to_end = False
        self.has_ended_itself = False
        """Whether the time was up, rather than a person had seen enough."""

    def summary(self, now_s: float) -> Summary | None:
        """Return how it went; None: the box was not even started."""
        if self._ledger is None:
            return None
        setting = Setting(
            is_simulated=self._tape is not None,
            has_companion=self._wish.server is not None,
            wav=self._tape.path if self._tape else None,
            wav_s=self._tape.length_s if self._tape else 0.0,
        )
        return summary(self._ledger, setting, now_s)

    async def run(self) -> None:
        """Run until the time is up, a person quits or a signal comes.

        Raises:
            DemoError: it cannot be set up.
        """
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGINT):
            # The box takes them over as soon as it runs.
            asyncio.get_running_loop().add_signal_handler(number, self._end, task)
        try:
            async with AsyncExitStack() as stack:
                room, order = await stage.room(self._wish, stack)
                sound = await stage.sound(self._wish)
                if sound.tape is not None:
                    self._tape = sound.tape
                    stack.callback(sound.tape.close)
                await self._run(room, order, sound)
        except asyncio.CancelledError:
            if not self._is_told_to_end:
                raise

    def _end(self, task: asyncio.Task[None]) -> None:
        self._is_told_to_end = True
        task.cancel()

    async def _run(self, room: RoomConfig, order: Order | None, sound: Sound) -> None:
        """Be the box, with everybody around it."""
        listen = box.listen_address(self._wish.listen)
        config = box.config(room, listen, sound.config)
        self._ledger = ledger = Ledger(time.monotonic())
        pins = SimulatedPins(config.buttons, config.lamps)
        hands = Hands(pins)
        desk = Desk(self._app.post, hands, sound.voice, self._terminal)
        watch = Watch(ledger, self._terminal, desk.talk_began)
        hardware = Hardware(
            sound.library, pins.open_factory, SimulatedDisplay().open, (watch,)
        )
        async with AsyncExitStack() as stack:
            group = await stack.enter_async_context(asyncio.TaskGroup())
            jobs = self._jobs(group, sound.tape)
            if order is not None:
                referee = Referee(
                    ledger, self._terminal, sound.tape, group, watch.nudge
                )
                stack.callback(referee.stop)
                await stack.enter_async_context(FarEnd(order, referee.told))
                script = Script(watch, hands, self._app.post, sound.voice)
                desk.run(script, group)
            self._introduce(order, sound)
            with desk.keys(watch):
                await appliance(config, self._app, hardware)
            desk.stop()
            for job in jobs:
                job.cancel()

    def _jobs(
        self, group: asyncio.TaskGroup, tape: Tape | None
    ) -> list[asyncio.Task[None]]:
        jobs = []
        if self._wish.seconds is not None:
            jobs.append(group.create_task(self._end_after(self._wish.seconds)))
        if tape is not None:
            jobs.append(group.create_task(_keep_writing(tape)))
        return jobs

    async def _end_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.has_ended_itself = True
        self._app.post(StopAsked())

    def _introduce(self, order: Order | None, sound: Sound) -> None:
        say = self._terminal.say
        if order is None:
            say("Room: your own. There is no companion, and nothing is done for you.")
        else:
            say("Room: on this computer, and nothing leaves it. A companion repeats")
            say("      what you say and answers what you write.")
        if sound.tape is None:
            say("Sound: this computer's microphone and speaker.")
        else:
            say("Sound: simulated; the microphone says a phrase of its own, and what")
            say(f"      the speaker plays is written to {sound.tape.path}")


async def _keep_writing(tape: Tape) -> None:
    while True:
        await asyncio.sleep(WRITE_S)
        await asyncio.to_thread(tape.write)
