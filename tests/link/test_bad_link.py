"""Two boxes on a bad link: lost and late packets, a stall, a gap."""

import math
import statistics

import msgspec
import pytest

from appliance.demo.livekit_server import find_or_build
from tests.bench import link_presses
from tests.bench.link_calls import Call, Event, Order
from tests.bench.links import in_namespace
from tests.bench.machine_stalls import watched
from tests.link.bad_link import obstacle
from tests.link.middle import Quality

STALL = Event(1.5, 0.2, is_gap=False)
GAP = Event(3.5, 2.0, is_gap=True)
ORDER = Order(
    "short",
    Quality(base_ms=15, jitter_ms=20, loss=0.005),
    seconds=8.5,
    kinds=("ours",),
    events=(STALL, GAP),
    settle_s=0.5,
)
LATE_MS = 1.5 * 1000 * STALL.length_s
"""A new jitter buffer keeps the delay of a stall for up to ten seconds; what comes
later adds nothing to it."""
TRIES = 3
"""Calls, as long as the machine pauses in them: that delays speech as well."""


@pytest.fixture(scope="module")
def link_is_possible():
    if found := obstacle():
        pytest.skip(f"NOT TESTED, no network namespace with /dev/net/tun: {found}")
    find_or_build(print)


async def test_boxes_hear_each_other_during_losses_and_after_a_stall_and_a_gap(
    link_is_possible,
):
    order = msgspec.json.encode([ORDER]).decode()
    for _ in range(TRIES):
        async with watched() as pauses:
            out = await in_namespace("tests.bench.link_calls", order)
        (call,) = msgspec.msgpack.decode(out, type=list[Call])
        assert call.trouble == ""
        assert call.dropped_percent > 0.0
        assert len(call.ears) == 2
        late_ms = max(map(later_ms, call.ears))
        if late_ms < LATE_MS or not pauses.late_ms:
            break
    assert late_ms < LATE_MS


def later_ms(ear):
    """Return by how much speech after the stall and the gap is later than before."""
    usual_ms = statistics.median(delays(ear, 0.0, STALL.at_s))
    stalled = delays(ear, STALL.at_s + 0.6, GAP.at_s)
    lost = delays(ear, GAP.at_s + 0.2, GAP.at_s + GAP.length_s - 0.4)
    after = delays(ear, GAP.at_s + GAP.length_s, ORDER.seconds)
    assert lost == []
    return max(min(x, default=math.inf) for x in (stalled, after)) - usual_ms


async def test_presses_over_a_bad_link_are_heard_at_the_other_end(link_is_possible):
    order = link_presses.Order("wifi", ORDER.quality, presses=2, settle_s=0.5)
    text = msgspec.json.encode([order]).decode()
    out = await in_namespace("tests.bench.link_presses", text)
    (found,) = msgspec.msgpack.decode(out, type=list[link_presses.Presses])
    assert len(found.start_ms) == len(found.end_ms) == order.presses
    assert found.unheard == 0


def delays(ear, since_s, until_s):
    """Return the delays of the speech that was said then and heard."""
    found = zip(ear.at_s, ear.delay_ms, strict=True)
    return [ms for x, ms in found if since_s <= x < until_s and not math.isnan(ms)]
