"""Rate limit for output of native libraries to file descriptor 2."""

import signal
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from appliance.process.native_stderr import (
    LAST_LINES,
    LINES,
    LONGEST_BYTES,
    WINDOW_S,
    LineLimit,
)

START = """
import ctypes, faulthandler, logging, os, sys
from appliance.process.logs import start_logging
from appliance.process.native_stderr import limit_native_stderr
stderr = limit_native_stderr(["hushhush"])
faulthandler.enable(stderr)
start_logging("info", ["hushhush"], stderr)
"""
PREFIX = "[system] native: "


def run(program, **options):
    """Run lines in a fresh process behind the rate limit, to its very end."""
    command = [sys.executable, "-c", START + program]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=120, **options
    )


def test_a_million_native_lines_become_a_few_and_a_count():
    done = run("""
flood = b"Expression 'err' failed in 'pa_linux_alsa.c', line: 3350\\n" * 1000
for _ in range(1000):
    os.write(2, flood)
os.write(2, b"the last words\\n")
""")
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert len(lines) == LINES + 1 + LAST_LINES
    assert all(line.startswith(PREFIX) for line in lines)
    assert lines[LINES] == f"{PREFIX}… {1_000_001 - LINES:,} more lines"
    assert lines[-1] == f"{PREFIX}the last words"


def test_a_flood_does_not_block_while_pythons_lock_is_held():
    """Python's lock is held while libc writes: a thread could not read meanwhile."""
    done = run("""
libc = ctypes.PyDLL(None)
flood = b"x" * 99 + b"\\n"
for _ in range(50_000):
    libc.write(2, flood, len(flood))
""")
    assert done.returncode == 0
    assert "… 49,988 more lines" in done.stderr


def test_a_crash_is_written_with_its_stack_and_the_last_lines_of_the_library():
    done = run("""
def where_it_happened():
    os.write(2, b"ALSA lib: assertion failed")
    ctypes.CDLL(None).abort()
where_it_happened()
""")
    assert done.returncode == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in done.stderr
    assert "where_it_happened" in done.stderr
    assert f"{PREFIX}ALSA lib: assertion failed" in done.stderr


def test_the_log_and_pythons_own_output_are_not_limited():
    done = run(f"""
for number in range({2 * LINES}):
    logging.getLogger("appliance.audio.supervisor").info("line %d", number)
    print("printed", number, file=sys.stderr)
class Broken:
    def __del__(self):
        raise ValueError("cannot be raised")
Broken()
raise RuntimeError("the end")
""")
    assert done.stderr.count("[audio] line ") == 2 * LINES
    assert done.stderr.count("printed ") == 2 * LINES
    assert "ValueError: cannot be raised" in done.stderr
    assert "RuntimeError: the end" in done.stderr
    assert PREFIX not in done.stderr


def test_secrets_and_control_characters_are_hidden():
    done = run(r"""os.write(2, b"token=hushhush \x1b[2J \xff\n")""")
    assert "hushhush" not in done.stderr
    assert "\x1b" not in done.stderr


def test_the_last_lines_are_written_after_a_signal_to_the_process_group():
    done = run(
        """
import signal
os.write(2, b"before\\n")
os.killpg(0, signal.SIGTERM)
""",
        start_new_session=True,
    )
    assert done.returncode == -signal.SIGTERM
    assert f"{PREFIX}before" in done.stderr


def test_without_standard_error_nothing_is_limited_and_nothing_fails():
    command = [sys.executable, "-c", f"import os\nos.close(2)\n{START}\nos._exit(7)"]
    assert subprocess.run(command, check=False).returncode == 7


def test_each_window_has_its_own_lines_and_a_count_of_the_rest():
    limit = LineLimit()
    first = list(limit.lines(b"a\n" * (LINES + 3), 0.0))
    assert first == [b"a"] * LINES
    assert limit.wait_s(1.0) == WINDOW_S - 1.0
    assert list(limit.lines(b"b\n", 30.0)) == []
    assert list(limit.lines(b"", WINDOW_S)) == ["… 4 more lines".encode()]
    assert limit.wait_s(WINDOW_S) is None
    assert list(limit.lines(b"c\n", WINDOW_S)) == [b"c"]
    assert list(limit.end()) == []


def test_a_line_without_an_end_is_cut():
    limit = LineLimit()
    for _ in range(100):
        assert list(limit.lines(b"x" * LONGEST_BYTES, 0.0)) == []
    assert list(limit.end()) == [b"x" * LONGEST_BYTES]


@given(st.lists(st.integers(0, 40), max_size=20))
def test_every_line_is_written_or_counted(bursts):
    limit, written = LineLimit(), 0
    for burst in bursts:
        written += len(list(limit.lines(b"line\n" * burst, 0.0)))
    assert written + limit.left_out == sum(bursts)
    assert written <= LINES
