"""Fixtures of the tests of the audio path."""

import pytest

from tests.audio.fakes import Path


@pytest.fixture
def path():
    """Return a path in which there has been silence for long."""
    path = Path()
    path.fall_silent()
    return path
