"""End of the process."""

import subprocess
import sys

END = "from appliance.cli import end_process; end_process(3)"


def run(program):
    return subprocess.run(
        [sys.executable, "-E", "-c", program],
        capture_output=True,
        text=True,
        check=False,
    )


def test_output_and_exit_status_are_kept():
    found = run(f"print('out'); import logging; logging.warning('err'); {END}")
    assert (found.returncode, found.stdout) == (3, "out\n")
    assert "err" in found.stderr


def test_threads_and_hooks_are_not_waited_for():
    waits = "import atexit, threading; atexit.register(threading.Event().wait)"
    assert run(f"{waits}; {END}").returncode == 3


def test_a_closed_pipe_does_not_change_the_exit_status():
    closed = "import os, sys; r, w = os.pipe(); os.dup2(w, 1); os.close(r); os.close(w)"
    assert run(f"{closed}; sys.stdout.write('x'); {END}").returncode == 3
