"""Choice of a node."""

import json

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.dtelecom.node_registry import MAX_BODY, NAMED, choose_nodes, is_domain

CLIENT = "198.41.0.4"
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


async def chosen(network, ip=CLIENT, nodes=NODES, shuffle=in_order):
    urls = await choose_nodes(nodes, ip, network.transport, shuffle)
    return [url.removeprefix("wss://") for url in urls]


async def test_the_first_node_that_recommends_one_decides():
    best = [{"domain": "near.example.com", "x": 1}, {"domain": "b.example.com"}]
    network = Network(a=[], b=best, c=[{"domain": "other.example.com"}])
    assert await chosen(network) == ["near.example.com", *NODES]
    asked = {"ip": CLIENT}
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
    assert await chosen(network) == list(NODES)
    assert [host for host, _ in network.asked] == list(NODES)


@pytest.mark.parametrize(
    "ip", ["", "example.com", "198.41.0.4, 10.0.0.1", "192.168.1.5", "::1"]
)
async def test_without_the_clients_address_nobody_is_asked(ip):
    network = Network()
    assert await chosen(network, ip) == list(NODES)
    assert network.asked == []


async def test_a_recommended_node_is_named_once():
    network = Network(a=[{"domain": "B.example.com"}])
    assert (await chosen(network)) == [NODES[1], NODES[0], NODES[2]]


async def test_the_nodes_are_asked_in_another_order_each_time():
    network = Network(a=[], b=[], c=[])
    assert await chosen(network, shuffle=list.reverse) == list(reversed(NODES))
    assert [host for host, _ in network.asked] == list(reversed(NODES))


async def test_a_few_nodes_are_enough():
    many = tuple(f"n{number}.example.com" for number in range(50))
    network = Network(n=[])
    assert len(await chosen(network, nodes=many)) == NAMED
    assert len(network.asked) == NAMED


@given(
    st.binary(max_size=200) | st.lists(st.text()).map(lambda x: json.dumps(x).encode())
)
async def test_no_answer_leads_to_an_address_that_is_none(answer):
    network = Network(a=answer, b=answer, c=answer)
    assert all(map(is_domain, await chosen(network)))
