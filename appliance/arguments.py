"""Command-line arguments of `ptt-appliance`: commands, options and examples."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from appliance.net.url import host_and_port

Add = Callable[..., argparse.ArgumentParser]
"""Adds a command; argparse has no public name for this type."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line.

    It stores the command as `command`, without the word `config` before it.
    """
    root = argparse.ArgumentParser(
        prog="ptt-appliance",
        description="Push-to-talk appliance: power it and it is in a LiveKit room.",
        epilog="Example: ptt-appliance demo",
    )
    root.add_argument("--version", action=_Version, nargs=0, help="print the version")
    add = _commands(root)
    sources, as_json = _sources(), argparse.ArgumentParser(add_help=False)
    _add_json(as_json)
    add(
        "run",
        parents=[sources],
        help="join the room and stay there",
        description="The appliance: joins the room and serves the page until it is "
        "stopped; SIGTERM and Ctrl-C leave the room cleanly.",
        epilog="Example: ptt-appliance run --config config.yaml --set talk.mode=hold",
    )
    _add_demo(add)
    add(
        "doctor",
        parents=[sources, as_json],
        help="find faults of this appliance",
        description="Checks cards, screen, pins, network, clock, token source and "
        "server, and says what to do; exits 0 without faults, else 1.",
        epilog="Example: ptt-appliance doctor",
    )
    add(
        "devices",
        parents=[as_json],
        help="list sound cards",
        description="Lists the sound cards and the names for sound.microphone and "
        "sound.speaker.",
        epilog="Example: ptt-appliance devices --json",
    )
    _add_pair(add, sources, as_json)
    _add_config(add, sources, as_json)
    _add_token_server(add)
    return root


def _commands(parser: argparse.ArgumentParser) -> Add:
    choices = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    return choices.add_parser


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


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_demo(add: Add) -> None:
    parser = add(
        "demo",
        help="run on this computer, without Pi, account or sound card",
        description="The appliance with a LiveKit server and a companion on this "
        "computer, buttons on the keyboard, lamps and screen in the browser.",
        epilog="Example: ptt-appliance demo --seconds 30",
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
    _add_json(parser)


def _add_pair(add: Add, *parents: argparse.ArgumentParser) -> None:
    parser = add(
        "pair",
        parents=parents,
        help="print the address and the PIN for a phone",
        description="Prints the page's address, the PIN and a QR code.",
        epilog="Example: ptt-appliance pair",
    )
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


def _add_config(add: Add, *parents: argparse.ArgumentParser) -> None:
    parser = add(
        "config",
        help="check or show the configuration",
        description="Checks or shows the configuration.",
        epilog="Example: ptt-appliance config check --config config.yaml",
    )
    inner = _commands(parser)
    inner(
        "check",
        parents=parents,
        help="find mistakes",
        description="Prints one line per mistake and exits 78, or 0 without any.",
        epilog="Example: ptt-appliance config check --config config.yaml",
    )
    inner(
        "show",
        parents=parents,
        help="print every value and its source",
        description="Prints every value and its source, with secrets hidden.",
        epilog="Example: ptt-appliance config show --set talk.mode=hold",
    )
    inner(
        "schema",
        help="print the JSON Schema",
        description="Prints the JSON Schema of config.yaml, for editors.",
        epilog="Example: ptt-appliance config schema > config.schema.json",
    )


def _add_token_server(add: Add) -> None:
    parser = add(
        "token-server",
        help="issue tokens for rooms",
        description="Issues short-lived tokens for the rooms that its own file or "
        "environment allows; LIVEKIT_API_KEY, LIVEKIT_API_SECRET and LIVEKIT_URL come "
        "from the environment or from files. systemd/token-server.yaml in the "
        "repository explains every key.",
        epilog="Example: TOKEN_SERVER_ROOMS='[kitchen]' ptt-appliance token-server "
        "--listen 127.0.0.1:8787",
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
