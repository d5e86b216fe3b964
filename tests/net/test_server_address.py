"""Listening addresses and the page's URL."""

import socket

import pytest

from appliance.net import server_address
from appliance.net.host_check import is_own_host, own_names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.0.0.0:8080", ("0.0.0.0", 8080)),
        ("[::]:80", ("::", 80)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
    ],
)
def test_a_listen_address_is_host_and_port(text, expected):
    assert server_address.parsed(text) == expected


@pytest.mark.parametrize("text", ["", "8080", "a:b", "a:70000", "a:-1"])
def test_another_text_is_not_a_listen_address(text):
    with pytest.raises(ValueError, match="HOST:PORT"):
        server_address.parsed(text)


@pytest.mark.parametrize(
    ("host", "lan", "url"),
    [
        ("0.0.0.0", "192.168.1.20", "http://192.168.1.20:8080"),
        ("::", "192.168.1.20", "http://192.168.1.20:8080"),
        ("::", "2001:db8::7", "http://[2001:db8::7]:8080"),
        ("127.0.0.1", "192.168.1.20", "http://127.0.0.1:8080"),
        ("fe80::1", "192.168.1.20", "http://[fe80::1]:8080"),
        ("box", "192.168.1.20", "http://box:8080"),
    ],
)
def test_the_url_is_one_that_a_phone_can_open(host, lan, url):
    assert server_address.url(host, 8080, lan) == url


@pytest.mark.parametrize(("host", "lan"), [("0.0.0.0", ""), ("0.0.0.0", "2001:db8::7")])
def test_without_a_usable_address_the_url_has_the_host_name(host, lan):
    hostname = socket.gethostname().lower().partition(".")[0]
    url = server_address.url(host, 8080, lan)
    assert url == f"http://{hostname}.local:8080"
    assert is_own_host(url.removeprefix("http://"), own_names("日本"), "10.0.0.1")
