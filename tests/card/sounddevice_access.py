"""Access of sounddevice in this process to the virtual cards."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import sounddevice as sd


@contextmanager
def seen_here(env: Mapping[str, str]) -> Iterator[None]:
    """Initialise PortAudio with the cards of `plug_in`; at the end as it was before.

    No stream may be open before or after. Not for two threads at once: PortAudio and
    the environment belong to the whole process.
    """
    with environment(env):
        look_again()
        yield
    look_again()


@contextmanager
def environment(env: Mapping[str, str]) -> Iterator[None]:
    """Set variables for processes that are started; at the end as before."""
    before = {name: os.environ.get(name) for name in env}
    os.environ.update(env)
    try:
        yield
    finally:
        for name, value in before.items():
            _restore(name, value)


def look_again() -> None:
    """Initialise PortAudio again to search for cards; closes all streams."""
    while sd._initialized:
        sd._terminate()
    with suppress(sd.PortAudioError):
        sd._initialize()


def _restore(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
