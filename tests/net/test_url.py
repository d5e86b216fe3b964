"""Addresses: their shown part, loopback and host names."""

import socket
from contextlib import suppress
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


LONGEST_LABEL = "a" * 63


@pytest.mark.parametrize(
    "text",
    ["h", "a-b.c", "a_b.c.", "10.0.0.1", "::1", "küche.local", f"{LONGEST_LABEL}.c"],
)
def test_a_host_is_a_host(text):
    assert is_host(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "h:1", "http://h", "a b", "h/x", "[::1]"),
        *(".", ".example.com", "node1..example.com", "h.."),
        *(f"{LONGEST_LABEL}a", f"x.{LONGEST_LABEL}a.c", "ü" * 60, "אa.c"),
    ],
)
def test_anything_else_is_not_a_host(text):
    assert not is_host(text)


@given(st.text("aZ0ßüאa.-_ⅷ²", max_size=80))
def test_the_resolver_can_encode_every_host(text):
    if is_host(text):
        with suppress(OSError):
            socket.getaddrinfo(text, 0, flags=socket.AI_NUMERICHOST)


@pytest.mark.parametrize("host", ["node1..example.com", ".example.com", "a" * 64])
@pytest.mark.parametrize("scheme", ["https", "wss"])
def test_a_host_with_an_empty_or_long_label_is_no_address(scheme, host):
    fault = address_fault(f"{scheme}://{host}/x", scheme)
    assert (
        fault == f"expected an address like {scheme}://host/path, found something else."
    )
    assert host_and_port(f"{host}:80") is None


@given(st.text(), st.sampled_from(["https", "wss"]))
def test_any_text_is_an_address_or_a_fault(url, secure):
    fault = address_fault(url, secure, ())
    assert fault is None or fault.endswith(".")


@given(st.from_regex(r"\A(ws|wss|http|https)://[^/?#]{0,20}(/[^?#]*)?\Z"))
def test_a_plain_address_that_is_accepted_leads_to_this_machine(url):
    if address_fault(url, "wss", ()) is None and url.startswith("ws:"):
        assert is_loopback(urlsplit(url).hostname or "")
