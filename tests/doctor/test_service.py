"""State of the installed service."""

import pytest

from appliance.doctor.command import service


@pytest.fixture
def systemctl(tmp_path):
    """Return the path of a systemctl with this output and exit status."""

    def make(output: str, status: int = 0) -> str:
        script = tmp_path / "systemctl"
        script.write_text(f"#!/bin/sh\necho '{output}'\nexit {status}\n")
        script.chmod(0o755)
        return str(script)

    return make


@pytest.mark.parametrize(
    ("state", "found", "advice"),
    [
        ("active", "running", ""),
        ("inactive", "inactive", "systemctl start"),
        ("failed", "failed", "journalctl"),
        ("activating", "activating", "journalctl"),
    ],
)
def test_a_service_that_does_not_run_has_a_remedy(systemctl, state, found, advice):
    finding = service(systemctl(f"LoadState=loaded\nActiveState={state}"))
    assert finding.found == found
    assert finding.is_good == (state == "active")
    assert advice in finding.advice


def test_a_box_on_which_nothing_is_installed_has_nothing_to_repair(systemctl):
    finding = service(systemctl("LoadState=not-found\nActiveState=inactive"))
    assert (finding.found, finding.is_good) == ("not installed", True)


def test_without_systemd_the_state_is_unknown(systemctl):
    missing = service("/nowhere/systemctl")
    assert "unknown" in missing.found
    assert missing.is_good
    assert service(systemctl("Failed to connect to bus", 1)) == missing
