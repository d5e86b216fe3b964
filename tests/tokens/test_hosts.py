from hypothesis import given
from hypothesis import strategies as st

from appliance.tokens.hosts import is_own_host

NAMES = frozenset({"nas", "nas.local"})


@given(st.text())
def test_nobody_else_is_ever_taken_for_this_machine(host):
    assert not is_own_host(f"{host}.example.com", NAMES)


@given(st.text(), st.sampled_from([":80", "", "@nas", "/nas", "?nas", "#nas", "\\nas"]))
def test_no_host_header_is_too_strange(host, ending):
    assert is_own_host(host + ending, NAMES) in {True, False}


def test_the_port_and_the_case_do_not_matter():
    assert is_own_host("NAS.local:8787", NAMES)
    assert is_own_host("nas.", NAMES)
    assert not is_own_host("nas:99999", NAMES)
    assert not is_own_host("evil.example.com@nas", NAMES)
    assert not is_own_host("nas/x", NAMES)
