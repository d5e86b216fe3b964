"""Guards for every test: no thread, task or priority is left behind."""

import asyncio
import inspect
import os
import resource
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from appliance.cli import end_process

STATUS = pytest.StashKey[int]()
LOOPS_OWN = ("asyncio_", "AnyIO worker thread")
"""Threads that an event loop reuses; they end with the loop."""
NATIVE = "Dummy-"
"""Threads of native libraries, once they have called into Python."""
SDK_LISTENS = "Room._listen_task"
"""Task of LiveKit's SDK for each room. It ends a moment after the server has ended the
connection, and if a busy machine disconnects late, after the box has stopped waiting.
"""
PATIENCE_S = 3.0
"""Time-out for the end of a thread, or of such a task."""
SERVERS = {"net", "page", "token_server", "tokens"}
"""Folders of tests in which an error that reaches the event loop's exception handler,
which would end the process, fails the test."""

# As root, audio threads have real-time priority. One that spins would block a small
# machine, so the kernel ends the run after 10 s of that.
resource.setrlimit(resource.RLIMIT_RTTIME, (10_000_000, 12_000_000))

settings.register_profile(
    "appliance",
    # A busy machine must not fail a test.
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
    # A failure prints how to repeat it; nothing is stored, the folder may be read-only.
    database=None,
    print_blob=True,
)
settings.load_profile("appliance")


def pytest_addoption(parser):
    group = parser.getgroup("ptt-appliance")
    group.addoption(
        "--update-pictures",
        action="store_true",
        help="write the reference pictures anew instead of comparing with them",
    )
    group.addoption(
        "--hardware",
        action="store_true",
        help="run the tests that need a Raspberry Pi with wires between its pins",
    )


def pytest_sessionfinish(session, exitstatus):
    session.config.stash[STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """Exit as the program does; otherwise LiveKit may abort a run that has passed."""
    if STATUS in config.stash:
        end_process(config.stash[STATUS])


def pytest_ignore_collect(collection_path: Path, config: pytest.Config):
    if collection_path.name == "hardware" and not config.getoption("--hardware"):
        return True
    return None


@pytest.fixture(autouse=True)
def nothing_left_behind(request):
    """Fail a test that leaves a thread or a task running."""
    before = set(threading.enumerate())
    if inspect.iscoroutinefunction(request.function):
        request.getfixturevalue("no_task_left_behind")
        if request.path.parent.name in SERVERS:
            request.getfixturevalue("no_loop_error")
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    left = [thread for thread in left if is_ours(thread)]
    for thread in left:
        thread.join(PATIENCE_S)
    names = [thread.name for thread in left if thread.is_alive()]
    assert not names, f"threads left behind: {names}"
    # Hypothesis may compute for longer than RLIMIT_RTTIME, so it must not be real-time.
    is_usual = os.sched_getscheduler(0) == os.SCHED_OTHER
    assert is_usual, "the tests' own thread was given real-time priority"


@pytest.fixture
async def no_task_left_behind():
    yield
    left = asyncio.all_tasks() - {asyncio.current_task()}
    names = {task: getattr(task.get_coro(), "__qualname__", "") for task in left}
    if listening := {task for task in left if names[task] == SDK_LISTENS}:
        ended, _ = await asyncio.wait(listening, timeout=PATIENCE_S)
        left -= ended
    assert not left, f"tasks left behind: {left}"


@pytest.fixture
async def no_loop_error():
    found: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: found.append(context))
    yield
    loop.set_exception_handler(None)
    assert not found


def is_ours(thread: threading.Thread) -> bool:
    """Return whether a test has to end the thread."""
    return not thread.name.startswith((*LOOPS_OWN, NATIVE))
