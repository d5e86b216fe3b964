"""Nodes, keys and relays for the tests of dTelecom."""

from pathlib import Path

import pytest

from tests.npm import installed

NPM = Path(__file__).parent / "npm"


@pytest.fixture(scope="session")
def node_modules():
    """dTelecom's own packages."""
    return installed(NPM / "package-lock.json")
