"""The metrics, their names and labels."""

import subprocess
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from appliance.assembly import metrics_text
from appliance.config import Config
from appliance.core.events import (
    ConnectionMeasured,
    FirstBlockSent,
    Reception,
    Ticked,
)
from appliance.core.state import Phase, State
from appliance.metrics.counters import (
    AudioDirection,
    AudioFault,
    AudioFigures,
    Counters,
)
from appliance.metrics.exposition import prometheus_text

SOUND = AudioFigures(
    blocks={AudioDirection.SEND: 7},
    faults={(AudioDirection.RECEIVE, AudioFault.XRUN): 3},
    depth_s={"talker": 0.02, "playout": 0.01},
    drift_ppm=-31.5,
)
PUBLIC = {
    "ptt_joins_total": "counter",
    "ptt_leaves_total": "counter",
    "ptt_reconnects_total": "counter",
    "ptt_connection_state": "gauge",
    "ptt_rtt_seconds": "gauge",
    "ptt_receive_concealed_ratio": "gauge",
    "ptt_receive_jitter_buffer_seconds": "gauge",
    "ptt_packets_lost_total": "counter",
    "ptt_audio_blocks_total": "counter",
    "ptt_audio_faults_total": "counter",
    "ptt_buffer_depth_seconds": "gauge",
    "ptt_drift_ppm": "gauge",
    "ptt_talk_seconds_total": "counter",
    "ptt_access_seconds": "histogram",
    "ptt_chat_messages_total": "counter",
    "process_cpu_seconds_total": "counter",
    "process_resident_memory_bytes": "gauge",
    "process_open_fds": "gauge",
    "process_max_fds": "gauge",
    "process_virtual_memory_bytes": "gauge",
    "process_start_time_seconds": "gauge",
}


@pytest.fixture
def counts():
    """Counts of an appliance that is in a room and has talked once."""
    counts = Counters()
    state = State(Config(), phase=Phase.JOINING)
    in_room = State(Config(), phase=Phase.IN_ROOM, rtt_s=0.018)
    counts.observe(Ticked(), state, in_room, 10.0)
    measured = ConnectionMeasured(0, 0.018, Reception(0.08, 0.02, 3), 2)
    counts.observe(measured, in_room, in_room, 10.5)
    counts.observe(FirstBlockSent(0.012), in_room, in_room, 11.0)
    return counts


def numbers(text):
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def types(text):
    words = [line.split() for line in text.splitlines()]
    return {line[2]: line[3] for line in words if line[:2] == ["#", "TYPE"]}


def test_the_metrics_are_exactly_these_with_their_types(counts):
    assert types(prometheus_text(counts, SOUND)) == PUBLIC


def test_no_metric_is_repeated(counts):
    lines = prometheus_text(counts, SOUND).splitlines()
    assert len(lines) == len(set(lines))


def test_every_value_is_written_with_its_labels(counts):
    found = numbers(prometheus_text(counts, SOUND))
    assert found["ptt_joins_total",] == 1
    assert found["ptt_connection_state",] == 5
    assert found["ptt_rtt_seconds",] == 0.018
    assert found["ptt_receive_concealed_ratio",] == 0.02
    assert found["ptt_receive_jitter_buffer_seconds",] == 0.08
    assert found["ptt_packets_lost_total", "receive"] == 3
    assert found["ptt_packets_lost_total", "send"] == 2
    assert found["ptt_audio_blocks_total", "send"] == 7
    assert found["ptt_audio_blocks_total", "receive"] == 0
    assert found["ptt_audio_faults_total", "receive", "xrun"] == 3
    assert found["ptt_audio_faults_total", "send", "unplug"] == 0
    assert found["ptt_buffer_depth_seconds", "talker"] == 0.02
    assert found["ptt_drift_ppm",] == -31.5
    assert found["ptt_access_seconds_bucket", "0.01"] == 0
    assert found["ptt_access_seconds_bucket", "0.015"] == 1
    assert found["ptt_access_seconds_bucket", "+Inf"] == 1
    assert found["ptt_access_seconds_count",] == 1
    assert found["ptt_access_seconds_sum",] == 0.012
    assert found["ptt_reconnects_total", "resumed"] == 0
    assert found["ptt_chat_messages_total", "failed", "send"] == 0


def helps(text):
    words = [line.split(maxsplit=3) for line in text.splitlines()]
    return {line[2]: line[3] for line in words if line[:2] == ["#", "HELP"]}


def test_the_help_says_what_each_kind_of_fault_is(counts):
    explanation = helps(prometheus_text(counts, SOUND))["ptt_audio_faults_total"]
    assert all(f"{kind}: " in explanation for kind in AudioFault)


def test_the_help_says_that_received_blocks_are_those_that_the_card_played(counts):
    explanation = helps(prometheus_text(counts, SOUND))["ptt_audio_blocks_total"]
    assert "card" in explanation
    assert "silence included" in explanation


def test_an_unknown_value_is_left_out():
    counts = Counters()
    state = State(Config())
    counts.observe(Ticked(), state, state, 1.0)
    found = types(prometheus_text(counts, AudioFigures()))
    assert "ptt_rtt_seconds" not in found
    assert "ptt_buffer_depth_seconds" not in found


def test_memory_and_cpu_of_the_process_are_counted(counts):
    found = numbers(prometheus_text(counts, SOUND))
    assert found["process_cpu_seconds_total",] > 0
    assert found["process_resident_memory_bytes",] > 1_000_000
    assert found["process_open_fds",] > 2


async def test_each_request_reads_the_present_counts(counts):
    for joins in (1, 2):
        counts.joins = joins
        text = await metrics_text(counts, lambda: SOUND)
        assert numbers(text)["ptt_joins_total",] == joins


def test_prometheus_client_is_not_imported_before_the_first_request():
    program = (
        "import sys, appliance.assembly, appliance.page.adapter;"
        "print('prometheus_client' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
