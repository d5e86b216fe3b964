"""What would end the process: errors that reach the loop's exception handler."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loop_errors() -> Iterator[list[dict[str, object]]]:
    """Collect what the running loop is told of callbacks that raised."""
    found: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: found.append(context))
    yield found
    loop.set_exception_handler(None)
