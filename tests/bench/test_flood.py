"""Tests of the flood measurement and of the load generator."""

import asyncio
import math
import socket
import sys

import pytest

from tests.bench.call_figures import CallFigures, Reception, Usage
from tests.bench.flood import delay, grown, silent_blocks
from tests.bench.process import Memory

NAN = math.nan


def figures(*receptions):
    usage = Usage([1.0], {}, list[Memory]())
    return CallFigures((usage, usage), receptions or None)


CALM = Reception([0.0, 1.0, 2.0, 3.0], [60.0, 62.0, 61.0, 61.0], 0.0, [0.0] * 4)
GROWN = Reception(
    [0.0, 1.0, 2.0, 3.0], [60.0, NAN, 150.0, 120.0], 4.0, [2.0, NAN, 6.0, 4.0]
)


def test_the_worse_direction_counts():
    found = grown(figures(CALM, GROWN), 1.0, 3.0)
    assert found is not None
    assert found.median == 60.0


def test_delays_are_those_of_both_directions_within_the_interval():
    found = delay(figures(CALM, GROWN), 1.0, 3.0)
    assert found is not None
    assert sorted(found.values) == [61.0, 62.0, 150.0]


def test_silent_blocks_are_counted_only_where_sound_was_found():
    found = silent_blocks(figures(CALM, GROWN), 1.0, 9.0)
    assert found is not None
    assert found.median == 5


def test_a_call_without_detected_speech_has_no_figures():
    assert silent_blocks(figures(), 0.0, 9.0) is None
    assert grown(figures(), 1.0, 3.0) is None
    assert delay(figures(), 0.0, 9.0) is None


@pytest.mark.parametrize("kind", ["connect", "request"])
async def test_the_attacker_reaches_the_server(kind):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        listen = f"127.0.0.1:{listening.getsockname()[1]}"
        attacker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bench.attacker", listen, kind),
            # Its priority is the lowest: on a busy machine it waits for long.
            *("--seconds", "1", "--per-s", "1000"),
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(20):
            connection, address = await asyncio.get_running_loop().sock_accept(
                listening
            )
            connection.close()
            told, _ = await attacker.communicate()
    assert address[0] == "127.0.1.1"
    assert int(told) > 10
