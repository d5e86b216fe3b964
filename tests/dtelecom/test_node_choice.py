"""Choice of a node."""

import asyncio
import json

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.dtelecom import node_choice
from appliance.dtelecom.node_choice import MAX_BODY, choose_node
from appliance.dtelecom.node_registry import NodeRegistry, RegistrySettings, is_domain

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
        if isinstance(answer, asyncio.Event):
            return answer.wait()
        if isinstance(answer, int):
            return httpx.Response(answer)
        body = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
        return httpx.Response(200, stream=httpx.ByteStream(body))


def in_order(_):
    """Leave the nodes in the order in which they are configured."""


async def chosen(network, ip="203.0.113.7", nodes=NODES, shuffle=in_order):
    registry = NodeRegistry(RegistrySettings(nodes=nodes))
    return await choose_node(registry, ip, network.transport, shuffle)


async def test_the_first_node_that_recommends_one_decides():
    best = [{"domain": "near.example.com", "x": 1}, {"domain": "b.example.com"}]
    network = Network(a=[], b=best, c=[{"domain": "other.example.com"}])
    choice = await chosen(network)
    assert choice.url == "wss://near.example.com"
    order = (NODES[1], NODES[2], NODES[0])
    assert choice.fallback_urls == tuple(f"wss://{node}" for node in order)
    asked = {"ip": "203.0.113.7"}
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
    choice = await chosen(network)
    assert choice.url == "wss://a.example.com"
    assert choice.fallback_urls == ("wss://b.example.com", "wss://c.example.com")
    assert [host for host, _ in network.asked] == list(NODES)


async def test_a_node_that_did_not_answer_comes_last(monkeypatch):
    monkeypatch.setattr(node_choice, "TOTAL_S", 0.1)
    dead, silent = httpx.ConnectTimeout("late"), asyncio.Event()
    network = Network(a=dead, b=dead, c=dead, d=silent, e=silent)
    nodes = tuple(f"{letter}.example.com" for letter in "abcde")
    choice = await chosen(network, nodes=nodes)
    assert [host for host, _ in network.asked] == list(nodes[:4])
    assert choice.url == "wss://e.example.com"
    assert choice.fallback_urls == tuple(f"wss://{node}" for node in nodes[:3])


@pytest.mark.parametrize("ip", [None, "", "example.com", "203.0.113.7, 10.0.0.1"])
async def test_without_the_clients_address_nobody_is_asked(ip):
    network = Network()
    assert (await chosen(network, ip)).url == "wss://a.example.com"
    assert network.asked == []


async def test_the_nodes_are_asked_in_another_order_each_time():
    network = Network(a=[], b=[], c=[])
    choice = await chosen(network, shuffle=list.reverse)
    assert [host for host, _ in network.asked] == list(reversed(NODES))
    assert choice.url == "wss://c.example.com"


async def test_a_few_fallbacks_are_enough():
    many = tuple(f"n{number}.example.com" for number in range(50))
    choice = await chosen(Network(), None, many)
    assert len(choice.fallback_urls) == 3
    assert choice.url not in choice.fallback_urls


@given(
    st.binary(max_size=200) | st.lists(st.text()).map(lambda x: json.dumps(x).encode())
)
async def test_no_answer_leads_to_an_address_that_is_none(answer):
    network = Network(a=answer, b=answer, c=answer)
    choice = await chosen(network)
    assert is_domain(choice.url.removeprefix("wss://"))
