"""Readings of processes, metrics and import times."""

import math
import os
import sys
from subprocess import PIPE, Popen

from tests.bench.client_start import histogram
from tests.bench.machine import is_busy, line, machine
from tests.bench.memory import packages
from tests.bench.process import cpu_s, memory, shares, threads_s

IMPORTED = """\
import time: self [us] | cumulative | imported package
import time:       120 |        120 |   _io
import time:      1500 |       1620 | starlette.routing
12:00:00 INFO    [rtc] joined  ticket=1
import time:       500 |        500 |     starlette
"""
METRICS = """\
# TYPE ptt_access_seconds histogram
ptt_access_seconds_bucket{le="0.005"} 3
ptt_access_seconds_bucket{le="+Inf"} 20
ptt_access_seconds_sum 0.1
ptt_joins_total 1
"""


def test_import_times_are_read_from_the_interpreters_output():
    assert packages(IMPORTED.splitlines()) == {"_io": 0.12, "starlette": 2.0}


def test_a_histogram_is_parsed_from_metrics():
    counts = histogram(METRICS, "ptt_access_seconds")
    assert counts == [(0.005, 3), (math.inf, 20)]


def test_memory_and_cpu_of_this_process_are_read():
    used = memory(os.getpid())
    assert 0 < used.pss <= used.rss
    assert cpu_s(os.getpid()) > 0.0
    assert len(threads_s(os.getpid())) >= 1


def test_memory_and_threads_of_children_count():
    # Not `pss`, which falls when another process begins to use the same libraries.
    alone = memory(os.getpid()).rss
    program = "block = bytearray(30_000_000); print(flush=True); input()"
    command = [sys.executable, "-c", program]
    with Popen(command, stdin=PIPE, stdout=PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert memory(os.getpid()).rss > alone + 25
        assert f"{child.pid}" in {thread for thread, _ in threads_s(os.getpid())}
        child.communicate(b"\n")


def test_threads_of_one_name_are_summed_from_their_start():
    before = {("1", "worker"): 1.0, ("2", "worker"): 5.0}
    after = {("1", "worker"): 1.5, ("3", "worker"): 0.5, ("4", "idle"): 0.0}
    assert shares(before, after, 10.0) == {"worker": 10.0}


def test_a_busy_machine_causes_a_warning():
    assert "WARNING" in line(machine() | {"load": 0.71})
    assert "WARNING" not in line(machine() | {"load": 0.70})
    assert not is_busy({"load": 0.2})
