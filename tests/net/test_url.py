"""Addresses: their shown part, loopback and host names."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.net.url import (
    address_fault,
    host_and_port,
    is_host,
    is_loopback,
    without_query,
)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:word@h:1/a/b?key=1#x", "https://h:1/a/b"),
        ("wss://h", "wss://h"),
        ("http://[::1]:80/?a", "http://[::1]:80/"),
        ("nonsense", "an unreadable address"),
    ],
)
def test_the_shown_part_of_an_address_has_no_secret(url, shown):
    assert without_query(url) == shown


@pytest.mark.parametrize(
    "host", ["localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "::1"]
)
def test_loopback_is_this_machine(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["localhost.example.com", "127.1", "0x7f000001", "10.0.0.1", "::", "0.0.0.0"],
)
def test_anything_else_is_not_loopback(host):
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("listen", "parts"),
    [
        ("0.0.0.0:8080", ("0.0.0.0", 8080)),
        ("[::]:80", ("::", 80)),
        ("kitchen.local:0", ("kitchen.local", 0)),
        ("8080", None),
        (":8080", None),
        ("h:", None),
        ("h:65536", None),
        ("h:1/x", None),
        ("u@h:1", None),
        ("::1:80", None),
    ],
)
def test_host_and_port_are_parsed(listen, parts):
    assert host_and_port(listen) == parts


@pytest.mark.parametrize("text", ["h", "a-b.c", "10.0.0.1", "::1", "küche.local"])
def test_a_host_is_a_host(text):
    assert is_host(text)


@pytest.mark.parametrize("text", ["", "h:1", "http://h", "a b", "h/x", "[::1]"])
def test_anything_else_is_not_a_host(text):
    assert not is_host(text)


@given(st.text(), st.sampled_from(["https", "wss"]))
def test_any_text_is_an_address_or_a_fault(url, secure):
    fault = address_fault(url, secure, ())
    assert fault is None or fault.endswith(".")


@given(st.from_regex(r"\A(ws|wss|http|https)://[^/?#]{0,20}(/[^?#]*)?\Z"))
def test_a_plain_address_that_is_accepted_leads_to_this_machine(url):
    if address_fault(url, "wss", ()) is None and url.startswith("ws:"):
        assert is_loopback(urlsplit(url).hostname or "")
