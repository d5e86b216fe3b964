"""Every metric of `GET /metrics`, on top of prometheus-client."""

from collections.abc import Iterator, Mapping
from itertools import product

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from appliance.core.chat import Delivery
from appliance.core.events import Cause
from appliance.metrics.counters import (
    RESUMED,
    AudioDirection,
    AudioFault,
    AudioFigures,
    Counters,
)

CHAT_STATES = (
    (AudioDirection.RECEIVE, Delivery.RECEIVED),
    (AudioDirection.SEND, Delivery.QUEUED),
    (AudioDirection.SEND, Delivery.SENT),
    (AudioDirection.SEND, Delivery.FAILED),
)


class _Metrics(Collector):
    """Collector of all metrics that have a value."""

    def __init__(self, counts: Counters, figures: AudioFigures) -> None:
        self._counts = counts
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        families = (
            *_room(self._counts),
            *_talk(self._counts),
            *_packets(self._counts),
            *_audio(self._figures),
        )
        yield from (family for family in families if family.samples)


def prometheus_text(counts: Counters, figures: AudioFigures) -> str:
    """Return these metrics and those of the process in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Metrics(counts, figures))
    ProcessCollector(registry=registry)
    return generate_latest(registry).decode()


def _room(counts: Counters) -> Iterator[Metric]:
    yield CounterMetricFamily("ptt_joins", "Rooms joined.", counts.joins)
    yield CounterMetricFamily("ptt_leaves", "Rooms left on purpose.", counts.leaves)
    yield _counter(
        "ptt_reconnects",
        f"Connections lost, by cause; {RESUMED}: without leaving the room.",
        ["cause"],
        {(cause,): counts.reconnects[cause] for cause in (*Cause, RESUMED)},
    )
    yield GaugeMetricFamily(
        "ptt_connection_state",
        "0 left, 1 refused, 2 waiting, 3 joining, 4 resuming, 5 in the room.",
        counts.connection,
    )
    yield GaugeMetricFamily(
        "ptt_rtt_seconds", "Round trip to the server.", counts.rtt_s
    )
    yield _counter(
        "ptt_chat_messages",
        "Chat messages that reached a state; one that was sent may have failed later.",
        ["direction", "state"],
        {key: counts.chat[key] for key in CHAT_STATES},
    )


def _talk(counts: Counters) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "ptt_talk_seconds", "Time in which speech was sent.", counts.talk_s
    )
    access = counts.access
    yield HistogramMetricFamily(
        "ptt_access_seconds",
        "From the press to the first frame handed to the encoder.",
        list(zip(map(floatToGoString, access.bounds), access.counts, strict=True)),
        access.total,
    )


def _packets(counts: Counters) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "ptt_receive_jitter_buffer_seconds",
        "Mean delay of LiveKit's jitter buffers in the last 10 seconds.",
        counts.reception_delay_s,
    )
    yield GaugeMetricFamily(
        "ptt_receive_concealed_ratio",
        "Share of the received audio of the last 10 seconds that was lost or late and"
        " was synthesised.",
        counts.concealed_ratio,
    )
    yield _counter(
        "ptt_packets_lost",
        "Audio packets lost in the network; those sent, as the server reports them.",
        ["direction"],
        {(direction,): counts.lost_packets[direction] for direction in AudioDirection},
    )


def _audio(figures: AudioFigures) -> Iterator[Metric]:
    yield _counter(
        "ptt_audio_blocks",
        "Blocks of 10 ms given to the encoder (send) or played by the card (receive),"
        " silence included.",
        ["direction"],
        {
            (direction,): figures.blocks.get(direction, 0)
            for direction in AudioDirection
        },
    )
    yield _counter(
        "ptt_audio_faults",
        "Faults of the audio path. xrun: samples lost or missing at the card;"
        " drop: captured samples discarded without a report; stall: the card stopped;"
        " unplug: a card that had worked is not listed any more;"
        " overflow: a full buffer, sound was dropped;"
        " underflow: an empty buffer, silence took the place of speech.",
        ["direction", "kind"],
        {
            key: figures.faults.get(key, 0)
            for key in product(AudioDirection, AudioFault)
        },
    )
    depths = GaugeMetricFamily(
        "ptt_buffer_depth_seconds", "Audio waiting in a buffer.", labels=["buffer"]
    )
    for name, depth_s in figures.depth_s.items():
        depths.add_metric([name], depth_s)
    yield depths
    yield GaugeMetricFamily(
        "ptt_drift_ppm",
        "How much faster the speaker's clock runs than the newest talker's.",
        figures.drift_ppm,
    )


def _counter(
    name: str,
    explanation: str,
    labels: list[str],
    values: Mapping[tuple[str, ...], float],
) -> Metric:
    """Return a counter with one sample for each combination of label values."""
    family = CounterMetricFamily(name, explanation, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family
