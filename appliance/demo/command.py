"""`ptt-appliance demo`: the whole box on this computer, and somebody to talk to."""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from appliance.demo.server_binary import find_or_build
from appliance.demo.terminal import LogStream, Terminal
from appliance.process.logs import start_logging

if TYPE_CHECKING:
    from appliance.demo.summary import Summary

EXIT_OK = 0
EXIT_NOT_GOOD = 1


def demo(args: argparse.Namespace) -> int:
    """Run the demo and print how it went.

    Returns:
        0 when a person ended it. When it ended by itself: 0 if everything was shown
        and nothing was lost, else 1.

    Raises:
        DemoError: it cannot be set up.
    """
    _end_quietly_until_ready()
    terminal = Terminal(sys.stderr)
    _start_logging(terminal, args.room_token)
    # Late: these imports take half a second, and a stop must be clean by then.
    from appliance.demo.play import Play
    from appliance.demo.stage import Wish
    from appliance.demo.tape import default_path

    wish = Wish(
        listen=args.listen,
        seconds=args.seconds,
        room_url=args.room_url,
        room_token=args.room_token,
        is_simulated=args.card == "simulated",
        wav=args.wav or default_path(),
        server=None if args.room_url else find_or_build(terminal.say),
    )
    with _state_directory():
        play = Play(wish, terminal)
        asyncio.run(play.run())
    if (summary := play.summary(time.monotonic())) is None:
        return EXIT_OK
    _tell(summary, as_json=args.json)
    is_fine = summary.is_good or not play.has_ended_itself
    return EXIT_OK if is_fine else EXIT_NOT_GOOD


def _tell(summary: "Summary", *, as_json: bool) -> None:
    from appliance.demo.summary_text import lines, values

    if as_json:
        print(json.dumps(values(summary), indent=2))
    else:
        print(*lines(summary), sep="\n")


def _start_logging(terminal: Terminal, token: str | None) -> None:
    start_logging("warn", (token,) if token else ())
    if not terminal.is_live:
        return
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(LogStream(terminal))


@contextmanager
def _state_directory() -> Iterator[None]:
    """Keep nothing, unless the environment says where."""
    if os.environ.get("STATE_DIRECTORY"):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="ptt-demo-") as folder:
        os.environ["STATE_DIRECTORY"] = folder
        yield


def _end_quietly_until_ready() -> None:
    """Exit 0 on Ctrl-C and SIGTERM while nothing runs yet but perhaps a build."""

    def end(_number: int, _frame: FrameType | None) -> NoReturn:
        sys.exit(EXIT_OK)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
