"""Measures what the companion reports, and writes it into the ledger."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, assert_never

import numpy as np

from appliance.audio.dsp import RATE_HZ
from appliance.demo.ledger import Ledger
from appliance.demo.measure import Sound, find
from appliance.demo.report import Answered, Heard, Joined, Lost, Report, Said
from appliance.demo.tape import Tape
from appliance.demo.terminal import Terminal

AFTER_S: Final = 1.0
"""How long a repetition may be on its way to the speaker."""
BEFORE_S: Final = 0.1
"""No sound is early; this much is looked at so that a mistake would be seen."""
SPEAKER_S: Final = 1.5
"""How late the server may tell who speaks."""


class Referee:
    """Takes the companion's reports.

    Thread: the loop's; the measuring is done on others.
    """

    def __init__(
        self,
        ledger: Ledger,
        terminal: Terminal,
        tape: Tape | None,
        group: asyncio.TaskGroup,
        noted: Callable[[], None],
    ) -> None:
        """Wait for reports.

        Args:
            ledger: where the figures go.
            terminal: told what a person should know.
            tape: what the speaker played; None with a real card.
            group: runs the measuring.
            noted: called when there is something new in the ledger.
        """
        self._ledger = ledger
        self._terminal = terminal
        self._tape = tape
        self._group = group
        self._noted = noted
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard: dict[int, Sound] = {}

    def told(self, report: Report) -> None:
        """Take a report."""
        match report:
            case Heard():
                self._run(self._measure_heard(report))
            case Said():
                self._run(self._measure_said(report))
            case Joined() | Answered():
                # What counts is what the box sees of it.
                pass
            case Lost(sentence=sentence):
                self._ledger.troubles.append(sentence)
                self._terminal.say(sentence)
            case _:
                assert_never(report)

    def stop(self) -> None:
        """Measure no more."""
        for task in self._tasks:
            task.cancel()

    async def _measure_heard(self, report: Heard) -> None:
        """Look for the microphone's phrase in what the companion heard."""
        heard = Sound(report.at_s, np.frombuffer(report.pcm, "<i2"))
        self._heard = {report.number: heard}
        talk = self._ledger.talk_around(heard.at_s, heard.ends_s)
        if talk is None:
            return
        talk.numbers.add(report.number)
        speech = talk.speech
        if speech is None or speech.began_s is None or talk.to_companion is not None:
            return
        said = Sound(speech.began_s, speech.samples)
        talk.to_companion = await asyncio.to_thread(find, said, heard)

    async def _measure_said(self, report: Said) -> None:
        """Look for the companion's repetition in what the speaker played."""
        heard = self._heard.get(report.number)
        talk = self._ledger.talk_numbered(report.number)
        ends_s = report.at_s + report.count / RATE_HZ
        if heard is None or talk is None:
            return
        if self._tape is None:
            await asyncio.sleep(SPEAKER_S)
            seen_s = self._ledger.speaking_s
            talk.is_heard_back = seen_s is not None and seen_s >= report.at_s
            self._noted()
            return
        await asyncio.sleep(AFTER_S)
        last = report.first + report.count
        said = Sound(report.at_s, heard.samples[report.first : last])
        played = self._tape.between(report.at_s - BEFORE_S, ends_s + AFTER_S)
        if played is not None:
            talk.to_box = await asyncio.to_thread(find, said, played)
            talk.is_heard_back = talk.to_box is not None
            self._noted()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
