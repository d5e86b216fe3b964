"""Shared set-up of the tests of the demo."""

import pytest

from appliance.demo.livekit_server import find_or_build


@pytest.fixture(scope="session")
def binary():
    return find_or_build(print)
