"""End of the process without Python's finalization."""

import logging
import os
import sys
from contextlib import suppress
from typing import NoReturn


def end_process(status: int) -> NoReturn:
    """End the process now; all adapters must be closed.

    Python's own finalization is avoided: it ends native threads in the middle of a call
    into Python, and if that is a thread of LiveKit's, the process is aborted (measured:
    1 of 40 exits).

    Source: Python/C API, "Cautions regarding runtime finalization": a thread that
    requests the interpreter lock is then ended by `pthread_exit`, which unwinds through
    Rust frames.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        # The reader of the pipe may have closed it.
        with suppress(BrokenPipeError):
            stream.flush()
    os._exit(status)
