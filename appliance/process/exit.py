"""The end of the process."""

import logging
import os
import sys
from contextlib import suppress
from typing import NoReturn


def end_process(status: int) -> NoReturn:
    """End the process now; everything of ours must be closed.

    Not by Python's own end: it stops native threads in the middle of a call into
    Python, and where that is one of LiveKit's, the whole process is aborted (measured:
    in one of 40 ends).

    Source: Python/C API, "Cautions regarding runtime finalization": a thread that asks
    for the lock then is ended by `pthread_exit`, which unwinds through Rust.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        # Whoever has read enough does not read this either.
        with suppress(BrokenPipeError):
            stream.flush()
    os._exit(status)
