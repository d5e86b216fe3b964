"""Access of sounddevice in this process to the virtual cards."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from appliance.audio.portaudio import PortAudio


@contextmanager
def seen_here(env: Mapping[str, str]) -> Iterator[None]:
    """Initialise PortAudio with the cards of `plug_in`; at the end as it was before.

    No stream may be open before or after. Not for two threads at once: PortAudio and
    the environment belong to the whole process.
    """
    before = {name: os.environ.get(name) for name in env}
    os.environ.update(env)
    look_again()
    try:
        yield
    finally:
        for name, value in before.items():
            _restore(name, value)
        look_again()


def look_again() -> None:
    """Initialise PortAudio again to search for cards; closes all streams."""
    PortAudio().renew()


def _restore(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
