"""Load on the token server."""

from dataclasses import replace

from appliance.demo.livekit_server import LocalServer, find_or_build
from tests.bench import token_server
from tests.bench.bench_run import BenchRun
from tests.bench.plan import QUICK
from tests.bench.report import Section, is_complete
from tests.bench.token_server_load import is_complete as is_whole


async def test_a_small_load_is_measured_for_both_kinds_of_rooms(tmp_path):
    plan = replace(QUICK, token_requests=200)
    run = BenchRun(LocalServer(find_or_build(print)), tmp_path, plan)
    section = await token_server.measure(run)
    assert isinstance(section, Section)
    assert is_complete([section])
    failures = [row.ours for row in section.rows if "refused" in row.name]
    assert [found.median for found in failures if found] == [0.0, 0.0]


def test_a_response_is_complete_with_its_whole_body():
    head = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n"
    assert not is_whole(head[:-2])
    assert not is_whole(head + b"{")
    assert is_whole(head + b"{}")
