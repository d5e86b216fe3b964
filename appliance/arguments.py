"""Command-line arguments of `ptt-appliance`: commands, options and examples."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from appliance.net.url import host_and_port

Add = Callable[..., argparse.ArgumentParser]
"""Adds a command: its name, what it does, an example, and parsers with its options."""


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
    as_json.add_argument("--json", action="store_true", help="print JSON")
    add(
        "run",
        "join the room and serve the page until stopped by SIGTERM or Ctrl-C",
        "run --config config.yaml --set talk.mode=hold",
        sources,
    )
    _add_demo(add, as_json)
    add(
        "doctor",
        "check service, cards, screen, pins, network, clock, token source and server, "
        "and say what to do; exits 0 without faults, else 1",
        "doctor",
        *(sources, as_json),
    )
    add(
        "devices",
        "list sound cards and their names for sound.microphone and sound.speaker",
        "devices --json",
        as_json,
    )
    _add_pair(add, sources, as_json)
    _add_config(add, sources, as_json)
    _add_token_server(add)
    return root


def _commands(parser: argparse.ArgumentParser) -> Add:
    choices = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(
        name: str, words: str, example: str, *options: argparse.ArgumentParser
    ) -> argparse.ArgumentParser:
        return choices.add_parser(
            name,
            parents=options,
            help=words,
            description=f"{words[0].upper()}{words[1:]}.",
            epilog=f"Example: ptt-appliance {example}",
        )

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
    parser = add("pair", words, "pair", *options)
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
    inner = _commands(add("config", "check or show the configuration", check))
    words = "print one line per mistake and exit 78, or 0 without any"
    inner("check", words, check, *options)
    words = "print every value and its source, with secrets hidden"
    inner("show", words, "config show --set talk.mode=hold", *options)
    words = "print the JSON Schema of config.yaml, for editors"
    inner("schema", words, "config schema > config.schema.json")


def _add_token_server(add: Add) -> None:
    parser = add(
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
