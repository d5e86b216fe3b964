"""Pauses of the machine that the benchmark reports."""

import asyncio
import os
import signal

from tests.bench.machine_stalls import LEAST_MS, Pauses, watched
from tests.bench.report import Verdict, verdict


async def test_a_watcher_that_was_stopped_reports_the_duration():
    async with watched() as pauses:
        while not pauses.late_ms:
            # Only a watcher that has started measures a stop.
            await asyncio.sleep(0.1)
            await stop_for_a_moment(pauses.watchers)
    assert max(pauses.late_ms) >= LEAST_MS
    assert verdict(pauses.row()) is Verdict.NONE


def test_a_run_without_pauses_has_a_line_too():
    row = Pauses(0.0).row()
    assert row.ours
    assert row.ours.median == 0


async def stop_for_a_moment(watchers):
    for pid in watchers:
        os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(2 * LEAST_MS / 1000)
    for pid in watchers:
        os.kill(pid, signal.SIGCONT)
