"""Host headers that are accepted, against DNS rebinding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.net.host_check import is_own_host

NAMES = frozenset({"nas", "nas.local"})
LOCAL = "192.168.1.20"


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
    assert not is_own_host("evil.example.com@nas", NAMES, LOCAL)
    assert not is_own_host("nas/x", NAMES, LOCAL)


@pytest.mark.parametrize(
    "host", ["192.168.1.20:8787", "localhost", "a.localhost:1", "127.0.0.1", "[::1]:80"]
)
def test_loopback_and_the_address_of_the_connection_are_this_machine(host):
    assert is_own_host(host, NAMES, LOCAL)


@pytest.mark.parametrize("host", ["192.168.1.21", "10.0.0.1:80", "[2001:db8::1]"])
@pytest.mark.parametrize("local", [LOCAL, ""])
def test_another_ip_address_is_accepted_only_if_it_is_listed(host, local):
    assert not is_own_host(host, NAMES, local)
    assert is_own_host(host, NAMES | {"192.168.1.21", "10.0.0.1", "2001:db8::1"}, local)
