"""Durations and repetitions of each measurement."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """Durations in seconds, and repetitions."""

    starts: int
    """Fresh starts of both boxes, for mouth to ear."""
    processed_starts: int
    """The same with processing on."""
    rival_starts: int
    burst_s: float
    """Duration of the bursts after each start."""
    call_s: float
    """The long call of ours: drift and growth of memory."""
    rival_call_s: float
    cpu_s: float
    """Duration of each situation in which CPU time is read."""
    memory_s: float
    """Call of our default configuration, alone on the machine."""
    presses: int
    """Presses with processing, the default; half as many without."""
    interruptions: int
    """Fresh starts in which the first press comes while the speaker plays."""
    cold_starts: int
    """Starts that are timed."""
    outages_s: tuple[float, ...]
    flood_s: float
    """Duration of each of the two floods."""
    token_requests: int
    """Requests to each token server."""
    captions: int
    """Words of an agent whose way to page and screen is timed."""
    silences: int
    """Presses that silence an agent."""
    links: tuple[str, ...]
    """Names of the bad links; see `links`."""
    link_s: float
    """Duration of the figures of each call over a bad link."""
    link_starts: int
    """Calls of each kind of client over each link."""
    link_presses: int
    """Presses over each link."""
    protection_starts: int
    """Calls with each protection of speech over each link that loses packets."""
    busy_s: float
    """Time in which compilers take all processors."""
    busy_edge_s: float
    """Speech before it; twice as long after it."""
    busy_settle_s: float
    """Speech before the first figure."""
    echo_s: float
    """Length of each of three parts of speech in a simulated room."""
    soak_minutes: float
    """At least one disturbance of each kind is made."""
    clocks_minutes: float
    """Speech between clocks that are far apart."""


QUICK = Plan(
    starts=2,
    processed_starts=1,
    rival_starts=1,
    burst_s=3.0,
    call_s=12.0,
    rival_call_s=12.0,
    cpu_s=5.0,
    memory_s=5.0,
    presses=6,
    interruptions=1,
    cold_starts=2,
    outages_s=(3.0,),
    flood_s=4.0,
    token_requests=5000,
    captions=10,
    silences=3,
    links=("wifi",),
    link_s=8.0,
    link_starts=1,
    link_presses=10,
    protection_starts=1,
    busy_s=8.0,
    busy_edge_s=4.0,
    busy_settle_s=4.0,
    echo_s=6.0,
    soak_minutes=0.0,
    clocks_minutes=1.0,
)
DEFAULT = Plan(
    starts=10,
    processed_starts=4,
    rival_starts=2,
    burst_s=3.2,
    call_s=50.0,
    rival_call_s=20.0,
    cpu_s=12.0,
    memory_s=10.0,
    presses=20,
    interruptions=4,
    cold_starts=5,
    outages_s=(5.0, 30.0),
    flood_s=10.0,
    token_requests=50_000,
    captions=40,
    silences=10,
    links=("plain", "wifi", "loss1", "loss3", "loss5", "events"),
    link_s=20.0,
    link_starts=3,
    link_presses=100,
    protection_starts=1,
    busy_s=30.0,
    busy_edge_s=12.0,
    busy_settle_s=12.0,
    echo_s=20.0,
    soak_minutes=60.0,
    clocks_minutes=10.0,
)
LONG = Plan(
    starts=20,
    processed_starts=10,
    rival_starts=5,
    burst_s=8.0,
    call_s=1800.0,
    rival_call_s=600.0,
    cpu_s=60.0,
    memory_s=60.0,
    presses=60,
    interruptions=20,
    cold_starts=12,
    outages_s=(5.0, 60.0, 300.0),
    flood_s=30.0,
    token_requests=50_000,
    captions=200,
    silences=40,
    links=("plain", "wifi", "loss1", "loss3", "loss5", "events"),
    link_s=30.0,
    link_starts=4,
    link_presses=300,
    protection_starts=3,
    busy_s=60.0,
    busy_edge_s=20.0,
    busy_settle_s=12.0,
    echo_s=20.0,
    soak_minutes=60.0,
    clocks_minutes=10.0,
)
