import pytest
from prometheus_client.parser import text_string_to_metric_families

from appliance.config import Config
from appliance.core.events import RttMeasured, TalkFlowed, Ticked
from appliance.core.state import Phase, State
from appliance.metrics.audio import Direction, SoundFault, SoundFigures
from appliance.metrics.registry import Metrics, ProcessFigures, process_figures

SOUND = SoundFigures(
    blocks={Direction.SEND: 7},
    faults={(Direction.RECEIVE, SoundFault.XRUN): 3},
    depth_s={"talker": 0.02, "playout": 0.01},
    drift_ppm=-31.5,
)
PROCESS = ProcessFigures(cpu_s=1.25, resident_bytes=50_000_000, open_files=12)
PUBLIC = {
    "ptt_joins_total": "counter",
    "ptt_leaves_total": "counter",
    "ptt_reconnects_total": "counter",
    "ptt_connection_state": "gauge",
    "ptt_rtt_seconds": "gauge",
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
}


@pytest.fixture
def metrics():
    """Metrics of a box that is in a room and has talked once."""
    metrics = Metrics(lambda: PROCESS)
    state = State(Config(), phase=Phase.JOINING)
    in_room = State(Config(), phase=Phase.IN_ROOM, rtt_s=0.018)
    metrics.observe(RttMeasured(1, 0.018), state, in_room, 10.0)
    metrics.observe(TalkFlowed(0.012), in_room, in_room, 11.0)
    return metrics


def numbers(text):
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def types(text):
    words = [line.split() for line in text.splitlines()]
    return {line[2]: line[3] for line in words if line[:2] == ["#", "TYPE"]}


def test_every_public_number_is_there_with_its_type(metrics):
    assert types(metrics.text(SOUND)) == PUBLIC


def test_prometheus_own_parser_reads_every_number(metrics):
    found = numbers(metrics.text(SOUND))
    assert found["ptt_joins_total",] == 1
    assert found["ptt_connection_state",] == 5
    assert found["ptt_rtt_seconds",] == 0.018
    assert found["ptt_audio_blocks_total", "send"] == 7
    assert found["ptt_audio_blocks_total", "receive"] == 0
    assert found["ptt_audio_faults_total", "receive", "xrun"] == 3
    assert found["ptt_audio_faults_total", "send", "unplug"] == 0
    assert found["ptt_buffer_depth_seconds", "talker"] == 0.02
    assert found["ptt_drift_ppm",] == -31.5
    assert found["ptt_access_seconds_bucket", "0.01"] == 0
    assert found["ptt_access_seconds_bucket", "0.015"] == 1
    assert found["ptt_access_seconds_count",] == 1
    assert found["ptt_reconnects_total", "resumed"] == 0
    assert found["ptt_chat_messages_total", "failed", "send"] == 0
    assert found["process_resident_memory_bytes",] == 50_000_000


def test_what_is_not_known_is_left_out():
    metrics = Metrics(lambda: PROCESS)
    state = State(Config())
    metrics.observe(Ticked(), state, state, 1.0)
    found = types(metrics.text(SoundFigures()))
    assert "ptt_rtt_seconds" not in found
    assert "ptt_buffer_depth_seconds" not in found


def test_the_kernel_tells_what_the_process_uses():
    figures = process_figures()
    assert figures.cpu_s > 0
    assert figures.resident_bytes > 1_000_000
    assert figures.open_files > 2
