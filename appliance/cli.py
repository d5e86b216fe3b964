"""Command line `ptt-appliance`: its arguments, and one function per command.

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
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from appliance.errors import ApplianceError, ConfigError
from appliance.net.url import host_and_port

if TYPE_CHECKING:
    from appliance.config.load import Loaded

EXIT_OK: Final = 0
EXIT_FAILURE: Final = 1
EXIT_USAGE: Final = 2
"""The status of argparse for wrong usage."""
EXIT_CONFIG: Final = 78
"""EX_CONFIG of sysexits.h; systemd does not restart the service after it."""

Add = Callable[..., argparse.ArgumentParser]
"""Adds a command; see `_commands`."""


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
    args = _parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        # Replace characters that the terminal cannot show, instead of failing.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        status: int = args.function(args)
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
        if args.function in {_run, _token_server}:
            raise
        print(f"ptt-appliance: {exc.strerror or exc}", file=sys.stderr)
        return EXIT_FAILURE
    return status


def _parser() -> argparse.ArgumentParser:
    """Return the parser, which stores the function of the command as `function`."""
    root = argparse.ArgumentParser(
        prog="ptt-appliance",
        description="Push-to-talk appliance: power it and it is in a LiveKit room.",
        epilog="Example: ptt-appliance demo",
    )
    root.add_argument("--version", action=_Version, nargs=0, help="print the version")
    add = _commands(root)
    sources, as_json = _sources(), argparse.ArgumentParser(add_help=False)
    as_json.add_argument("--json", action="store_true", help="print JSON")
    words = "join the room and serve the page until stopped by SIGTERM or Ctrl-C"
    add(_run, "run", words, "run --config config.yaml --set talk.mode=hold", sources)
    _add_demo(add, as_json)
    words = (
        "check service, cards, screen, pins, network, clock, token source and server, "
        "and say what to do; exits 0 without faults, else 1"
    )
    add(_doctor, "doctor", words, "doctor", sources, as_json)
    words = "list sound cards and their names for sound.microphone and sound.speaker"
    add(_devices, "devices", words, "devices --json", as_json)
    _add_pair(add, sources, as_json)
    _add_config(add, sources, as_json)
    _add_token_server(add)
    return root


def _commands(parser: argparse.ArgumentParser) -> Add:
    """Return a function that adds a command to this parser.

    It takes the command's function (None: it has commands of its own), its name, what
    it does, an example, and parsers with its options.
    """
    choices = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        function: Callable[[argparse.Namespace], int] | None,
        name: str,
        words: str,
        example: str,
        *options: argparse.ArgumentParser,
    ) -> argparse.ArgumentParser:
        command = choices.add_parser(
            name,
            parents=options,
            help=words,
            description=f"{words[0].upper()}{words[1:]}.",
            epilog=f"Example: ptt-appliance {example}",
        )
        command.set_defaults(function=function)
        return command

    return add


class _Version(argparse.Action):
    """Print the version, which is looked up only when asked for: that takes a while."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        sys.stdout.write(f"{parser.prog} {version(parser.prog)}\n")
        parser.exit()


def _sources() -> argparse.ArgumentParser:
    """Return the options that say where the configuration comes from."""
    options = argparse.ArgumentParser(add_help=False)
    _add_file(options, "$PTT_APPLIANCE_CONFIG, else /etc/ptt-appliance/config.yaml")
    options.add_argument(
        "--set",
        metavar="KEY=VALUE",
        dest="settings",
        type=_setting,
        action="append",
        default=[],
        help="overrides file and environment; can be repeated",
    )
    return options


def _add_file(parser: argparse.ArgumentParser, default: str) -> None:
    words = f"default: {default}"
    parser.add_argument("--config", metavar="FILE", type=Path, help=words)


def _add_listen(parser: argparse.ArgumentParser, words: str) -> None:
    parser.add_argument("--listen", metavar="HOST:PORT", type=_listen, help=words)


def _add_demo(add: Add, as_json: argparse.ArgumentParser) -> None:
    parser = add(
        _demo,
        "demo",
        "run on this computer, without Pi, account or sound card: with a LiveKit "
        "server and a companion of its own, the keyboard for buttons, lamps and screen "
        "in the browser",
        "demo --seconds 30",
        as_json,
    )
    _add_listen(
        parser,
        "address of the page; default: this computer only, port 8080. "
        "0.0.0.0:8080 lets phones open it too. Over ssh omit it and connect with "
        "ssh -L 8080:127.0.0.1:8080 HOST",
    )
    parser.add_argument(
        "--seconds", metavar="N", type=_seconds, help="end after N seconds"
    )
    parser.add_argument("--room-url", metavar="URL", help="use this LiveKit server")
    parser.add_argument("--room-token", metavar="T", help="a token for that server")
    parser.add_argument(
        "--card",
        metavar="CARD",
        default="auto",
        help="auto: this computer's sound card, if it can be used; real: this "
        "computer's sound card; simulated: none; in a clone of the repository also a "
        "fault of its virtual card, which comes and goes; list: prints these faults",
    )
    parser.add_argument(
        "--wav",
        metavar="FILE",
        type=Path,
        help="record the speaker of the simulated card; without --room-url this is "
        "done anyway, in the temporary directory",
    )


def _add_pair(add: Add, *options: argparse.ArgumentParser) -> None:
    words = "print the page's address, the PIN and a QR code"
    parser = add(_pair, "pair", words, "pair", *options)
    parser.add_argument(
        "--reset",
        action="store_true",
        help="create a new PIN; revoke every phone and token",
    )
    parser.add_argument(
        "--token",
        action="store_true",
        help="print only a bearer token; the seventeenth revokes the oldest",
    )


def _add_config(add: Add, *options: argparse.ArgumentParser) -> None:
    check = "config check --config config.yaml"
    inner = _commands(add(None, "config", "check or show the configuration", check))
    words = "print one line per mistake and exit 78, or 0 without any"
    inner(_config_check, "check", words, check, *options)
    words = "print every value and its source, with secrets hidden"
    example = "config show --set talk.mode=hold"
    inner(_config_show, "show", words, example, *options)
    words = "print the JSON Schema of config.yaml, for editors"
    inner(_config_schema, "schema", words, "config schema > config.schema.json")


def _add_token_server(add: Add) -> None:
    parser = add(
        _token_server,
        "token-server",
        "issue short-lived tokens for the rooms that its own file or environment "
        "allows; LIVEKIT_API_KEY, LIVEKIT_API_SECRET and LIVEKIT_URL come from the "
        "environment or from files. systemd/token-server.yaml in the repository "
        "explains every key",
        "token-server --config token-server.yaml --listen 127.0.0.1:8787",
    )
    _add_file(parser, "/etc/ptt-appliance/token-server.yaml")
    _add_listen(parser, "default: 127.0.0.1:8787, which other machines cannot reach")


def _setting(text: str) -> str:
    if "=" not in text:
        sentence = "expected KEY=VALUE, for example talk.mode=hold"
        raise argparse.ArgumentTypeError(sentence)
    return text


def _listen(text: str) -> str:
    if host_and_port(text) is None:
        sentence = f'expected HOST:PORT, for example 127.0.0.1:8080, found "{text}"'
        raise argparse.ArgumentTypeError(sentence)
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        sentence = f'expected a number of seconds above 0, found "{text}"'
        raise argparse.ArgumentTypeError(sentence)
    return seconds


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
        from appliance.panel.screen import show_faults_of_service

        show_faults_of_service(args.config, args.settings, exc.faults)
        raise
    from appliance.app import run

    return run(loaded.config, str(loaded.path))


def _demo(args: argparse.Namespace) -> int:
    if (args.room_url is None) != (args.room_token is None):
        print("demo: --room-url and --room-token go together", file=sys.stderr)
        return EXIT_USAGE
    from appliance.demo.command import demo

    return demo(args)


def _doctor(args: argparse.Namespace) -> int:
    from appliance.doctor.command import check_inputs, doctor

    loaded = _loaded(args)
    inputs = check_inputs(loaded.config, loaded.path)
    return doctor(loaded.config, inputs, as_json=args.json)


def _devices(args: argparse.Namespace) -> int:
    from appliance.audio.portaudio import PortAudio
    from appliance.doctor.devices import all_devices, print_devices

    with PortAudio() as driver:
        devices = all_devices(driver)
    return print_devices(devices, as_json=args.json)


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
    from appliance.token_server.server import serve

    return serve(args.config, args.listen, os.environ)


def _loaded(args: argparse.Namespace) -> "Loaded":
    from appliance.config.load import load

    return load(args.config, args.settings, os.environ)


def _json(value: object) -> str:
    import json

    return json.dumps(value, indent=2, ensure_ascii=False)
