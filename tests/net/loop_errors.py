"""Errors that reach the event loop's exception handler, which ends the process."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loop_errors() -> Iterator[list[dict[str, object]]]:
    """Collect the errors reported to the running loop's exception handler."""
    found: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: found.append(context))
    yield found
    loop.set_exception_handler(None)
