"""`ptt-appliance demo`: checks of the options, the run, and the summary."""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

from appliance.audio.driver import Driver
from appliance.audio.portaudio import PortAudio
from appliance.config import RoomConfig, SoundConfig
from appliance.demo.livekit_server import find_or_build
from appliance.demo.run import Demo, Setup
from appliance.demo.simulated_card import Recording, SimulatedCard, phrase
from appliance.errors import DemoError, SoundError
from appliance.net.server_address import listener, parsed
from appliance.net.url import address_fault
from appliance.process.logs import start_logging
from appliance.sound_cards.devices import chosen, listed

SUMMARY: Final = """
Joined  after {joined_after_s} s
Talks   {talks_sent} sent, {talks_heard_back} heard back
Chat    {lines_sent} lines sent, {lines_answered} answered"""
CLONE: Final = Path(__file__).parents[2]
"""The repository, unless this package is installed without it."""

_say = partial(print, file=sys.stderr, flush=True)


def demo(args: argparse.Namespace) -> int:
    """Run the demo, print what worked; return 1 if its time was up before all did."""
    if args.card not in {"auto", "real", "simulated"}:
        _start_with_fault(args.card)
    for number in (signal.SIGTERM, signal.SIGINT):
        # Until the appliance installs its own handlers.
        signal.signal(number, lambda *_: sys.exit(0))
    start_logging("warn", (args.room_token,) if args.room_token else ())
    demo = Demo(_setup(args), _say)
    with tempfile.TemporaryDirectory(prefix="ptt-demo-") as folder:
        os.environ.setdefault("STATE_DIRECTORY", folder)
        asyncio.run(demo.run())
    figures = demo.summary.figures()
    text = SUMMARY.format(**figures).replace("after None s", "never")
    print(json.dumps(figures, indent=2) if args.json else text)
    if missing := figures["not_complete"]:
        _say(f"Not complete: {missing}.")
    return int(bool(missing) and demo.is_time_up)


def _start_with_fault(name: str) -> NoReturn:
    """Become a demo on the virtual card of the tests, or raise `DemoError`."""
    if not (CLONE / "tests" / "card").is_dir():
        sentence = f"--card {name}: use auto, real or simulated; faults need a clone"
        raise DemoError(sentence)
    # The last value of an option counts.
    words = ["-m", "tests.card.demo", name, *sys.argv[1:], "--card", "real"]
    os.environ["PYTHONPATH"] = str(CLONE)
    os.execv(sys.executable, [sys.executable, *words])


def _setup(args: argparse.Namespace) -> Setup:
    """Return the demo's setup, or raise `DemoError`; the server is built last."""
    if args.room_url and (fault := address_fault(args.room_url, "wss", key="")):
        sentence = f"--room-url: {fault}"
        raise DemoError(sentence)
    listen = listen_address(args.listen)
    card: Driver
    if args.card != "simulated" and (real := _real_card()):
        card, sound = real
        _say("Sound: this computer's microphone and speaker.")
    else:
        # What other people say in the user's own room is not stored unasked.
        is_unasked = args.room_url and not args.wav
        recording = Recording(Path(os.devnull) if is_unasked else args.wav)
        card, sound = SimulatedCard(phrase(), recording), SoundConfig()
        place = "only with --wav FILE" if is_unasked else f"in {recording.path}"
        _say(f"Sound: simulated; the speaker is recorded {place}")
    return Setup(
        room=RoomConfig(url=args.room_url, token=args.room_token),
        server=None if args.room_url else find_or_build(_say),
        card=card,
        sound=sound,
        listen=listen,
        seconds=args.seconds,
    )


def listen_address(wanted: str | None) -> str:
    """Return the page's address: the wanted one (or raise), or one on this computer."""
    address = wanted or "127.0.0.1:8080"
    try:
        listener(*parsed(address)).close()
    except OSError as exc:
        if wanted is None:
            return "127.0.0.1:0"
        sentence = f"cannot listen on {wanted}: {exc.strerror}. Use another --listen."
        raise DemoError(sentence) from exc
    return address


def _real_card() -> tuple[Driver, SoundConfig] | None:
    """Return PortAudio, if it lists a microphone and a speaker that it can open."""
    library = PortAudio()
    try:
        devices = listed(library.devices())
        pair = chosen((), devices, "microphone"), chosen((), devices, "speaker")
    except SoundError:
        library.close()
        return None
    microphone, speaker = ((device.stable_name,) for device in pair)
    return library, SoundConfig(microphone=microphone, speaker=speaker)
