"""End of the process."""

import os
import subprocess
import sys

import pytest

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


@pytest.mark.parametrize("descriptor", [1, 2])
def test_a_closed_descriptor_does_not_change_the_exit_status(descriptor):
    program = f"import os, sys; os.close({descriptor}); os.execv(sys.executable, "
    assert run(f"{program}[sys.executable, '-c', {END!r}])").returncode == 3


def appliance(words, redirection):
    """Run a command in a shell that closes or redirects a stream of it."""
    return subprocess.run(
        f"exec {sys.executable} -m appliance {words} {redirection}",
        shell=True,
        env=os.environ
        | {"PTT_APPLIANCE_CONFIG": os.devnull, "PTT_ROOM__TOKEN_URL": "https://h"},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("words", ["config check", "pair --token", "--version"])
def test_a_command_works_with_closed_standard_output(words, tmp_path, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    done = appliance(words, ">&-")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", ["config schema", "config check"])
def test_output_that_cannot_be_written_is_a_failure_and_one_sentence(words):
    """The schema is longer than the buffer, the result of the check is not."""
    done = appliance(words, ">/dev/full")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last == "ptt-appliance: No space left on device"
    assert "Traceback" not in done.stderr
