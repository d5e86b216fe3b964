"""Accepted `Host` headers and equal origins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.net.host_check import is_own_host, is_same_origin, own_names
from appliance.net.url import is_loopback

NAMES = frozenset({"nas", "nas.local"})
LOCAL = "192.168.1.20"


@given(st.text(max_size=60))
def test_no_host_but_our_own_is_accepted(host):
    name = host.partition(":")[0].lower().removesuffix(".")
    if is_own_host(host, NAMES, LOCAL):
        is_ours = name in NAMES or LOCAL in host
        assert is_ours or is_loopback(name) or "::1" in host


@given(st.text())
def test_a_foreign_domain_is_never_accepted(host):
    assert not is_own_host(f"{host}.example.com", NAMES, LOCAL)


@given(st.text(), st.sampled_from(["@nas", "/nas", "?nas", "#nas", "\\nas", ":80 nas"]))
def test_a_name_of_this_machine_within_other_text_is_refused(text, ending):
    assert not is_own_host(text + ending, NAMES, LOCAL)


def test_the_port_and_the_case_do_not_matter():
    assert is_own_host("NAS.local:8787", NAMES, LOCAL)
    assert is_own_host("nas.", NAMES, LOCAL)
    assert not is_own_host("nas:99999", NAMES, LOCAL)


@pytest.mark.parametrize("host", ["k-che-1.local:8080", "K-CHE-1.LOCAL"])
def test_the_name_of_the_box_is_a_name_of_this_machine(host):
    assert is_own_host(host, own_names("Küche 1"), LOCAL)


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("nas-2.local", True),
        ("NAS-13.local.:8080", True),
        ("hall-2.local", True),
        ("hall.local", False),
        ("nas-2", False),
        ("nas-2.example", False),
        ("nas-.local", False),
        ("nas-2-3.local", False),
        ("garage-2.local", False),
        ("nas-2.local.example", False),
    ],
)
def test_the_name_that_avahi_announces_after_a_conflict_is_accepted(host, is_ours):
    names = NAMES | {"hall-1", "hall-1.local"}
    assert is_own_host(host, names, LOCAL) is is_ours


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("192.168.1.20", LOCAL),
        ("192.168.1.20:8787", LOCAL),
        ("192.168.1.20:8080", "::ffff:192.168.1.20"),
        ("[fe80::1]:8080", "fe80::1%eth0"),
        ("[::1]:80", "::1"),
        ("[::1]", LOCAL),
        ("127.0.0.1", LOCAL),
        ("localhost:99", LOCAL),
        ("a.localhost:1", LOCAL),
    ],
)
def test_loopback_and_the_address_of_the_connection_are_this_machine(host, local):
    assert is_own_host(host, NAMES, local)


@pytest.mark.parametrize("host", ["192.168.1.21", "10.0.0.1:80", "[2001:db8::1]"])
@pytest.mark.parametrize("local", [LOCAL, ""])
def test_another_ip_address_is_accepted_only_if_it_is_listed(host, local):
    assert not is_own_host(host, NAMES, local)
    assert is_own_host(host, NAMES | {"192.168.1.21", "10.0.0.1", "2001:db8::1"}, local)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example.com@nas",
        "nas/x",
        "localhost@evil.example",
        "evil.example#localhost",
        "evil.example\\localhost",
        "localhost.evil.example",
        "[::1",
        "2130706433",
        "0x7f.1",
    ],
)
def test_similar_hosts_are_not_accepted(host):
    assert not is_own_host(host, NAMES, "127.0.0.1")


@pytest.mark.parametrize(
    ("origin", "is_same"),
    [
        ("http://box.local:8080", True),
        ("HTTP://box.local:8080", False),
        ("http://BOX.local:8080", True),
        ("http://box.local", False),
        ("http://box.local:8080.evil.example", False),
        ("null", False),
        ("", False),
        ("file://box.local:8080", False),
    ],
)
def test_only_the_same_host_and_port_are_the_same_origin(origin, is_same):
    assert is_same_origin(origin, "box.local:8080") is is_same


def test_no_host_has_no_origin():
    assert not is_same_origin("http://", "")
