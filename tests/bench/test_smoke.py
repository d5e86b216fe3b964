"""Smoke test: a tiny run of the benchmark from end to end, without its figures."""

import math
from dataclasses import replace

import pytest
from livekit import rtc

from appliance.demo.livekit_server import LocalServer, find_or_build
from tests.bench import (
    busy,
    crowd,
    delay,
    dtelecom_relay,
    gate,
    protection,
    room_change,
    soak,
    speech_signal,
)
from tests.bench.bench_run import BenchRun
from tests.bench.call_figures import stay
from tests.bench.client_start import Ours
from tests.bench.hearing import Hearing
from tests.bench.link_calls import PROTECTIONS, Call
from tests.bench.plan import QUICK
from tests.bench.process import resources, wake_ups
from tests.bench.report import Row, Section, table
from tests.bench.spread import extremes, spread

OURS = Ours(has_processing=False, has_page=False)
SPARE = 3
"""Threads and files for a moment, such as the library's for a new connection."""
BEFORE_S = 2.0
"""Time before the first burst; no figure is read, so no jitter buffer must settle."""


async def test_two_boxes_join_speak_are_measured_and_leave(tmp_path):
    async with LocalServer(find_or_build(print)) as server:
        run = BenchRun(server, tmp_path, QUICK)
        async with run.call(OURS, OURS) as pair:
            there, back = await delay.ways(pair, 1.6, seed=1, before_s=BEFORE_S)
            figures = await stay(pair, 1.0, speech_signal.noise)
    heard = [x for x in (*there, *back) if not math.isnan(x)]
    assert heard
    assert figures.receptions
    assert all(
        len(reception.delay_ms) == len(reception.at_s)
        for reception in figures.receptions
    )
    assert all(usage.memory[0].pss > 1.0 for usage in figures.usage)
    assert [x.status for x in run.exits] == [0, 0]
    row = Row(name="mouth to ear", unit="ms", ours=spread(heard))
    assert "mouth to ear" in table([Section("Delay", (row,))])


async def test_presses_pass_sound_and_are_counted(tmp_path):
    """On a busy machine the sound of a press may have gaps, so not all are heard."""
    async with LocalServer(find_or_build(print)) as server:
        section = await gate.measure(
            BenchRun(server, tmp_path, replace(QUICK, presses=6))
        )
    notes = [row.note for row in section.rows if "lost at the start" in row.name]
    heard = [int(note.partition(" ")[0]) for note in notes]
    counts = [note.split()[2] for note in notes]
    assert counts == ["3", "6", "1"]
    assert heard[0] > 0
    assert heard[1] > 0


async def test_the_relay_is_joined_through_and_its_cost_is_measured(tmp_path):
    async with LocalServer(find_or_build(print)) as server:
        section = await dtelecom_relay.measure(BenchRun(server, tmp_path, QUICK))
    assert all(row.ours is not None for row in section.rows)


async def test_a_change_of_rooms_is_heard_in_the_other_room(tmp_path):
    async with LocalServer(find_or_build(print)) as server:
        plan = replace(QUICK, presses=4)
        section = await room_change.measure(BenchRun(server, tmp_path, plan))
    (row,) = section.rows
    assert row.note in {"1 of 2 changes heard", "2 of 2 changes heard"}


async def test_a_call_is_heard_while_compilers_work(tmp_path):
    plan = replace(QUICK, busy_s=1.0, busy_edge_s=1.0, busy_settle_s=1.0)
    async with LocalServer(find_or_build(print)) as server:
        found = await busy.call(BenchRun(server, tmp_path, plan), (OURS, OURS))
    assert [len(ear) for ear in found.ears] == [3, 3]
    heard = [x for ear in found.ears for phase in ear for x in phase.delay_ms]
    assert not all(map(math.isnan, heard))


async def test_speech_passes_again_after_each_disturbance_of_a_call(tmp_path):
    async with LocalServer(find_or_build(print)) as server:
        run = BenchRun(server, tmp_path, QUICK)
        async with run.call(OURS, OURS) as pair:
            before = [resources(client.pid) for client in pair]
            for disturb in (soak.unplug_first, soak.kill_server, soak.compile_all):
                await disturb(run, pair, 0.5)
                assert not math.isnan(await soak.speech_back_s(pair, seed=1))
            after = [resources(client.pid) for client in pair]
    for first, last in zip(before, after, strict=True):
        assert last.threads <= first.threads + SPARE
        assert last.files <= first.files + SPARE


@pytest.mark.parametrize(("red", "codec"), [("on", "audio/red"), ("off", "audio/opus")])
async def test_speech_is_protected_as_chosen(tmp_path, red, codec):
    async with LocalServer(find_or_build(print)) as server:
        run = BenchRun(server, tmp_path, QUICK)
        room, guest = run.fresh_room(), rtc.Room()
        box = await replace(OURS, protection=(red, 32)).start(run.seat(room, 0))
        try:
            await box.says("joined")
            await guest.connect(server.url, run.token(room, "guest"))
            (participant,) = guest.remote_participants.values()
            (track,) = participant.track_publications.values()
            assert track.mime_type == codec
        finally:
            await guest.disconnect()
            await box.stop()


def test_each_protection_has_its_rows_and_its_cpu_time():
    plan = replace(QUICK, links=("plain", "loss3"))
    assert [order.name for order in protection.orders(plan)] == ["loss3"]
    kinds = list(PROTECTIONS)
    ear = Hearing((0.0,), (90.0,), 0.5)
    made = [Call("loss3", kinds[0], (ear, ear), cpu_percent=(8.0, 9.0))]
    rows = protection.link_rows("loss3", made)
    assert len(rows) == 2 * len(kinds)
    assert rows[0].ours == extremes([0.5, 0.5])
    assert rows[1].ours == spread([90.0, 90.0])
    assert rows[2].ours is None
    assert protection.cpu(made, kinds[0]) == spread([8.0, 9.0])
    assert protection.cpu(made, kinds[1]) is None


async def test_silent_participants_are_received_by_a_box(tmp_path):
    async with LocalServer(find_or_build(print)) as server:
        run = BenchRun(server, tmp_path, QUICK)
        async with crowd.joined(run, OURS, 2) as box:
            assert wake_ups(box.pid) > 0
