"""Buffer changes that the busy section counts."""

from tests.bench.busy import Look, lengthened
from tests.bench.client import LogLine


def changed(at_s, ms):
    text = f"20:00:00 INFO    [audio] buffer size changed  latency_ms={ms}"
    return LogLine(at_s, text)


LOOKS = [Look(at_s, xruns=5 if at_s < 100 else 8) for at_s in range(300)]


def test_a_longer_buffer_after_an_xrun_has_a_reason():
    assert lengthened([changed(103.0, 20)], LOOKS) == (1, 0)


def test_a_longer_buffer_long_after_the_last_xrun_has_none():
    assert lengthened([changed(103.0, 20), changed(200.0, 40)], LOOKS) == (2, 1)


def test_a_shorter_buffer_is_not_counted():
    lines = [changed(103.0, 20), changed(250.0, 10), LogLine(260.0, "joined")]
    assert lengthened(lines, LOOKS) == (1, 0)
