import io
import os
import pty
import termios

import pytest

from appliance.demo.terminal import CLEAR, LogStream, Terminal, single_keys


class Tty(io.StringIO):
    def isatty(self):
        return True

    def fileno(self):
        return -1


@pytest.fixture
def descriptor():
    ours, theirs = pty.openpty()
    yield theirs
    os.close(ours)
    os.close(theirs)


def test_lines_stay_above_the_live_one():
    stream = Tty()
    terminal = Terminal(stream)
    terminal.draw("live")
    terminal.say("a line")
    terminal.draw("live again")
    terminal.end()
    assert stream.getvalue() == (f"live{CLEAR}a line\nlive{CLEAR}live again{CLEAR}")


def test_the_same_live_line_is_not_written_twice():
    stream = Tty()
    terminal = Terminal(stream)
    terminal.draw("live")
    terminal.draw("live")
    assert stream.getvalue() == "live"


def test_without_a_terminal_there_are_only_whole_lines():
    stream = io.StringIO()
    terminal = Terminal(stream)
    terminal.draw("live")
    terminal.say("a line")
    terminal.end()
    assert stream.getvalue() == "a line\n"


def test_a_log_line_does_not_break_the_live_one():
    stream = Tty()
    terminal = Terminal(stream)
    terminal.draw("live")
    log = LogStream(terminal)
    log.write("12:00:00 WARNING something\n")
    log.write("\n")
    log.flush()
    assert stream.getvalue() == f"live{CLEAR}12:00:00 WARNING something\nlive"


def test_a_terminal_that_does_not_tell_its_width_has_80_columns():
    assert Terminal(Tty()).columns == 79


def test_single_keys_come_unseen_and_the_terminal_is_restored(descriptor):
    before = termios.tcgetattr(descriptor)
    with single_keys(descriptor):
        flags = termios.tcgetattr(descriptor)[3]
        assert not flags & (termios.ECHO | termios.ICANON)
        assert flags & termios.ISIG
    assert termios.tcgetattr(descriptor) == before


def test_the_terminal_is_restored_after_an_exception(descriptor):
    before = termios.tcgetattr(descriptor)
    with pytest.raises(RuntimeError), single_keys(descriptor):
        raise RuntimeError
    assert termios.tcgetattr(descriptor) == before
