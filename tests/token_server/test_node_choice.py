"""Choice of a node."""

import json

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.dtelecom.node_registry import NodeRegistry, RegistrySettings, is_domain
from appliance.token_server.dtelecom import MAX_BODY, choose_nodes

NODES = ("a.example.com", "b.example.com", "c.example.com")


class Network:
    """Nodes, each with a prepared answer to `/relevants`."""

    def __init__(self, **answers):
        self.answers = answers
        self.asked = []
        self.transport = httpx.MockTransport(self._handle)

    def _handle(self, request):
        assert request.method == "POST"
        assert (request.url.scheme, request.url.path) == ("https", "/relevants")
        self.asked.append((request.url.host, json.loads(request.content)))
        answer = self.answers[request.url.host[0]]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            return httpx.Response(answer)
        body = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
        return httpx.Response(200, stream=httpx.ByteStream(body))


def in_order(_):
    """Leave the nodes in the order in which they are configured."""


async def chosen(network, ip="198.41.0.4", nodes=NODES, shuffle=in_order):
    registry = NodeRegistry(RegistrySettings(nodes=nodes))
    return await choose_nodes(registry, ip, network.transport, shuffle)


async def test_the_first_node_that_recommends_one_decides():
    best = [{"domain": "near.example.com", "x": 1}, {"domain": "b.example.com"}]
    network = Network(a=[], b=best, c=[{"domain": "other.example.com"}])
    assert await chosen(network) == [
        f"wss://{node}" for node in ("near.example.com", *NODES)
    ]
    asked = {"ip": "198.41.0.4"}
    assert network.asked == [("a.example.com", asked), ("b.example.com", asked)]


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        b"",
        b"<html>",
        b"\xff",
        b"[" * 9999,
        b" " * (MAX_BODY + 1),
        [{"domain": ""}],
        [{"domain": "127.0.0.1"}],
        [{"domain": "evil.example.com/path?"}],
        [{"name": "x"}],
        500,
        302,
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("late"),
    ],
)
async def test_without_a_recommendation_the_first_node_is_used(answer):
    network = Network(a=answer, b=answer, c=answer)
    assert await chosen(network) == [f"wss://{node}" for node in NODES]
    assert [host for host, _ in network.asked] == list(NODES)


@pytest.mark.parametrize(
    "ip", ["", "example.com", "198.41.0.4, 10.0.0.1", "192.168.1.5"]
)
async def test_without_the_clients_public_address_nobody_is_asked(ip):
    network = Network()
    assert (await chosen(network, ip))[0] == "wss://a.example.com"
    assert network.asked == []


async def test_the_nodes_are_asked_in_another_order_each_time():
    network = Network(a=[], b=[], c=[])
    choice = await chosen(network, shuffle=list.reverse)
    assert [host for host, _ in network.asked] == list(reversed(NODES))
    assert choice[0] == "wss://c.example.com"


async def test_a_few_fallbacks_are_enough():
    many = tuple(f"n{number}.example.com" for number in range(50))
    choice = await chosen(Network(), "", many)
    assert len(set(choice)) == len(choice) == 4


@given(
    st.binary(max_size=200) | st.lists(st.text()).map(lambda x: json.dumps(x).encode())
)
async def test_no_answer_leads_to_an_address_that_is_none(answer):
    network = Network(a=answer, b=answer, c=answer)
    url, *_ = await chosen(network)
    assert is_domain(url.removeprefix("wss://"))
