"""Command line `ptt-appliance`: one function per command, which delegates the work.

Each command imports its modules when it runs, so that `run` starts quickly.
"""

import argparse
import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Final, NoReturn

from appliance.arguments import parser
from appliance.errors import ApplianceError, ConfigError

if TYPE_CHECKING:
    from appliance.config.load import Loaded

EXIT_OK: Final = 0
EXIT_FAILURE: Final = 1
EXIT_USAGE: Final = 2
"""The status of argparse for wrong usage."""
EXIT_CONFIG: Final = 78
"""EX_CONFIG of sysexits.h; systemd does not restart the service after it."""


def program() -> NoReturn:
    """Run one command and end the process: the entry point `ptt-appliance`."""
    for name in ("stdout", "stderr"):
        # Python has no stream for a closed descriptor.
        if getattr(sys, name) is None:
            setattr(sys, name, io.TextIOWrapper(io.FileIO(os.devnull, "w")))
    end_process(main())


def end_process(status: int) -> NoReturn:
    """End the process now; all adapters must be closed.

    Python's finalization would end native threads in the middle of a call into Python,
    and abort the process if that is a thread of LiveKit's.

    Source: Python/C API, "Cautions regarding runtime finalization".
    """
    logging.shutdown()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        # The reader of the pipe may have closed it, or the disk is full.
        with suppress(OSError):
            stream.flush()
    os._exit(status)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status; wrong usage raises `SystemExit`."""
    args = parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        # Replace characters that the terminal cannot show, instead of failing.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        status = _COMMANDS[args.command](args)
        sys.stdout.flush()
    except ConfigError as exc:
        print(exc, file=sys.stderr)
        return EXIT_CONFIG
    except ApplianceError as exc:
        print(f"ptt-appliance: {exc}", file=sys.stderr)
        return EXIT_FAILURE
    except (KeyboardInterrupt, BrokenPipeError):
        # Ctrl-C, or the reader closed the pipe.
        return EXIT_FAILURE
    except OSError as exc:
        # systemd runs these.
        if args.command in {"run", "token-server"}:
            raise
        print(f"ptt-appliance: {exc.strerror or exc}", file=sys.stderr)
        return EXIT_FAILURE
    return status


def _run(args: argparse.Namespace) -> int:
    for number in (signal.SIGTERM, signal.SIGINT):
        # Also while modules are still being imported. Not by an exception: one that is
        # raised in a finalizer is ignored.
        signal.signal(number, lambda *_: os._exit(EXIT_OK))
    # NumPy's linear algebra, which is not used, would start a thread per core: 0.1 s
    # of CPU time. A value from the environment has priority.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from appliance.config.load import need_room

    try:
        loaded = _loaded(args)
        need_room(loaded)
    except ConfigError as exc:
        from appliance.panel.fault_display import show_faults_of_service

        show_faults_of_service(args.config, args.settings, exc.faults)
        raise
    from appliance.run import run

    return run(loaded.config, str(loaded.path))


def _demo(args: argparse.Namespace) -> int:
    if (args.room_url is None) != (args.room_token is None):
        print("demo: --room-url and --room-token go together", file=sys.stderr)
        return EXIT_USAGE
    from appliance.demo.command import demo

    return demo(args)


def _doctor(args: argparse.Namespace) -> int:
    from appliance.doctor.checks import check_inputs
    from appliance.doctor.command import doctor

    loaded = _loaded(args)
    inputs = check_inputs(loaded.config, loaded.path)
    return doctor(loaded.config, inputs, as_json=args.json)


def _devices(args: argparse.Namespace) -> int:
    from appliance.audio.portaudio import PortAudio
    from appliance.doctor.sound_cards import all_devices, print_devices
    from appliance.sound_cards.card_volume import device_volumes

    with PortAudio() as driver:
        devices = all_devices(driver)
    return print_devices(devices, device_volumes, as_json=args.json)


def _pair(args: argparse.Namespace) -> int:
    from appliance.doctor.checks import health
    from appliance.page.pair_command import PairOptions, pair
    from appliance.process.state_files import state_folder

    page = _loaded(args).config.page
    if not page.enabled:
        remedy = "Write `page: {enabled: true}` to use this."
        print(f"The page is disabled. {remedy}", file=sys.stderr)
    elif health(page.listen) is None:
        where = "`ptt-appliance doctor` says whether the service runs"
        print(f"The page does not answer now; {where}.", file=sys.stderr)
    options = PairOptions(is_reset=args.reset, is_token=args.token, is_json=args.json)
    return pair(state_folder(os.environ), page.listen, options)


def _config_check(args: argparse.Namespace) -> int:
    from appliance.config.load import need_room

    try:
        loaded = _loaded(args)
        need_room(loaded, " Variables of the service alone are not seen here.")
    except ConfigError as exc:
        if not args.json:
            raise
        print(_json({"faults": [asdict(fault) for fault in exc.faults]}))
        return EXIT_CONFIG
    print(_json({"faults": []}) if args.json else f"{loaded.path}: no mistakes")
    return EXIT_OK


def _config_show(args: argparse.Namespace) -> int:
    from appliance.config.load import show, values

    loaded = _loaded(args)
    print(_json(values(loaded)) if args.json else show(loaded))
    return EXIT_OK


def _config_schema(_: argparse.Namespace) -> int:
    from appliance.config.schema import config_schema

    print(_json(config_schema()))
    return EXIT_OK


def _token_server(args: argparse.Namespace) -> int:
    from appliance.token_server.command import serve

    return serve(args.config, args.listen, os.environ)


def _loaded(args: argparse.Namespace) -> "Loaded":
    from appliance.config.load import load

    return load(args.config, args.settings, os.environ)


def _json(value: object) -> str:
    import json

    return json.dumps(value, indent=2, ensure_ascii=False)


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "demo": _demo,
    "doctor": _doctor,
    "devices": _devices,
    "pair": _pair,
    "check": _config_check,
    "show": _config_show,
    "schema": _config_schema,
    "token-server": _token_server,
}
