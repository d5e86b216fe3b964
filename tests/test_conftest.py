"""The guards for every test."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = Path(__file__).with_name("conftest.py")
SETTINGS = (
    "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
)
TESTS = """
import asyncio, threading

stop = threading.Event()

def test_a_thread_is_left():
    threading.Thread(target=stop.wait, name="forgotten", daemon=True).start()

async def test_a_task_is_left():
    test_a_task_is_left.kept = asyncio.create_task(asyncio.Event().wait())

class Room:
    async def _listen_task(self):
        for _ in range(100):
            await asyncio.sleep(0)

async def test_a_room_of_the_sdk_ends():
    test_a_room_of_the_sdk_ends.kept = asyncio.create_task(Room()._listen_task())

async def test_a_loop_keeps_its_own_threads():
    await asyncio.to_thread(int)

def test_a_thread_ends():
    threading.Thread(target=int).start()
"""


@pytest.fixture(autouse=True)
def few_plugins(monkeypatch):
    """Most of the time of a start is that of plugins."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def test_a_forgotten_thread_or_task_fails_its_test(pytester):
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makeini(SETTINGS)
    pytester.makepyfile(TESTS)
    outcome = pytester.runpytest_subprocess("-p", "pytest_asyncio.plugin")
    outcome.assert_outcomes(passed=5, errors=2)
    outcome.stdout.fnmatch_lines(["*threads left behind: ?'forgotten'?*"])
    outcome.stdout.fnmatch_lines(["*tasks left behind:*"])


def test_hardware_is_tested_only_on_demand(pytester):
    pytester.makeconftest(CONFTEST.read_text())
    pytester.mkdir("hardware")
    (pytester.path / "hardware" / "test_pins.py").write_text("def test_it(): pass")
    pytester.runpytest_subprocess().assert_outcomes()
    pytester.runpytest_subprocess("--hardware").assert_outcomes(passed=1)
